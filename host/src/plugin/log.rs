//! What a plugin says: its log calls and what it prints. A bounded ring that `status` shows, and the host's own log. A
//! flood costs two atomic operations a line and is counted.

use crate::figures::micros;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many lines are kept.
const LINES_MAX: usize = 256;
/// How long a line may be, in bytes; the rest of it is cut off.
pub(super) const LINE_MAX: usize = 4096;
/// How often a line may come, on average.
const LINE_EVERY: Duration = Duration::from_millis(10);
/// How many may come at once after silence.
const BURST: u32 = 100;

/// How much a line matters, as the plugin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For its author.
    Debug,
    /// News.
    Info,
    /// Somebody should know.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}

/// One line of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Instant,
    /// How much it matters.
    pub level: Level,
    /// One line, without control characters.
    pub text: Arc<str>,
}

/// The lines of one generation.
#[derive(Debug)]
pub struct Log {
    /// Whose lines the host's own log shows them as; none: it shows none of them.
    speaker: Option<Arc<str>>,
    since: Instant,
    /// Micros after `since` at which the next line comes if they come evenly (GCRA).
    due_us: AtomicU64,
    dropped: AtomicU64,
    lines: Mutex<VecDeque<LogLine>>,
}

impl Log {
    /// Lines go to the host's log too, as this speaker's.
    pub(super) fn new(speaker: impl Into<Arc<str>>) -> Log {
        Log { speaker: Some(speaker.into()), ..Log::scratch() }
    }

    /// Nobody hears it.
    pub(super) fn scratch() -> Log {
        Log {
            speaker: None,
            since: Instant::now(),
            due_us: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            lines: Mutex::default(),
        }
    }

    /// Adds a line, or counts it as dropped.
    pub(super) fn write(&self, level: Level, text: &str) {
        let now = Instant::now();
        if !self.admits(now) {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let text = tidy(text);
        if let Some(speaker) = &self.speaker {
            match level {
                Level::Debug => tracing::debug!(target: "plugin", "{speaker}: {text}"),
                Level::Info => tracing::info!(target: "plugin", "{speaker}: {text}"),
                Level::Warn => tracing::warn!(target: "plugin", "{speaker}: {text}"),
                Level::Error => tracing::error!(target: "plugin", "{speaker}: {text}"),
            }
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(LogLine { at: now, level, text: text.into() });
    }

    /// The latest lines, oldest first.
    pub fn lines(&self) -> Vec<LogLine> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// How many lines came too fast.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    fn admits(&self, now: Instant) -> bool {
        let now_us = micros(now.saturating_duration_since(self.since));
        let most_us = micros(LINE_EVERY * BURST);
        self.due_us
            .fetch_update(Relaxed, Relaxed, |due| {
                let next = due.max(now_us) + micros(LINE_EVERY);
                (next <= now_us + most_us).then_some(next)
            })
            .is_ok()
    }
}

/// One line, no longer than it may be, and nothing in it that moves a terminal's cursor.
fn tidy(text: &str) -> String {
    let text = text.trim_end();
    let mut end = text.len().min(LINE_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_to_the_burst_and_counted() {
        let log = Log::scratch();
        for n in 0..1000 {
            log.write(Level::Info, &format!("line {n}"));
        }
        assert_eq!((log.lines().len(), log.dropped()), (BURST as usize, 1000 - u64::from(BURST)));
        tokio::time::advance(LINE_EVERY * 5).await;
        for _ in 0..1000 {
            log.write(Level::Info, "again");
        }
        assert_eq!(log.lines().len(), BURST as usize + 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_lines_are_kept() {
        let log = Log::scratch();
        for n in 0..1000 {
            log.write(Level::Warn, &n.to_string());
            tokio::time::advance(LINE_EVERY).await;
        }
        let lines = log.lines();
        assert_eq!((lines.len(), &*lines[0].text, &*lines[255].text), (LINES_MAX, "744", "999"));
    }

    #[test]
    fn a_line_is_bounded_and_tidy() {
        assert_eq!(tidy("a\u{1b}[31mb\nc\n"), "a [31mb c");
        assert_eq!(tidy(&"ä".repeat(LINE_MAX)).len(), LINE_MAX);
        assert_eq!(tidy(&format!("x{}", "ä".repeat(LINE_MAX))).len(), LINE_MAX - 1);
    }
}
