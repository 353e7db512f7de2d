//! What algorithms share that send equal keys to equal backends: where the key comes from, and the tables that turn it
//! into a backend. All of them depend on backends' ids or names and on weights alone, never on the order of a list, so
//! every worker and every machine decides alike.

mod jump;
mod key;
mod maglev;
mod rendezvous;
mod ring;

pub use crate::turn::mix;
pub use jump::jump;
pub use key::Key;
pub use maglev::Maglev;
pub use rendezvous::Rendezvous;
pub use ring::Ring;
