//! The network between two sides, when it is not well: it passes bytes on, late, up to some byte, or not at all.

use crate::sockets::Place;
use socket2::SockRef;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
    time::sleep,
};

/// What a network does to each connection, as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Nothing.
    Fair,
    /// Each piece comes so much later.
    Late(Duration),
    /// Each so many-th piece is lost, and comes so much later, as a second try of it does.
    Lossy(u64, Duration),
    /// Nothing passes, and nobody is told: the other side has gone without a word.
    Dead,
}

/// Which way a byte goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connects.
    There,
    /// To whoever connects.
    Back,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both directions are closed.
    Close,
    /// With a reset.
    Reset,
}

/// Passes on what connects to it; ends with this value.
pub struct Relay {
    place: Place,
    weather: watch::Sender<Weather>,
    cut: watch::Sender<Option<(Way, u64, Cut)>>,
    serving: JoinHandle<()>,
}

/// One direction of a connection.
struct Lane {
    way: Way,
    weather: watch::Receiver<Weather>,
    cut: Option<(Way, u64, Cut)>,
    pieces: Arc<AtomicU64>,
}

impl Relay {
    /// In fair weather.
    pub fn to(target: SocketAddr) -> Relay {
        let (place, weather, cut) = (Place::new(), watch::Sender::new(Weather::Fair), watch::Sender::new(None));
        let listener = place.listen();
        let (sky, cuts, pieces) = (weather.subscribe(), cut.subscribe(), Arc::default());
        let serving = tokio::spawn(async move {
            // Dropped with this future, and every connection with it.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                while connections.try_join_next().is_some() {}
                let lane = |way| Lane { way, weather: sky.clone(), cut: *cuts.borrow(), pieces: Arc::clone(&pieces) };
                connections.spawn(pass(near, target, lane(Way::There), lane(Way::Back)));
            }
        });
        Relay { place, weather, cut, serving }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// From now on, also for the connections that are open.
    pub fn weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Cuts each new connection behind so many bytes that went this way.
    pub fn cut(&self, way: Way, behind: u64, cut: Cut) {
        self.cut.send_replace(Some((way, behind, cut)));
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One connection, until both directions have ended or it is cut.
async fn pass(near: TcpStream, target: SocketAddr, there: Lane, back: Lane) {
    let Ok(far) = TcpStream::connect(target).await else { return };
    let streams = [near, far];
    for stream in &streams {
        let _ = stream.set_nodelay(true);
    }
    let [near, far] = streams.map(TcpStream::into_split);
    let end = {
        let (mut there, mut back) = (Box::pin(there.run(near.0, far.1)), Box::pin(back.run(far.0, near.1)));
        tokio::select! {
            (cut, near_in, far_out) = &mut there => match cut {
                Some(cut) => Some((cut, near_in, far_out)),
                None => { let _ = back.await; None }
            },
            (cut, far_in, near_out) = &mut back => match cut {
                Some(cut) => Some((cut, far_in, near_out)),
                None => { let _ = there.await; None }
            },
        }
    };
    if let Some((Cut::Reset, read, write)) = end {
        for stream in [read.as_ref(), write.as_ref()] {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Lane {
    /// Passes bytes on; gives how it was cut, none at the end of what comes, with both halves, which live until then.
    async fn run(
        mut self,
        mut from: OwnedReadHalf,
        mut to: OwnedWriteHalf,
    ) -> (Option<Cut>, OwnedReadHalf, OwnedWriteHalf) {
        let limit = self.cut.filter(|(way, ..)| *way == self.way).map(|(_, behind, cut)| (behind, cut));
        let (mut passed, mut buffer) = (0, vec![0; 16 << 10]);
        loop {
            if let Some((behind, cut)) = limit.filter(|(behind, _)| passed >= *behind) {
                debug_assert_eq!(passed, behind);
                return (Some(cut), from, to);
            }
            let most = limit.map_or(buffer.len(), |(behind, _)| buffer.len().min((behind - passed) as usize));
            let read = match from.read(&mut buffer[..most]).await {
                Ok(0) | Err(_) => {
                    self.wait().await;
                    let _ = to.shutdown().await;
                    return (None, from, to);
                }
                Ok(read) => read,
            };
            self.wait().await;
            if to.write_all(&buffer[..read]).await.is_err() {
                return (None, from, to);
            }
            passed += read as u64;
        }
    }

    /// What the weather does to a piece.
    async fn wait(&mut self) {
        let weather = *self.weather.wait_for(|weather| *weather != Weather::Dead).await.expect("the relay lives");
        let number = self.pieces.fetch_add(1, Relaxed);
        match weather {
            Weather::Late(by) => sleep(by).await,
            Weather::Lossy(each, by) if number % each == each - 1 => sleep(by).await,
            _ => {}
        }
    }
}
