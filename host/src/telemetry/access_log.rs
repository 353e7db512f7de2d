//! The access log: a line of JSON for each request, written by one thread. Whoever serves hands an entry over and goes on;
//! when the queue is full the entry is dropped and counted.

use http::{HeaderValue, Method, Version};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde::{Serialize, Serializer};
use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Entries that wait to be written.
const ENTRIES_MOST: usize = 16 << 10;
/// Bytes that are written at once.
const BATCH_BYTES: usize = 64 << 10;
/// Between two looks while entries come: a writer that slept until the next one would have to be woken by whoever serves,
/// each time.
const PAUSE: Duration = Duration::from_millis(10);
/// How long the end of the process waits for the last lines.
const FLUSH_MOST: Duration = Duration::from_secs(1);
/// Who may read the file: its user and group, for it tells who asked for what.
const MODE: u32 = 0o640;

/// What one request was, and how it ended.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// When its head was there.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// As the client of an error was told, and the backend if it is.
    pub id: Box<str>,
    /// The listener's name.
    #[serde(serialize_with = "word")]
    pub listener: Arc<str>,
    /// As trusted proxies tell it; the peer when there is none.
    pub client: IpAddr,
    /// What it was sent in.
    #[serde(serialize_with = "protocol")]
    pub protocol: Version,
    /// None: what came was no request.
    #[serde(serialize_with = "method")]
    pub method: Option<Method>,
    /// As the client named it.
    #[serde(serialize_with = "text")]
    pub host: Option<HeaderValue>,
    /// Without the query, which may hold secrets.
    pub path: Option<Box<str>>,
    /// None: the client left before there was an answer.
    pub status: Option<u16>,
    /// Of the answer's body, as far as it was handed to the client's connection.
    pub bytes: u64,
    /// From the head of the request to the end of the answer's body.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Option<Duration>,
    /// From the last attempt's begin to the head of its answer.
    #[serde(rename = "upstream_ms", serialize_with = "milliseconds")]
    pub upstream: Option<Duration>,
    /// None: no route matched.
    #[serde(serialize_with = "words")]
    pub pool: Option<Arc<str>>,
    /// Who was asked last.
    #[serde(serialize_with = "words")]
    pub backend: Option<Arc<str>>,
    /// How often one was asked.
    pub attempts: u32,
    /// Who chose.
    #[serde(serialize_with = "words")]
    pub plugin: Option<Arc<str>>,
    /// Which of its generations.
    pub generation: Option<u64>,
    /// Why it was answered here, or broke off.
    pub error: Option<Box<str>>,
    /// How it ended.
    pub ended: Ended,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The whole answer was handed to the client's connection.
    Whole,
    /// The client left, or took too long to take its answer.
    ClientLeft,
    /// The answer broke off on its way from the backend.
    BrokeOff,
}

/// An access log.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Entry(Box<Entry>),
    /// Everything before this was written.
    Tell(SyncSender<()>),
}

impl AccessLog {
    /// Appends to a file, which is made where there is none, and opened anew once another one, or none, is at its path.
    ///
    /// # Errors
    /// When it cannot be opened, or the system gives no thread.
    pub fn to_file(path: &Path) -> io::Result<AccessLog> {
        let file = Some(open(path)?);
        AccessLog::start(Sink::File { path: path.to_owned(), file, is_failing: false })
    }

    /// Writes to standard output.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn to_stdout() -> io::Result<AccessLog> {
        AccessLog::start(Sink::Stdout)
    }

    fn start(sink: Sink) -> io::Result<AccessLog> {
        let (queue, messages) = mpsc::sync_channel(ENTRIES_MOST);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer { sink, messages, dropped: dropped.clone(), text: Vec::new(), lines: 0 };
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run())?;
        Ok(AccessLog { queue, dropped })
    }

    /// Has an entry written, unless too many wait.
    pub fn put(&self, entry: Box<Entry>) {
        if self.queue.try_send(Message::Entry(entry)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Entries that were dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let (written, all) = mpsc::sync_channel(1);
        // A full queue means that nobody reads: then nobody is waited for.
        if self.queue.try_send(Message::Tell(written)).is_ok() {
            let _ = all.recv_timeout(FLUSH_MOST);
        }
    }
}

/// Where lines go.
enum Sink {
    Stdout,
    File { path: PathBuf, file: Option<File>, is_failing: bool },
}

/// The writer's thread.
struct Writer {
    sink: Sink,
    messages: Receiver<Message>,
    dropped: Arc<AtomicU64>,
    text: Vec<u8>,
    /// In `text`.
    lines: u64,
}

impl Writer {
    /// Ends when nobody can log any more.
    fn run(mut self) {
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            // As long as entries come, it looks by itself; after a pause without any it waits to be woken.
            while let Some(message) = next {
                self.take(message);
                while self.text.len() < BATCH_BYTES
                    && let Ok(message) = self.messages.try_recv()
                {
                    self.take(message);
                }
                self.write();
                // Nobody unparks it.
                thread::park_timeout(PAUSE);
                next = self.messages.try_recv().ok();
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Entry(entry) => {
                // An entry holds nothing that JSON has no word for.
                if serde_json::to_writer(&mut self.text, &entry).is_ok() {
                    self.text.push(b'\n');
                    self.lines += 1;
                }
            }
            Message::Tell(written) => {
                self.write();
                let _ = written.try_send(());
            }
        }
    }

    fn write(&mut self) {
        if self.text.is_empty() {
            return;
        }
        if self.sink.write(&self.text).is_err() {
            self.dropped.fetch_add(self.lines, Relaxed);
        }
        self.text.clear();
        self.lines = 0;
    }
}

