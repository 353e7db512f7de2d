//! A name server that says what a story wants, over datagrams and connections.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinSet,
};

/// Records that fit into a datagram; of more, only that there are more.
const DATAGRAM_MOST: usize = 8;

/// The kind of a record that has an IPv4 address.
pub const A: u16 = 1;
/// The kind of a record that has an IPv6 address.
pub const AAAA: u16 = 28;

/// What it knows of a name.
#[derive(Clone, Debug)]
pub enum Zone {
    /// Addresses of both families, in any order; none: the name is there and has none.
    Addresses(Vec<IpAddr>),
    /// Another name for the same.
    Alias(&'static str),
    /// Priority, weight, port and host of each.
    Services(Vec<(u16, u16, u16, &'static str)>),
    /// That, when it is asked for this kind of records; else it answers that it cannot.
    Only(Box<Zone>, u16),
    /// That, when it is asked for this kind of records; else it does not answer.
    Silent(Box<Zone>, u16),
    /// There is no such name.
    Nothing,
    /// It answers that it cannot.
    Failure,
    /// It does not answer.
    Silence,
}

/// A running name server; it stops with this value.
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    zones: Mutex<HashMap<String, (Zone, u32)>>,
    asked: Mutex<HashMap<String, u64>>,
}

impl NameServer {
    /// Knows nothing yet.
    ///
    /// # Panics
    /// When the system gives it no port.
    pub async fn new() -> NameServer {
        let (datagrams, connections) = loop {
            let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            // The same port for both, which somebody else may have.
            if let Ok(connections) = TcpListener::bind(datagrams.local_addr().unwrap()).await {
                break (datagrams, connections);
            }
        };
        let address = datagrams.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let mut serving = JoinSet::new();
        serving.spawn(over_udp(datagrams, shared.clone()));
        serving.spawn(over_tcp(connections, shared.clone()));
        NameServer { address, shared, _serving: serving }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it says of a name from now on, and for how many seconds that may be believed.
    pub fn knows(&self, name: &str, zone: Zone, ttl: u32) {
        self.shared.zones.lock().unwrap().insert(name.into(), (zone, ttl));
    }

    /// Questions for this name so far.
    pub fn asked(&self, name: &str) -> u64 {
        self.shared.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

async fn over_udp(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = [0; 512];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = shared.answer(&buffer[..length], DATAGRAM_MOST) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

async fn over_tcp(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else { continue };
        let Ok(length) = stream.read_u16().await else { continue };
        let mut question = vec![0; length.into()];
        if stream.read_exact(&mut question).await.is_err() {
            continue;
        }
        if let Some(answer) = shared.answer(&question, usize::MAX) {
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &answer].concat()).await;
        }
    }
}

impl Shared {
    /// None: silence.
    fn answer(&self, question: &[u8], most: usize) -> Option<Vec<u8>> {
        let (name, end) = name_at(question, 12);
        *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        let kind = u16::from_be_bytes([question[end], question[end + 1]]);
        let zones = self.zones.lock().unwrap();
        let mut records = Vec::new();
        let code = match zones.get(&name) {
            None | Some((Zone::Nothing, _)) => 3,
            Some((Zone::Failure, _)) => 2,
            Some((Zone::Only(_, only), _)) if kind != *only => 2,
            Some((Zone::Silent(_, only), _)) if kind != *only => return None,
            Some((Zone::Only(zone, _) | Zone::Silent(zone, _), ttl)) => {
                records.extend(of_zone(&name, zone, kind, *ttl));
                0
            }
            Some((Zone::Silence, _)) => return None,
            Some((Zone::Alias(target), ttl)) => {
                records.push(record(&name, 5, *ttl, &encoded(target)));
                // As a recursive server does, it goes on to what the alias stands for.
                if let Some((zone, ttl)) = zones.get(*target) {
                    records.extend(of_zone(target, zone, kind, *ttl));
                }
                0
            }
            Some((zone, ttl)) => {
                records.extend(of_zone(&name, zone, kind, *ttl));
                0
            }
        };
        let truncated = records.len() > most;
        if truncated {
            records.clear();
        }
        let mut answer = question[..end + 4].to_vec();
        answer[2..4].copy_from_slice(&[if truncated { 0x83 } else { 0x81 }, 0x80 | code]);
        answer[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
        answer[8..12].fill(0);
        records.iter().for_each(|record| answer.extend(record));
        Some(answer)
    }
}

fn of_zone(name: &str, zone: &Zone, kind: u16, ttl: u32) -> Vec<Vec<u8>> {
    match zone {
        Zone::Addresses(all) => {
            let wanted = all.iter().filter(|ip| (kind == A && ip.is_ipv4()) || (kind == AAAA && ip.is_ipv6()));
            let bytes = wanted.map(|ip| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            });
            bytes.map(|bytes| record(name, kind, ttl, &bytes)).collect()
        }
        Zone::Services(all) if kind == 33 => {
            let service = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
                let mut bytes: Vec<u8> = [priority, weight, port].iter().flat_map(|n| n.to_be_bytes()).collect();
                bytes.extend(encoded(host));
                record(name, kind, ttl, &bytes)
            };
            all.iter().map(service).collect()
        }
        _ => Vec::new(),
    }
}

fn record(name: &str, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = encoded(name);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    bytes.extend(data);
    bytes
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat());
    labels.chain([0]).collect()
}

/// A name without pointers, and where it ends.
fn name_at(bytes: &[u8], mut at: usize) -> (String, usize) {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(bytes[at]);
        at += 1;
        if length == 0 {
            return (labels.join("."), at);
        }
        labels.push(String::from_utf8(bytes[at..at + length].to_vec()).unwrap());
        at += length;
    }
}
