//! A backend that somebody else wrote: Debian's nginx, one process, started and ended here.

use crate::{sockets::Place, story};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// A running nginx; it ends with this value.
pub struct Nginx {
    place: Place,
    process: Child,
    _directory: TempDir,
}

impl Nginx {
    /// Serves `/name` with its name, `/files/…` from the given files, and takes anything else as a body to swallow.
    ///
    /// # Panics
    /// When nginx is not installed, or does not answer.
    pub async fn start(name: &str, files: &[(&str, &[u8])]) -> Nginx {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new();
        std::fs::create_dir(directory.path().join("files")).unwrap();
        for (file, bytes) in files {
            std::fs::write(directory.path().join("files").join(file), bytes).unwrap();
        }
        std::fs::write(directory.path().join("nginx.conf"), config(name, place.address(), directory.path())).unwrap();
        let process = Command::new("nginx")
            .arg("-p")
            .arg(directory.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("nginx does not start ({error}): `cargo xtask test` installs it, or `apt-get install nginx`")
            });
        let nginx = Nginx { place, process, _directory: directory };
        let address = nginx.address();
        story::eventually("nginx listens", async || TcpStream::connect(address).await.is_ok()).await;
        nginx
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `reuseport` lets it share the port that is held for it.
fn config(name: &str, address: SocketAddr, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log stderr error;
         events {{ worker_connections 512; }}
         http {{
           access_log off; keepalive_requests 100000;
           client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
           fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
           server {{
             listen {address} reuseport;
             location / {{ return 404; }}
             location = /name {{ add_header x-backend {name}; return 200 {name}; }}
             location /files/ {{ root {directory}; gzip off; }}
           }}
         }}"
    )
}
