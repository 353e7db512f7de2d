//! Write a load-balancing algorithm, or a request filter, for Pointsman.
//!
//! An algorithm is one type, one trait and one macro. The example below is complete; a component is built of it with
//! `cargo build --release --target wasm32-wasip2`.
//!
//! ```
//! use pointsman_sdk::prelude::*;
//!
//! /// Two backends at random; the one with fewer requests under way serves.
//! struct LessBusy;
//!
//! impl Balancer for LessBusy {
//!     type Settings = NoSettings;
//!
//!     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
//!         Ok(LessBusy)
//!     }
//!
//!     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
//!         let (one, other) = (turn.below(0, pool.len()), turn.below(1, pool.len()));
//!         let busier = figures::in_flight(one) > figures::in_flight(other);
//!         turn.untried(if busier { other } else { one }, pool)
//!     }
//! }
//!
//! balancer!(LessBusy);
//!
//! // A unit test, run by plain `cargo test`: a fake host answers.
//! # use pointsman_sdk::testing::{self, Bench};
//! let mut bench = Bench::<LessBusy>::new(&[1, 1]);
//! testing::host(|host| host.figures[0].in_flight = 9);
//! let spread = bench.spread(1_000);
//! assert!(spread[1] > spread[0]);
//! ```
//!
//! | to | see |
//! |---|---|
//! | choose backends | [`Balancer`], [`balancer!`] |
//! | work on a schedule too | [`Ticker`] |
//! | hear what became of the choices | [`Feedback`], [`notes::token`](host::notes::token) |
//! | keep what was learnt when the file is replaced | [`HandOver`] |
//! | have backends asked how busy they are | [`Prober`], [`probes::ask`](host::probes::ask) |
//! | say whom to ask next | [`notes::prefer_next`](host::notes::prefer_next) |
//! | see, change or answer requests before that | [`Filter`], [`filter!`] |
//! | ask the host | [`request`](host::request), [`figures`](host::figures), [`shared`](host::shared), [`kv`](host::kv), [`rate_limit`](host::rate_limit) |
//! | be measured | [`metrics`](host::metrics) |
//! | leave the choice among some to others | [`subsets`](host::subsets) |
//! | say more than a decision | [`notes`](host::notes) |
//! | draw in proportion to weight, or take turns | [`Weighted`], [`Deadlines`] |
//! | find who costs the least | [`Costs`] |
//! | send equal keys to equal backends | [`hashing`] |
//! | count failures as latency | [`Failing`] |
//! | heed slow start | [`SlowStart`] |
//! | test it | [`testing`] |
//!
//! Time and chance come with each [`Turn`], and nowhere else: a plugin whose decisions depend on its arguments and the
//! host's figures alone can be tested, simulated and replayed.
#![warn(missing_docs)]

#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod export;

mod about;
mod balancer;
mod costs;
mod deadlines;
mod failing;
mod feedback;
mod filter;
mod hand_over;
mod pool;
mod prober;
mod settings;
mod slow_start;
mod turn;
mod weighted;

pub mod hashing;
pub mod host;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use balancer::{Balancer, Ticker};
pub use bindings::{
    filter::exports::pointsman::plugin::filter::Verdict,
    platform::pointsman::plugin::types::{
        Backend, Decision, Failure, Outcomes, Place, Position, ProbeAnswers, Standing, Subset, Turn,
    },
};
pub use costs::{Cost, Costs};
pub use deadlines::Deadlines;
pub use failing::Failing;
pub use feedback::{Feedback, Outcome};
pub use filter::Filter;
pub use hand_over::HandOver;
pub use pool::Pool;
pub use prober::{ProbeAnswer, Prober};
pub use settings::NoSettings;
pub use slow_start::SlowStart;
pub use weighted::Weighted;

/// The samples of the documents: they compile.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}
    #[doc = include_str!("../../host/manual/write-a-balancer.md")]
    mod write_a_balancer {}
    #[doc = include_str!("../../host/manual/write-a-filter.md")]
    mod write_a_filter {}
}

/// What a plugin uses, in one line.
pub mod prelude {
    pub use crate::{
        Backend, Balancer, Decision, Failure, Feedback, Filter, HandOver, NoSettings, Outcome, Outcomes, Place, Pool,
        Position, ProbeAnswer, ProbeAnswers, Prober, Standing, Subset, Ticker, Turn, Verdict, balancer, filter,
        host::{edits, figures, log, notes, probes, request, shared, subsets},
    };
}
