//! Which route a request takes: listener, host and path in, the route's index out.

mod table;

pub use table::Table;
