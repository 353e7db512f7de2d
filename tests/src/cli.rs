//! Pointsman as a process of its own: the binary that users run, in a directory and an environment of its own.

use crate::story::{self, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code; none after a signal.
    pub code: Option<i32>,
    /// What was asked for.
    pub stdout: String,
    /// Messages.
    pub stderr: String,
    /// As bytes, for what is no text.
    pub bytes: Vec<u8>,
}

/// A command that goes on; killed with this value.
pub struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// Where commands run: a fresh directory, which is also where their sockets and temporary files go.
pub struct Room(tempfile::TempDir);

/// How long a command that ends may take: building a plugin takes its time on a busy machine.
const COMMAND_MOST: Duration = Duration::from_secs(300);

type Lines = Arc<Mutex<Vec<String>>>;

impl Default for Room {
    fn default() -> Self {
        Room::new()
    }
}

impl Room {
    /// A fresh one.
    pub fn new() -> Room {
        Room(tempfile::tempdir().unwrap())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file there.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_in(self.path(), arguments).await
    }

    /// Runs a command with `--json` until it succeeds, and gives what it says.
    pub async fn answers(&self, command: &str) -> Value {
        let said = story::arrives(&format!("`{command}` is answered"), async || {
            Some(self.run(&[command, "--json"]).await).filter(|said| said.code == Some(0))
        })
        .await;
        serde_json::from_str(&said.stdout).expect("JSON")
    }

    /// Runs a command to its end, in a directory below.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn run_in(&self, directory: &Path, arguments: &[&str]) -> Said {
        let mut command = self.command(arguments);
        command.current_dir(directory).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        let pid = child.id();
        let ending = tokio::task::spawn_blocking(move || child.wait_with_output());
        let Ok(output) = timeout(COMMAND_MOST, ending).await else {
            signal(pid, Signal::KILL);
            panic!("{arguments:?} does not end");
        };
        let output = output.unwrap().unwrap();
        Said {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Starts a command that goes on.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let stdout = follow(child.stdout.take().unwrap());
        let stderr = follow(child.stderr.take().unwrap());
        Running { child, stdout, stderr }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.path())
            .env("XDG_RUNTIME_DIR", self.path())
            .env("TMPDIR", self.path())
            // Compiled code is shared by all stories.
            .env("XDG_CACHE_HOME", target().join("../tmp"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }
}

impl Running {
    /// Of the process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().join("\n")
    }

    /// What it has logged so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    /// Waits for a line on stdout with this text, and gives the line.
    pub async fn prints(&self, text: &str) -> String {
        waits_for(&self.stdout, &self.stderr, text).await
    }

    /// Waits for a line on stderr with this text, and gives the line.
    pub async fn logs(&self, text: &str) -> String {
        waits_for(&self.stderr, &self.stdout, text).await
    }

    /// Sends `SIGTERM`.
    pub fn terminate(&self) {
        signal(self.pid(), Signal::TERM);
    }

    /// Sends `SIGINT`, as Ctrl-C does.
    pub fn interrupt(&self) {
        signal(self.pid(), Signal::INT);
    }

    /// Sends `SIGHUP`.
    pub fn hang_up(&self) {
        signal(self.pid(), Signal::HUP);
    }

    /// Waits for its end.
    pub async fn ends(&mut self) -> ExitStatus {
        story::arrives("the process ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("not 0");
    kill_process(pid, signal).expect("it runs");
}

/// The binary under test: `POINTSMAN_BIN`, or the one that was built beside this one.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    let built = || target().join("pointsman");
    let binary = std::env::var_os("POINTSMAN_BIN").map_or_else(built, PathBuf::from);
    assert!(binary.exists(), "{} is missing: `cargo xtask test` builds it", binary.display());
    binary
}

/// `target/debug`, or that of another profile.
pub fn target() -> PathBuf {
    let this = std::env::current_exe().expect("a path of this program");
    // target/debug/deps/suites-0123456789abcdef, or target/release/beside
    let mut above = this.ancestors().skip(1);
    above.find(|folder| !folder.ends_with("deps")).expect("inside target").to_owned()
}

async fn waits_for(lines: &Lines, others: &Lines, text: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(line) = lines.lock().unwrap().iter().find(|line| line.contains(text)) {
            return line.clone();
        }
        assert!(
            Instant::now() < end,
            "no line with {text:?} in\n{}\nnor, on the other stream, in\n{}",
            lines.lock().unwrap().join("\n"),
            others.lock().unwrap().join("\n")
        );
        sleep(Duration::from_millis(10)).await;
    }
}

/// Collects lines as they come, on a thread that ends with the stream.
fn follow(stream: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            collected.lock().unwrap().push(line);
        }
    });
    lines
}
