//! What became of a balancer's decisions: the trait that hears of it, and one attempt at a time.

use crate::{Balancer, Failure, Outcomes, Pool, Position};

/// Where a backend stands that left the pool.
const GONE: u32 = u32::MAX;

/// The optional half of a balancer that hears what became of its decisions: `balancer!(MyType: feedback)`.
///
/// ```
/// use pointsman_sdk::prelude::*;
///
/// /// Leaves a backend alone that failed, until the next one does.
/// #[derive(Default)]
/// struct Wary {
///     shunned: Option<u64>,
/// }
///
/// impl Balancer for Wary {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Wary::default())
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         let start = turn.below(0, pool.len());
///         let mut round = (start..pool.len()).chain(0..start);
///         let good = round.find(|&at| pool.get(at).is_some_and(|backend| Some(backend.id) != self.shunned));
///         turn.untried(good.unwrap_or(start), pool)
///     }
/// }
///
/// impl Feedback for Wary {
///     fn observe(&mut self, _now_us: u64, outcomes: &Outcomes, pool: &Pool) {
///         for outcome in outcomes.iter().filter(|outcome| outcome.failure == Failure::Refused) {
///             self.shunned = outcome.at.and_then(|at| pool.get(at)).map(|backend| backend.id);
///         }
///     }
/// }
///
/// balancer!(Wary: feedback);
///
/// // In a unit test the bench tells it.
/// # use pointsman_sdk::testing::Bench;
/// let mut bench = Bench::<Wary>::new(&[1, 1]);
/// bench.observe(&[Outcome { failure: Failure::Refused, ..Outcome::answered(0, 0, 0) }]);
/// assert_eq!(bench.spread(10), [0, 10]);
/// ```
pub trait Feedback: Balancer {
    /// Called between two picks with what ended since the last call: each attempt that this instance chose once, and those
    /// of a predecessor whose state it took over. `now_us` is on the clock of [`Turn::now_us`](crate::Turn::now_us).
    fn observe(&mut self, now_us: u64, outcomes: &Outcomes, pool: &Pool);
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The backend's position now; none when it left the pool.
    pub at: Option<Position>,
    /// What the pick said with [`notes::token`](crate::host::notes::token); none when a predecessor picked.
    pub token: Option<u64>,
    /// The answer's; 0 without an answer.
    pub status: u16,
    /// What went wrong.
    pub failure: Failure,
    /// 0 for a request's first.
    pub attempt: u32,
    /// From when the backend had the request to its answer's head; 0 without an answer.
    pub ttfb_us: u32,
    /// From the pick to the answer's end.
    pub total_us: u32,
    /// Of the request's body, as far as it was sent.
    pub sent_bytes: u64,
    /// Of the answer's body, as far as it came.
    pub received_bytes: u64,
}

impl Outcome {
    /// A first attempt at the backend there that was answered with 200 after so long, and had no body: for unit tests.
    pub fn answered(at: Position, token: u64, after_us: u32) -> Outcome {
        Outcome {
            at: Some(at),
            token: Some(token),
            status: 200,
            failure: Failure::Nothing,
            attempt: 0,
            ttfb_us: after_us,
            total_us: after_us,
            sent_bytes: 0,
            received_bytes: 0,
        }
    }

    /// Whether the whole of an answer below 500 came.
    pub fn is_success(&self) -> bool {
        self.failure == Failure::Nothing && (100..500).contains(&self.status)
    }

    /// Status, failure, attempt, and whether a predecessor picked.
    fn what(&self) -> u32 {
        let inherited = u32::from(self.token.is_none());
        u32::from(self.status) | (self.failure as u32) << 16 | self.attempt.min(0x7f) << 24 | inherited << 31
    }
}

/// In the order of the contract.
const FAILURES: [Failure; 10] = [
    Failure::Nothing,
    Failure::Refused,
    Failure::ConnectTimeout,
    Failure::Tls,
    Failure::Reset,
    Failure::RequestTimeout,
    Failure::BadResponse,
    Failure::ClientGone,
    Failure::OverCapacity,
    Failure::Outrun,
];

impl Outcomes {
    /// How many attempts there are.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// There are none; a host tells of at least one.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// One attempt after the other. The columns themselves are there for whoever needs one of them only.
    pub fn iter(&self) -> impl Iterator<Item = Outcome> {
        (0..self.len()).map(|row| {
            let what = self.what[row];
            // A later host may know more ways to fail.
            let failure = FAILURES.get((what >> 16 & 0xff) as usize).copied().unwrap_or(Failure::Reset);
            Outcome {
                at: Some(self.at[row]).filter(|&at| at != GONE),
                token: Some(self.token[row]).filter(|_| what >> 31 == 0),
                status: what as u16,
                failure,
                attempt: what >> 24 & 0x7f,
                ttfb_us: self.ttfb_us[row],
                total_us: self.total_us[row],
                sent_bytes: self.sent_bytes[row],
                received_bytes: self.received_bytes[row],
            }
        })
    }
}

impl FromIterator<Outcome> for Outcomes {
    fn from_iter<I: IntoIterator<Item = Outcome>>(rows: I) -> Outcomes {
        let rows: Vec<Outcome> = rows.into_iter().collect();
        Outcomes {
            at: rows.iter().map(|row| row.at.unwrap_or(GONE)).collect(),
            token: rows.iter().map(|row| row.token.unwrap_or(0)).collect(),
            what: rows.iter().map(Outcome::what).collect(),
            ttfb_us: rows.iter().map(|row| row.ttfb_us).collect(),
            total_us: rows.iter().map(|row| row.total_us).collect(),
            sent_bytes: rows.iter().map(|row| row.sent_bytes).collect(),
            received_bytes: rows.iter().map(|row| row.received_bytes).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_their_columns() {
        let rows =
            FAILURES.map(|failure| Outcome { failure, attempt: 3, sent_bytes: 7, ..Outcome::answered(2, 9, 50) });
        let gone = Outcome { at: None, token: None, status: 0, ..rows[1] };
        let rows: Vec<_> = rows.into_iter().chain([gone]).collect();
        let columns: Outcomes = rows.iter().copied().collect();
        assert_eq!(columns.iter().collect::<Vec<_>>(), rows);
        assert!(rows[0].is_success() && !rows[1].is_success());
    }

    #[test]
    fn failures_are_in_the_order_of_their_numbers() {
        assert!(FAILURES.into_iter().zip(0_u32..).all(|(failure, number)| failure as u32 == number));
    }
}