impl Sink {
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        let Sink::File { path, file, is_failing } = self else { return io::stdout().write_all(text) };
        let wrote = current(path, file).and_then(|mut file| file.write_all(text));
        match &wrote {
            Ok(()) if std::mem::take(is_failing) => tracing::info!(path = %path.display(), "the access log goes on"),
            Ok(()) => {}
            Err(error) => {
                // Half a line may be there; a new file, or the same one opened anew, is tried with the next batch.
                *file = None;
                if !std::mem::replace(is_failing, true) {
                    tracing::warn!(path = %path.display(), %error, "the access log cannot be written; its lines are dropped");
                }
            }
        }
        wrote
    }
}

/// The file at the path: the one that is open, unless it was renamed or removed meanwhile.
fn current<'a>(path: &Path, file: &'a mut Option<File>) -> io::Result<&'a File> {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let is_there =
        file.as_ref().and_then(|file| file.metadata().ok()).map(identity) == std::fs::metadata(path).ok().map(identity);
    if !is_there || file.is_none() {
        match (open(path), file.is_some()) {
            (Ok(opened), _) => *file = Some(opened),
            // The old one takes the lines until a new one can be made.
            (Err(_), true) => {}
            (Err(error), false) => return Err(error),
        }
    }
    file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// A pipe that nobody reads is an error: opening it would wait for a reader.
fn open(path: &Path) -> io::Result<File> {
    let at_once = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(at_once).open(path)?;
    // From here on it may take its time: only the log's own thread waits.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn protocol<S: Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match *version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/1.0",
    })
}

fn method<S: Serializer>(method: &Option<Method>, to: S) -> Result<S::Ok, S::Error> {
    method.as_ref().map(Method::as_str).serialize(to)
}

fn word<S: Serializer>(word: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(word)
}

fn words<S: Serializer>(word: &Option<Arc<str>>, to: S) -> Result<S::Ok, S::Error> {
    word.as_deref().serialize(to)
}

fn text<S: Serializer>(text: &Option<HeaderValue>, to: S) -> Result<S::Ok, S::Error> {
    text.as_ref().map(|text| String::from_utf8_lossy(text.as_bytes())).serialize(to)
}

fn milliseconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_micros() as f64 / 1e3).serialize(to)
}

/// UTC, to the millisecond.
fn rfc3339<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    to.collect_str(&format_args!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        since.subsec_millis()
    ))
}

/// Year, month and day of the day this many after 1970-01-01 (Hinnant's `civil_from_days`: years begin in March, so that
/// the leap day is the last one).
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn entry(id: &str) -> Box<Entry> {
        Box::new(Entry {
            time: UNIX_EPOCH + Duration::from_millis(951_782_399_042),
            id: id.into(),
            listener: "public".into(),
            client: [192, 0, 2, 7].into(),
            protocol: Version::HTTP_2,
            method: Some(Method::GET),
            host: Some(HeaderValue::from_static("shop.example")),
            path: Some("/cart \"x\"".into()),
            status: Some(200),
            bytes: 12,
            duration: Some(Duration::from_micros(1500)),
            upstream: None,
            pool: Some("cart".into()),
            backend: Some("a".into()),
            attempts: 1,
            plugin: None,
            generation: None,
            error: None,
            ended: Ended::ClientLeft,
        })
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_an_error_and_holds_nobody_up() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let room = tempfile::tempdir().unwrap();
        let pipe = room.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(AccessLog::to_file(&pipe).is_err());
    }

    #[test]
    fn a_line_is_json_with_every_key() {
        let line = serde_json::to_value(entry("4f")).unwrap();
        let expected = serde_json::json!({
            "time": "2000-02-28T23:59:59.042Z", "id": "4f", "listener": "public", "client": "192.0.2.7",
            "protocol": "HTTP/2", "method": "GET", "host": "shop.example", "path": "/cart \"x\"", "status": 200,
            "bytes": 12, "duration_ms": 1.5, "upstream_ms": null, "pool": "cart", "backend": "a", "attempts": 1,
            "plugin": null, "generation": null, "error": null, "ended": "client-left",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn days_have_their_dates() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (19_722, (2023, 12, 31)),
            (47_540, (2100, 2, 28)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(days), expected, "{days}");
        }
    }

    /// The ids in a file, once it holds so many.
    fn ids(path: &Path, count: usize) -> Vec<String> {
        let end = tokio::time::Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count || tokio::time::Instant::now() > end {
                let id = |line: &str| {
                    serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_str().map(String::from)
                };
                return text.lines().filter_map(id).collect();
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_file_that_was_renamed_is_made_anew_and_the_last_lines_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
        let log = AccessLog::to_file(&path).unwrap();
        log.put(entry("1"));
        assert_eq!(ids(&path, 1), ["1"]);
        fs::rename(&path, &old).unwrap();
        log.put(entry("2"));
        assert_eq!(ids(&path, 1), ["2"]);
        for _ in 0..1000 {
            log.put(entry("3"));
        }
        drop(log);
        assert_eq!((ids(&path, 1).len(), ids(&old, 1).len()), (1001, 1));
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        fs::create_dir(&below).unwrap();
        let path = below.join("access.log");
        let mut file = None;
        fs::remove_dir(&below).unwrap();
        assert!(current(&path, &mut file).is_err());
        fs::create_dir(&below).unwrap();
        assert!(current(&path, &mut file).is_ok());
    }

    #[test]
    fn a_full_queue_drops() {
        let (queue, _nobody_reads) = mpsc::sync_channel(1);
        let log = AccessLog { queue, dropped: Arc::default() };
        for _ in 0..3 {
            log.put(entry("1"));
        }
        assert_eq!(log.dropped(), 2);
    }
}
