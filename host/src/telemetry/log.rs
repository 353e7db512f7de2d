//! The log goes to standard error through a bounded queue and one thread that writes. Whoever logs never waits for the
//! reader of standard error: when the queue is full a line is dropped, counted, and told of once there is room again.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt};

/// Lines that wait to be written.
const LINES_MOST: usize = 4096;
/// How long the end of the process waits for the last lines.
const FLUSH_MOST: Duration = Duration::from_secs(1);

/// Lines that were dropped since the start of the process.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// Lines of this process's log that were dropped so far.
pub fn lines_dropped() -> u64 {
    DROPPED.load(Relaxed)
}

/// What the targets of the client for names begin with.
const NAMES: &str = "hickory";
/// The target of plugins' own lines.
const PLUGINS: &str = "plugin";

/// How much is logged: 0 is what an operator wants to see; more is for those who look for something, less for those who
/// want to hear of trouble only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verbosity(pub i16);

impl Verbosity {
    fn level(self) -> LevelFilter {
        match self.0 {
            ..=-2 => LevelFilter::ERROR,
            -1 => LevelFilter::WARN,
            0 => LevelFilter::INFO,
            1 => LevelFilter::DEBUG,
            2.. => LevelFilter::TRACE,
        }
    }

    /// Libraries talk only when asked for everything, and even then only of what is debugged.
    fn library_level(self) -> LevelFilter {
        if self.0 >= 2 { LevelFilter::DEBUG } else { self.level().min(LevelFilter::WARN) }
    }

    /// What plugins say counts as what we say.
    fn filter(self) -> Targets {
        let ours = [env!("CARGO_CRATE_NAME"), PLUGINS].map(|target| (target, self.level()));
        // What is wrong with a look-up is told by us, once; with a single datagram, by whoever sends one.
        let names = if self.0 >= 2 { LevelFilter::DEBUG } else { LevelFilter::ERROR };
        Targets::new().with_default(self.library_level()).with_targets(ours).with_target(NAMES, names)
    }
}

/// The log of this process. Dropping it waits a moment for the last lines.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
}

/// Starts the log on standard error. A process has one: a second start changes nothing about where lines go.
///
/// # Errors
/// When the system gives no thread.
pub fn start(verbosity: Verbosity, color: bool) -> io::Result<Log> {
    let lines = Lines::new(io::stderr())?;
    let layer = fmt::layer().with_target(false).with_ansi(color).with_writer(lines.clone());
    let subscriber = tracing_subscriber::registry().with(verbosity.filter()).with(layer);
    // Err: a log was started before in this process, as tests do; it goes on.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(Log { lines })
}

impl Drop for Log {
    fn drop(&mut self) {
        let (written, all) = mpsc::sync_channel(1);
        // A full queue means that nobody reads: then nobody is waited for.
        if self.lines.queue.try_send(Message::Tell(written)).is_ok() {
            let _ = all.recv_timeout(FLUSH_MOST);
        }
    }
}

enum Message {
    Line(Vec<u8>),
    /// Everything before this was written.
    Tell(SyncSender<()>),
}

/// Where lines are put.
#[derive(Clone, Debug)]
struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl Lines {
    fn new(to: impl Write + Send + 'static) -> io::Result<Lines> {
        let (queue, messages) = mpsc::sync_channel(LINES_MOST);
        let dropped = Arc::new(AtomicU64::new(0));
        let lines = Lines { queue, dropped: dropped.clone() };
        thread::Builder::new().name("log".into()).spawn(move || write_all(to, &messages, &dropped))?;
        Ok(lines)
    }
}

/// The writer thread; ends when nobody can log any more. A log that cannot be written is nobody's reason to stop.
fn write_all(mut to: impl Write, messages: &Receiver<Message>, dropped: &AtomicU64) {
    for message in messages {
        match message {
            Message::Line(line) => {
                let _ = to.write_all(&line);
            }
            Message::Tell(written) => {
                let _ = written.try_send(());
            }
        }
        match dropped.swap(0, Relaxed) {
            0 => {}
            lost => {
                let _ = writeln!(to, "{lost} lines of the log were dropped: standard error was not read fast enough");
            }
        }
    }
}

/// One line each time: the formatter hands over whole events.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
            DROPPED.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> fmt::MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, mpsc::Sender};
    use tracing::Level;

    /// A reader that takes nothing until it is let go.
    struct Stuck {
        go: Mutex<Receiver<()>>,
        taken: Sender<Vec<u8>>,
    }

    impl Write for Stuck {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            // Err: let go for ever.
            let _ = self.go.lock().unwrap().recv();
            self.taken.send(line.to_vec()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_stops_nobody_and_is_told_what_it_missed() {
        let (go, stuck) = mpsc::channel();
        let (taken, written) = mpsc::channel();
        let mut lines = Lines::new(Stuck { go: Mutex::new(stuck), taken }).unwrap();
        // One line may be in the writer's hands, the queue holds its most, ten find no place.
        let tries = LINES_MOST + 11;
        for number in 0..tries {
            lines.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
        let lost = lines.dropped.load(Relaxed);
        assert!((10..=11).contains(&lost), "{lost}");
        drop(go);
        drop(lines);
        let all = String::from_utf8(written.iter().flatten().collect()).unwrap();
        assert!(all.starts_with("0\n"), "the first line came first");
        assert!(all.contains(&format!("{lost} lines of the log were dropped")));
        assert_eq!(all.lines().filter(|line| line.parse::<usize>().is_ok()).count(), tries - lost as usize);
    }

    #[test]
    fn the_more_verbose_the_more_is_told() {
        let levels: Vec<_> = (-3..=3).map(|verbosity| Verbosity(verbosity).level()).collect();
        assert!(levels.is_sorted());
        assert_eq!(Verbosity::default().level(), LevelFilter::INFO);
    }

    #[test]
    fn plugins_are_heard_as_we_are_and_libraries_less() {
        for (verbosity, plugin, library) in [
            (-2, LevelFilter::ERROR, LevelFilter::ERROR),
            (-1, LevelFilter::WARN, LevelFilter::WARN),
            (0, LevelFilter::INFO, LevelFilter::WARN),
            (1, LevelFilter::DEBUG, LevelFilter::WARN),
            (2, LevelFilter::TRACE, LevelFilter::DEBUG),
        ] {
            let filter = Verbosity(verbosity).filter();
            let most = |target| {
                let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
                levels.into_iter().find(|level| filter.would_enable(target, level)).map(LevelFilter::from_level)
            };
            assert_eq!((most("plugin"), most("pointsman::app")), (Some(plugin), Some(plugin)), "{verbosity}");
            assert_eq!(most("hyper::proto"), Some(library), "{verbosity}");
            assert_eq!(most("hickory_net::udp"), Some(library).filter(|_| verbosity > 1).or(Some(LevelFilter::ERROR)));
        }
    }
}
