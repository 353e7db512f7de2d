//! Who belongs to the pool, as the latest update said.

use crate::{Backend, Place, Position};

/// The pool as its latest update described it. Positions number the ready backends first, then the others.
#[derive(Clone, Debug)]
pub struct Pool {
    all: Vec<Backend>,
    ready: usize,
    place: Place,
}

impl Pool {
    /// Before the first update.
    pub(crate) fn empty(place: Place) -> Pool {
        Pool { all: Vec::new(), ready: 0, place }
    }

    /// Takes over what an update said.
    pub(crate) fn fill(&mut self, mut ready: Vec<Backend>, others: Vec<Backend>) {
        self.ready = ready.len();
        ready.extend(others);
        self.all = ready;
    }

    /// How many backends are ready: their positions are `0..len`.
    pub fn len(&self) -> u32 {
        self.ready as u32
    }

    /// No backend is ready.
    pub fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// Those that may be chosen, by position. One with weight 0 takes no new work.
    pub fn ready(&self) -> &[Backend] {
        &self.all[..self.ready]
    }

    /// The rest, each with the reason in its [`standing`](Backend::standing); the first has position [`len`](Self::len).
    pub fn others(&self) -> &[Backend] {
        &self.all[self.ready..]
    }

    /// The backend at a position, ready or not.
    pub fn get(&self, at: Position) -> Option<&Backend> {
        self.all.get(at as usize)
    }

    /// What the backend at a position is called; `?` where there is none.
    pub fn name(&self, at: Position) -> &str {
        self.get(at).map_or("?", |backend| &backend.name)
    }

    /// What this instance is.
    pub fn place(&self) -> &Place {
        &self.place
    }
}
