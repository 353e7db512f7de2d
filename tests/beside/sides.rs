//! Both programs, each with one worker, the same certificate and the same backend.

use pointsman_tests::{
    certs::Certificate,
    cli::{Room, Running},
    nginx::Nginx,
    sockets::Place,
    story::eventually,
};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
};
use tokio::net::TcpStream;

/// What is asked for: the backend answers it with a few bytes.
pub(super) const PATH: &str = "/name";

/// One of them, serving; it ends with this value.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
    /// Of the process that has the worker.
    pub(super) pid: u32,
    _running: Process,
    _room: Room,
    _held: [Place; 2],
}

/// Ends with this value.
enum Process {
    Pointsman { _running: Running },
    Nginx(Child),
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Process::Nginx(child) = self {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Both in front of a backend of their own, which is given too.
pub(super) async fn both() -> (Nginx, [Side; 2]) {
    let backend = Nginx::start("backend", &[]).await;
    let sides = [pointsman(backend.address()).await, nginx(backend.address()).await];
    (backend, sides)
}

async fn pointsman(backend: SocketAddr) -> Side {
    let (room, [plain, tls]) = prepared();
    room.write(
        "pointsman.toml",
        &format!(
            "[[listen]]\naddress = \"{}\"\n[[listen]]\nname = \"tls\"\naddress = \"{}\"\n\
             tls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\n\
             [pool.shop]\nbackends = [\"{backend}\"]\n[server]\nworkers = 1\n",
            plain.address(),
            tls.address()
        ),
    );
    let running = room.start(&["run"]);
    let pid = running.pid();
    serving("pointsman", Process::Pointsman { _running: running }, pid, room, [plain, tls]).await
}

async fn nginx(backend: SocketAddr) -> Side {
    let (room, [plain, tls]) = prepared();
    let (directory, keep) = (room.path().display(), "keepalive_requests 1000000000; keepalive_timeout 1h;");
    room.write(
        "nginx.conf",
        &format!(
            "daemon off; master_process off; pid {directory}/pid; error_log {directory}/errors crit;
             worker_rlimit_nofile 100000;
             events {{ worker_connections 50000; }}
             http {{
               access_log off; {keep}
               client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
               fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
               scgi_temp_path {directory}/scgi;
               ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
               upstream backend {{ server {backend}; keepalive 64; {keep} }}
               server {{
                 listen {} reuseport; listen {} ssl http2 reuseport;
                 location / {{
                   proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header connection '';
                   proxy_set_header host $host; proxy_set_header x-forwarded-for $proxy_add_x_forwarded_for;
                 }}
               }}
             }}",
            plain.address(),
            tls.address()
        ),
    );
    let child = Command::new("nginx")
        .arg("-p")
        .arg(room.path())
        .args(["-c", "nginx.conf", "-e", "stderr"])
        .stdin(Stdio::null())
        .spawn()
        .expect("nginx, which `cargo xtask bench` installs");
    let pid = child.id();
    serving("nginx", Process::Nginx(child), pid, room, [plain, tls]).await
}

/// A room with a certificate, and two addresses.
fn prepared() -> (Room, [Place; 2]) {
    let (room, certificate) = (Room::new(), Certificate::new(&["shop.test"]));
    room.write("cert.pem", &certificate.chain);
    room.write("key.pem", &certificate.key);
    (room, [Place::new(), Place::new()])
}

async fn serving(name: &'static str, running: Process, pid: u32, room: Room, places: [Place; 2]) -> Side {
    let [plain, tls] = places.each_ref().map(Place::address);
    for address in [plain, tls] {
        eventually("it listens", async || TcpStream::connect(address).await.is_ok()).await;
    }
    Side { name, plain, tls, pid, _running: running, _room: room, _held: places }
}
