//! Turns: a task that always has more to do lets the others of its worker go first now and then.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll},
};
use tokio::task::yield_now;

/// Bytes of one message that are moved in one turn.
pub const TURN_BYTES_MOST: usize = 256 << 10;

/// Ends a turn: the task is woken again once all others that are ready had theirs, those among them whose sockets have
/// become ready meanwhile. Never ready.
pub fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // What wakes the task is noted by the first poll, whose outcome says nothing.
    let _ = pin!(yield_now()).poll(cx);
    Poll::Pending
}
