//! What the host tells, and does, when it is asked. In a component these are the imports; in a unit test the thread's
//! [`testing::Host`](crate::testing::Host) answers.

pub mod edits;
pub mod figures;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod notes;
pub mod probes;
pub mod rate_limit;
pub mod request;
pub mod shared;
pub mod subsets;

/// The import in a component, the fake host's answer everywhere else.
macro_rules! ask {
    ($import:expr, $fake:expr) => {{
        #[cfg(target_family = "wasm")]
        let answer = $import;
        #[cfg(not(target_family = "wasm"))]
        let answer = crate::testing::host($fake);
        answer
    }};
}
use ask;
