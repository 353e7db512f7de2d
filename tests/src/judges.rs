//! Programs that somebody else wrote, to hold ours against. `cargo xtask test` installs them: Python's into
//! `target/judges/python`, Node's into `target/judges/node`, others from Debian.

use crate::{cli::target, story::within};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Another reader of HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Python's, of the hyper project.
    H11,
    /// Node's.
    Llhttp,
}

/// Whose bytes are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// A client's.
    Requests,
    /// A backend's.
    Answers,
}

/// What a reader says of a message.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or the status.
    pub first: String,
    /// In order, names in lower case, values in hexadecimal.
    pub headers: Vec<(String, String)>,
    /// In hexadecimal.
    pub body: String,
}

/// What a reader says of some bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    /// Whole ones.
    pub messages: Vec<Message>,
    /// The message that the bytes end in, when its head is whole.
    pub begun: Option<Message>,
    /// `between`, `within`, `last` or `refused`.
    pub end: String,
    /// Why it refused.
    pub why: String,
}

/// The folder of this crate's files for judges.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("judges")
}

/// Where they are installed.
fn installed(what: &str) -> PathBuf {
    let path = target().parent().expect("target").join("judges").join(what);
    assert!(path.exists(), "{} is missing: `cargo xtask test` installs it", path.display());
    path
}

/// Python with all that `judges/requirements.txt` lists.
///
/// # Panics
/// When it is not installed.
pub fn python_path() -> PathBuf {
    installed("python/bin/python")
}

/// That Python for a script of `judges/`.
///
/// # Panics
/// When it is not installed.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(python_path());
    command.arg(scripts().join(script));
    command
}

/// A program of that Python.
///
/// # Panics
/// When it is not installed.
pub fn python_program(name: &str) -> Command {
    Command::new(installed(&format!("python/bin/{name}")))
}

/// A program from Debian. What it reads and writes in its home is kept away from the user's.
///
/// # Panics
/// When it is not installed.
pub fn debian(name: &str) -> Command {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.exists());
    Command::new(found.unwrap_or_else(|| panic!("{name} is missing: `cargo xtask test` installs it")))
}

/// What a reader says of each of these inputs, which come to it in pieces.
///
/// # Panics
/// When it is not installed, or does not say something of each.
pub fn read(reader: Reader, side: Side, inputs: &[Vec<&[u8]>]) -> Vec<Verdict> {
    let mut command = match reader {
        Reader::H11 => python("read_h11.py"),
        Reader::Llhttp => {
            let mut node = debian("node");
            node.arg(scripts().join("read_llhttp.js")).arg(installed("node"));
            node
        }
    };
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let side = if side == Side::Requests { "requests" } else { "answers" };
    let lines: Vec<String> = inputs.iter().map(|pieces| line(side, pieces)).collect();
    let writing = std::thread::spawn(move || lines.iter().try_for_each(|line| stdin.write_all(line.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("no panic").expect("it reads all");
    let text = String::from_utf8(output.stdout).expect("text");
    let verdicts: Vec<Verdict> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(verdicts.len(), inputs.len(), "{reader:?} ended early: {}", output.status);
    verdicts
}

fn line(side: &str, pieces: &[&[u8]]) -> String {
    let mut line = side.to_owned();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        line.push(' ');
        line.push_str(&hex(piece));
    }
    line.push('\n');
    line
}

/// As the readers write bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How often each of these words was said.
pub fn counted(words: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// A backend of `judges/`, in Python; it ends with this value.
pub struct Serving {
    process: Child,
    address: SocketAddr,
}

impl Serving {
    /// Starts one that prints its port, and waits for that.
    ///
    /// # Panics
    /// When it does not print one.
    pub async fn start(script: &str) -> Serving {
        let mut process = python(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let stdout = process.stdout.take().expect("a pipe");
        let reading = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = within("its port", reading).await.expect("no panic").expect("a line").expect("text");
        let port = line.trim().parse().expect("a port");
        Serving { process, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
