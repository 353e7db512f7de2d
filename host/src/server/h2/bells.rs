//! One waker per stream and one for the frames, so that what is ready is polled and nothing else, on the one task of
//! the connection. What rings while that task runs wakes nobody: it looks again before it rests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

/// Bits of one word.
const WORD: usize = 64;
/// Streams that have a bell.
pub(super) const STREAMS: usize = STREAM_WORDS * WORD;
const STREAM_WORDS: usize = 4;

/// The bells of one connection.
#[derive(Debug)]
pub(super) struct Bells {
    rung: Arc<Rung>,
    frames: Waker,
    /// By stream; made when first needed.
    streams: Vec<Option<Waker>>,
    task: Waker,
    /// The stream after which looking goes on, so that none is always first.
    next: usize,
}

/// What has rung.
#[derive(Debug, Default)]
struct Rung {
    streams: [AtomicU64; STREAM_WORDS],
    frames: AtomicBool,
    /// The task is looking.
    awake: AtomicBool,
}

/// What a bell is for.
#[derive(Clone, Copy, Debug)]
enum What {
    Frames,
    Stream(usize),
}

/// A bell, as a waker.
#[derive(Debug)]
struct Bell {
    rung: Arc<Rung>,
    what: What,
    task: Waker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let was_rung = self.rung.ring(self.what);
        // Who looks asks whether something rang after it has said that it rests: it misses nothing.
        if !was_rung && !self.rung.awake.load(SeqCst) {
            self.task.wake_by_ref();
        }
    }
}

impl Rung {
    /// Whether it had rung already.
    fn ring(&self, what: What) -> bool {
        match what {
            What::Frames => self.frames.swap(true, SeqCst),
            What::Stream(number) => {
                let bit = 1 << (number % WORD);
                self.streams[number / WORD].fetch_or(bit, SeqCst) & bit != 0
            }
        }
    }
}

impl Bells {
    /// For a connection that this task serves. The frames' has rung.
    pub(super) fn new(task: &Waker) -> Bells {
        let rung = Arc::new(Rung { frames: AtomicBool::new(true), ..Rung::default() });
        let frames = bell(&rung, What::Frames, task);
        Bells { rung, frames, streams: Vec::new(), task: task.clone(), next: 0 }
    }

    /// The task begins to look. Should it be another one, all has rung: who waits must know the new one.
    pub(super) fn wake_up(&mut self, task: &Waker) {
        self.rung.awake.store(true, SeqCst);
        if !self.task.will_wake(task) {
            self.task = task.clone();
            self.frames = bell(&self.rung, What::Frames, task);
            self.ring_frames();
            for number in 0..self.streams.len() {
                self.streams[number] = None;
                self.ring_stream(number);
            }
        }
    }

    /// The task ends to look; `goes_on`: it has not looked at everything.
    pub(super) fn rest(&self, goes_on: bool) {
        self.rung.awake.store(false, SeqCst);
        if goes_on || self.is_any_rung() {
            self.task.wake_by_ref();
        }
    }

    /// Wakes for the frames.
    pub(super) fn frames(&self) -> &Waker {
        &self.frames
    }

    /// Wakes for this stream.
    pub(super) fn stream(&mut self, number: usize) -> &Waker {
        if self.streams.len() <= number {
            self.streams.resize(number + 1, None);
        }
        let (rung, task) = (&self.rung, &self.task);
        self.streams[number].get_or_insert_with(|| bell(rung, What::Stream(number), task))
    }

    pub(super) fn ring_frames(&self) {
        self.rung.ring(What::Frames);
    }

    pub(super) fn ring_stream(&self, number: usize) {
        self.rung.ring(What::Stream(number));
    }

    /// Whether the frames' rang; it is silent afterwards.
    pub(super) fn take_frames(&self) -> bool {
        self.rung.frames.swap(false, SeqCst)
    }

    /// A stream whose bell rang; it is silent afterwards. In turn.
    pub(super) fn take_stream(&mut self) -> Option<usize> {
        let first = self.next % STREAMS;
        // The word where the last search ended comes twice: first what is behind that place, at last what is before it.
        for step in 0..=STREAM_WORDS {
            let word = (first / WORD + step) % STREAM_WORDS;
            let mut rung = self.rung.streams[word].load(SeqCst);
            if step == 0 {
                rung &= u64::MAX << (first % WORD);
            }
            if rung != 0 {
                let bit = rung.trailing_zeros() as usize;
                self.rung.streams[word].fetch_and(!(1 << bit), SeqCst);
                self.next = word * WORD + bit + 1;
                return Some(word * WORD + bit);
            }
        }
        None
    }

    /// Whether any bell rang.
    pub(super) fn is_any_rung(&self) -> bool {
        self.rung.frames.load(SeqCst) || self.is_stream_rung()
    }

    /// Whether a stream's bell rang.
    pub(super) fn is_stream_rung(&self) -> bool {
        self.rung.streams.iter().any(|word| word.load(SeqCst) != 0)
    }
}

fn bell(rung: &Arc<Rung>, what: What, task: &Waker) -> Waker {
    Arc::new(Bell { rung: rung.clone(), what, task: task.clone() }).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn bells() -> (Bells, Arc<Count>) {
        let count = Arc::new(Count::default());
        let bells = Bells::new(&count.clone().into());
        assert!(bells.take_frames());
        (bells, count)
    }

    #[test]
    fn streams_take_turns() {
        let (mut bells, _) = bells();
        for round in 0..3 {
            let numbers = [3, 64, 130, 255];
            numbers.iter().for_each(|&number| bells.ring_stream(number));
            let taken: Vec<_> = std::iter::from_fn(|| bells.take_stream()).collect();
            assert_eq!(taken, numbers, "round {round}");
        }
        bells.ring_stream(5);
        assert_eq!(bells.take_stream(), Some(5));
        bells.ring_stream(5);
        bells.ring_stream(6);
        assert_eq!(bells.take_stream(), Some(6));
        assert_eq!(bells.take_stream(), Some(5));
        assert_eq!(bells.take_stream(), None);
    }

    #[test]
    fn who_looks_is_not_woken_and_looks_again() {
        let (mut bells, woken) = bells();
        let (task, stream) = (bells.task.clone(), bells.stream(7).clone());
        bells.wake_up(&task);
        stream.wake_by_ref();
        assert_eq!(woken.0.load(SeqCst), 0);
        bells.rest(false);
        assert_eq!(woken.0.load(SeqCst), 1, "something was left");
        bells.wake_up(&task);
        assert_eq!(bells.take_stream(), Some(7));
        bells.rest(false);
        stream.wake_by_ref();
        stream.wake();
        assert_eq!(woken.0.load(SeqCst), 2, "once for as many rings as there are before the next look");
    }

    #[test]
    fn another_task_hears_everything() {
        let (mut bells, _) = bells();
        let _ = bells.stream(2);
        let other = Arc::new(Count::default());
        bells.wake_up(&other.clone().into());
        assert!(bells.take_frames());
        assert!(std::iter::from_fn(|| bells.take_stream()).any(|number| number == 2));
        bells.rest(false);
        bells.stream(2).wake_by_ref();
        assert_eq!(other.0.load(SeqCst), 1);
    }
}
