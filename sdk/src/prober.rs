//! What backends say when they are asked how busy they are: the trait that hears it, and one answer at a time.

use crate::{Balancer, Pool, Position, ProbeAnswers};

/// In place of a number that is not known, and of the position of a backend that left the pool.
const NONE: u32 = u32::MAX;

/// The optional half of a balancer that has backends asked how busy they are: `balancer!(MyType: prober)`. It asks with
/// [`probes::ask`](crate::host::probes::ask).
///
/// ```
/// use pointsman_sdk::prelude::*;
///
/// /// Asks two backends by chance with each request, and sends requests where the fewest were under way when it was asked last.
/// #[derive(Default)]
/// struct Curious {
///     least: Option<(u32, Position)>,
/// }
///
/// impl Balancer for Curious {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Curious::default())
///     }
///
///     fn update(&mut self, _: &Pool) {
///         self.least = None;
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         (0..2).for_each(|nth| _ = probes::ask(turn.below(nth, pool.len())));
///         let at = self.least.map_or_else(|| turn.below(2, pool.len()), |(_, at)| at);
///         turn.untried(at, pool)
///     }
/// }
///
/// impl Prober for Curious {
///     fn probed(&mut self, _now_us: u64, answers: &ProbeAnswers, pool: &Pool) {
///         for answer in answers.iter() {
///             let Some(at) = answer.at.filter(|at| *at < pool.len()) else { continue };
///             // What it said before counts no more, whatever it says now.
///             self.least = self.least.filter(|(_, of)| *of != at);
///             let said = answer.in_flight.map(|in_flight| (in_flight, at));
///             self.least = said.into_iter().chain(self.least).min();
///         }
///     }
/// }
///
/// balancer!(Curious: prober);
///
/// // In a unit test the bench tells it.
/// # use pointsman_sdk::testing::{self, Bench};
/// let mut bench = Bench::<Curious>::new(&[1, 1]);
/// bench.pick();
/// assert!(!testing::host(|host| std::mem::take(&mut host.asked)).is_empty());
/// bench.probed(&[ProbeAnswer::busy(0, 0), ProbeAnswer::busy(1, 5)]);
/// assert_eq!(bench.spread(10), [10, 0]);
/// bench.probed(&[ProbeAnswer::busy(0, 9), ProbeAnswer::busy(1, 5)]);
/// assert_eq!(bench.spread(10), [0, 10]);
/// ```
pub trait Prober: Balancer {
    /// Called between two picks with what came since the last call of the probes that were asked for on this worker; those of a
    /// predecessor are among them. Not all come: see [`probes::ask`](crate::host::probes::ask). `now_us` is on the clock of
    /// [`Turn::now_us`](crate::Turn::now_us).
    fn probed(&mut self, now_us: u64, answers: &ProbeAnswers, pool: &Pool);
}

/// What came of one probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The backend's position now; none when it left the pool.
    pub at: Option<Position>,
    /// Requests that the backend says it has under way, whoever sent them; none: no answer that could be read came in time, or
    /// a reload has taken the pool's `probe` away.
    pub in_flight: Option<u32>,
    /// How long the backend says it takes to answer, if it says so.
    pub latency_us: Option<u32>,
    /// From the asking of the backend to its answer, or until it was given up.
    pub took_us: u32,
    /// How long ago the backend said so, or was given up.
    pub age_us: u32,
}

impl ProbeAnswer {
    /// The backend there says now that it has so many requests under way, and nothing of its latency: for unit tests.
    pub fn busy(at: Position, in_flight: u32) -> ProbeAnswer {
        ProbeAnswer { at: Some(at), in_flight: Some(in_flight), latency_us: None, took_us: 0, age_us: 0 }
    }

    /// The backend there says nothing: for unit tests.
    pub fn lost(at: Position) -> ProbeAnswer {
        ProbeAnswer { in_flight: None, ..ProbeAnswer::busy(at, 0) }
    }
}

impl ProbeAnswers {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// There are none; a host tells of at least one.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// One answer after the other. The columns themselves are there for whoever needs one of them only.
    pub fn iter(&self) -> impl Iterator<Item = ProbeAnswer> {
        let known = |number: u32| Some(number).filter(|number| *number != NONE);
        (0..self.len()).map(move |row| ProbeAnswer {
            at: known(self.at[row]),
            in_flight: known(self.in_flight[row]),
            latency_us: known(self.latency_us[row]),
            took_us: self.took_us[row],
            age_us: self.age_us[row],
        })
    }
}

impl FromIterator<ProbeAnswer> for ProbeAnswers {
    fn from_iter<I: IntoIterator<Item = ProbeAnswer>>(rows: I) -> ProbeAnswers {
        let rows: Vec<ProbeAnswer> = rows.into_iter().collect();
        ProbeAnswers {
            at: rows.iter().map(|row| row.at.unwrap_or(NONE)).collect(),
            in_flight: rows.iter().map(|row| row.in_flight.unwrap_or(NONE)).collect(),
            latency_us: rows.iter().map(|row| row.latency_us.unwrap_or(NONE)).collect(),
            took_us: rows.iter().map(|row| row.took_us).collect(),
            age_us: rows.iter().map(|row| row.age_us).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_their_columns() {
        let full = ProbeAnswer { latency_us: Some(7), took_us: 8, age_us: 9, ..ProbeAnswer::busy(2, 3) };
        let rows = vec![full, ProbeAnswer { at: None, ..full }, ProbeAnswer::busy(0, 0), ProbeAnswer::lost(1)];
        let columns: ProbeAnswers = rows.iter().copied().collect();
        assert_eq!(columns.iter().collect::<Vec<_>>(), rows);
    }
}
