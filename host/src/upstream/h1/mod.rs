//! Our HTTP/1.1 codec towards backends, used directly as the answer's body: no task and no channel per connection, which
//! makes a proxied request several microseconds cheaper than a client library with both.
//!
//! An [`exchange`] begins with a head that [`encode`] writes, goes out through [`upload`], is answered by a [`head`],
//! and goes on as the [`answer`]'s body until the connection, a [`link`], is given back; or as a [`tunnel`].

mod answer;
mod ask;
mod encode;
mod exchange;
mod head;
mod link;
mod tunnel;
mod upload;

pub(super) use ask::{Asked, Question, ask};
#[cfg(any(test, fuzzing))]
pub(crate) use encode::written;
pub(super) use exchange::Exchange;
pub use head::read_answers;
use head::{AnswerHead, HeadReader};
pub(super) use link::Link;
