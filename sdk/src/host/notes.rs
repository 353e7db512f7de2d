//! What a balancer says beside its decision. Only inside [`Balancer::pick`](crate::Balancer::pick); at any other time the
//! host stops the plugin.

use super::ask;
#[cfg(target_family = "wasm")]
use crate::bindings::balancer::pointsman::plugin::notes as import;
#[cfg(not(target_family = "wasm"))]
use crate::testing::Stick;
use crate::{Position, Turn};

/// Why this pick chose as it did, for people: the text is made only while somebody looks (`pointsman tap`), so it may cost
/// something. Of what is longer than 1024 bytes the rest is cut off.
///
/// ```
/// # use pointsman_sdk::{prelude::*, testing};
/// fn choose(turn: &Turn, busy: u32) -> Decision {
///     notes::explain(turn, || format!("{busy} under way, fewer than anywhere"));
///     Decision::Choose(0)
/// }
/// # let turn = Turn { now_us: 0, random: 0, key: None, attempt: 0, explain: true };
/// # choose(&turn, 2);
/// # assert_eq!(testing::host(|host| host.notes.explanation.clone()).unwrap(), "2 under way, fewer than anywhere");
/// ```
pub fn explain(turn: &Turn, note: impl FnOnce() -> String) {
    if turn.explain {
        let note = note();
        ask!(import::explain(&note), |host| host.notes.explanation = Some(note));
    }
}

/// Comes back with the outcome of what is chosen now: see [`Feedback`](crate::Feedback).
pub fn token(value: u64) {
    ask!(import::token(value), |host| host.notes.token = value)
}

/// Whom to ask next should the request be tried again: used without another pick as long as it may be chosen then, under
/// the same token. Called again, it names the one after that; at most 8.
///
/// ```
/// # use pointsman_sdk::prelude::*;
/// /// The key's own backend, and its neighbours should that fail.
/// fn at_home(turn: &Turn, pool: &Pool) -> Decision {
///     let home = (turn.key.unwrap_or(turn.random) % u64::from(pool.len())) as Position;
///     (1..pool.len().min(3)).for_each(|step| notes::prefer_next((home + step) % pool.len()));
///     turn.untried(home, pool)
/// }
/// ```
pub fn prefer_next(of: Position) {
    ask!(import::prefer_next(of), |host| host.prefer(of))
}

/// What the client is told when this pick answers [`Decision::Reject`](crate::Decision::Reject): in so many seconds it may
/// come back, and why, one line of at most 1024 bytes. An empty line leaves the host's own words.
///
/// ```
/// # use pointsman_sdk::{Decision, host::notes, testing};
/// fn full() -> Decision {
///     notes::rejection(Some(5), "all seats are taken");
///     Decision::Reject(503)
/// }
/// # full();
/// # assert_eq!(testing::host(|host| host.notes.rejection.clone()), Some((Some(5), "all seats are taken".into())));
/// ```
pub fn rejection(retry_after_s: Option<u32>, reason: &str) {
    ask!(import::rejection(retry_after_s, reason), |host| host.notes.reject(retry_after_s, reason))
}

/// Binds the client to this backend from now on, if this pick chooses and its choice answers the request: the host sets the
/// pool's cookie, which [`request::stuck`](super::request::stuck) reads. Nothing comes of it where the pool has none.
pub fn stick(to: Position) {
    ask!(import::stick(to), |host| {
        host.figures(to);
        host.notes.stick = Some(Stick::To(to));
    })
}

/// Binds the client to whoever gets this request, also if this pick passes or narrows and others choose.
pub fn stick_to_chosen() {
    ask!(import::stick_to_chosen(), |host| host.notes.stick = Some(Stick::Chosen))
}
