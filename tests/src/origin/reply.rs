//! What a backend sends back: a script of small steps.

use bytes::Bytes;
use socket2::SockRef;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::watch,
    time::sleep,
};

/// Pieces that a body may drip at the most, so that no script goes on for ever.
const DRIPS_MOST: u32 = 100_000;

/// What a backend sends back. After the last step it waits for the next request, unless that step ended the connection.
#[derive(Clone, Debug, Default)]
pub struct Reply(pub Vec<Step>);

/// One step of a [`Reply`].
#[derive(Clone, Debug)]
pub enum Step {
    /// Does nothing for a while.
    Wait(Duration),
    /// Sends these bytes.
    Write(Bytes),
    /// Sends a piece again and again until the gate opens.
    Drip {
        /// What is sent each time.
        piece: Bytes,
        /// Between two of them.
        every: Duration,
        /// When to stop.
        until: Gate,
    },
    /// Sends back all that comes, until nothing more comes; then it closes its direction too.
    Echo,
    /// Closes both directions.
    Close,
    /// Closes its own direction and goes on reading nothing.
    HalfClose,
    /// Ends the connection with a reset.
    Reset,
}

impl Reply {
    /// 200 with this name as the body and in `x-backend`.
    pub fn named(name: &str) -> Reply {
        Reply::status(200, name).with("x-backend", name)
    }

    /// This status and body.
    pub fn status(status: u16, body: &str) -> Reply {
        Reply::bytes(format!("HTTP/1.1 {status} Told so\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
    }

    /// These bytes, whatever they are.
    pub fn bytes(bytes: impl Into<Bytes>) -> Reply {
        Reply(vec![Step::Write(bytes.into())])
    }

    /// No answer, as long as the connection lives.
    pub fn silence() -> Reply {
        Reply(vec![Step::Drip { piece: Bytes::new(), every: Duration::from_secs(1), until: Gate::default() }])
    }

    /// A chunked body that stays open, a piece at a time, until the gate opens; then it ends as it should.
    pub fn open_until(gate: &Gate, every: Duration) -> Reply {
        Reply(vec![
            Step::Write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n".into()),
            Step::Drip { piece: "1\r\n.\r\n".into(), every, until: gate.clone() },
            Step::Write("4\r\nlast\r\n0\r\n\r\n".into()),
        ])
    }

    /// One more header.
    pub fn with(mut self, name: &str, value: &str) -> Reply {
        if let Some(Step::Write(bytes)) = self.0.first_mut() {
            let text = String::from_utf8(bytes.to_vec()).expect("a head in ASCII");
            *bytes = text.replacen("\r\n", &format!("\r\n{name}: {value}\r\n"), 1).into();
        }
        self
    }

    /// Sends nothing until the gate opens.
    pub fn once_open(mut self, gate: &Gate) -> Reply {
        let every = Duration::from_millis(20);
        self.0.insert(0, Step::Drip { piece: Bytes::new(), every, until: gate.clone() });
        self
    }

    /// Waits before all else.
    pub fn after(mut self, wait: Duration) -> Reply {
        if !wait.is_zero() {
            self.0.insert(0, Step::Wait(wait));
        }
        self
    }

    /// One more step.
    pub fn then(mut self, step: Step) -> Reply {
        self.0.push(step);
        self
    }
}

/// Closed until it is opened, once; all copies are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Gate(watch::Sender::new(false))
    }
}

impl Gate {
    /// Opens it for everybody who waits.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // Never an error: this value is a sender.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// Plays a reply; false when the connection is over.
pub(super) async fn send(reply: &Reply, stream: &mut BufReader<TcpStream>) -> bool {
    for step in &reply.0 {
        let alive = match step {
            Step::Wait(wait) => {
                sleep(*wait).await;
                true
            }
            Step::Write(bytes) => stream.write_all(bytes).await.is_ok(),
            Step::Drip { piece, every, until } => drip(piece, *every, until, stream).await,
            Step::Echo => {
                echo(stream).await;
                false
            }
            Step::Close => false,
            Step::HalfClose => {
                let _ = stream.shutdown().await;
                Gate::default().opened().await;
                false
            }
            Step::Reset => {
                let _ = SockRef::from(stream.get_ref()).set_linger(Some(Duration::ZERO));
                false
            }
        };
        if !alive {
            return false;
        }
    }
    true
}

async fn echo(stream: &mut BufReader<TcpStream>) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        if stream.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
    let _ = stream.shutdown().await;
}

async fn drip(piece: &Bytes, every: Duration, until: &Gate, stream: &mut BufReader<TcpStream>) -> bool {
    for _ in 0..DRIPS_MOST {
        tokio::select! {
            () = until.opened() => return true,
            () = hung_up(stream.get_ref()) => return false,
            () = sleep(every) => {}
        }
        if stream.write_all(piece).await.is_err() {
            return false;
        }
    }
    false
}

/// Ends when the other side has closed. Bytes that come before that are left for later, and hide it.
async fn hung_up(stream: &TcpStream) {
    if matches!(stream.peek(&mut [0]).await, Ok(1..)) {
        std::future::pending::<()>().await;
    }
}
