//! A backend in a process of its own, so that it can be killed, frozen and thawed as only the system does it. The process
//! is the tests' own binary, started for one story, which enters here.

use crate::{
    origin::{self, Origin, Reply},
    sockets::Place,
    story,
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::{
    io::{BufRead, Write},
    net::SocketAddr,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpStream;

/// Set for such a process: where it listens and what it is called.
const MARK: &str = "POINTSMAN_TESTS_BACKEND";

/// What a backend does from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers 200 with its name, at once.
    Well,
    /// The same, after so many milliseconds.
    Slow(u32),
    /// As [`origin::misbehaving`] answers this path.
    Ill(&'static str),
}

/// A backend in a process; it ends with this value.
pub struct Process {
    place: Place,
    name: String,
    story: &'static str,
    child: Mutex<Option<(Child, ChildStdin)>>,
}

impl Process {
    /// A new one, which answers well. `story` is the path of the story that calls [`serve_if_asked`].
    pub async fn start(name: &str, story: &'static str) -> Process {
        let process = Process { place: Place::new(), name: name.to_owned(), story, child: Mutex::default() };
        process.revive().await;
        process
    }

    /// Where it listens while it runs.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// Starts it anew, at the same address, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub async fn revive(&self) {
        let this = std::env::current_exe().expect("a path of this program");
        let mut child = Command::new(this)
            .args(["--exact", self.story, "--nocapture"])
            .env(MARK, format!("{} {}", self.address(), self.name))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let orders = child.stdin.take().expect("a pipe");
        *self.child.lock().unwrap() = Some((child, orders));
        let address = self.address();
        story::eventually("the backend listens", async || TcpStream::connect(address).await.is_ok()).await;
    }

    /// Kills it as it stands (`kill -9`).
    pub fn kill(&self) {
        if let Some((mut child, _)) = self.child.lock().unwrap().take() {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it as it stands (`SIGSTOP`), and returns when it has: the system still accepts connections for it.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&self) {
        let pid = self.signal(Signal::STOP);
        // A signal is on its way for a while, and the process could answer meanwhile.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).expect("it runs");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// How it answers from now on.
    ///
    /// # Panics
    /// When it does not run.
    pub fn behaves(&self, manner: Manner) {
        let order = match manner {
            Manner::Well => "well\n".to_owned(),
            Manner::Slow(millis) => format!("slow {millis}\n"),
            Manner::Ill(mode) => format!("ill {mode}\n"),
        };
        let mut child = self.child.lock().unwrap();
        child.as_mut().expect("it runs").1.write_all(order.as_bytes()).expect("it listens to orders");
    }

    fn signal(&self, signal: Signal) -> Pid {
        let child = self.child.lock().unwrap();
        let pid = child.as_ref().expect("it runs").0.id();
        let pid = Pid::from_raw(pid.cast_signed()).expect("not 0");
        kill_process(pid, signal).expect("it runs");
        pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// In the process of a backend: serves until its starter has gone, and gives true. Elsewhere false, at once.
///
/// # Panics
/// When its starter gives an order that it does not know.
pub async fn serve_if_asked() -> bool {
    let Ok(mark) = std::env::var(MARK) else { return false };
    let (address, name) = mark.split_once(' ').expect("an address and a name");
    let address: SocketAddr = address.parse().expect("an address");
    let (order, name) = (Arc::new(Mutex::new("well".to_owned())), name.to_owned());
    let current = order.clone();
    let _origin = Origin::at(address, move |_| reply(&current.lock().unwrap(), &name));
    let obey = move || {
        // Ends with the pipe, which ends with the starter.
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            *order.lock().unwrap() = line;
        }
    };
    tokio::task::spawn_blocking(obey).await.expect("it does not panic");
    true
}

fn reply(order: &str, name: &str) -> Reply {
    match order.split_once(' ') {
        None => Reply::named(name),
        Some(("slow", millis)) => Reply::named(name).after(Duration::from_millis(millis.parse().expect("a number"))),
        Some((_, mode)) => origin::reply(mode).expect("a mode"),
    }
}
