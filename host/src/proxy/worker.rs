//! What one worker thread has for itself: its view, its connections to the backends, its source of chance.

use super::{Overload, View, overload::Inside, report::Warnings};
use crate::{figures::micros, rng::Rng, state::Cell, upstream::Connections};
use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
    sync::Arc,
};
use tokio::time::Instant;

/// One worker; lives on its thread.
#[derive(Debug)]
pub struct Worker {
    index: usize,
    cell: Arc<Cell>,
    view: RefCell<Rc<View>>,
    connections: Rc<Connections>,
    rng: RefCell<Rng>,
    warnings: RefCell<Warnings>,
    /// None: as many requests as come.
    overload: Option<Arc<Overload>>,
    /// Where the microseconds of plugins count from; one for the whole process.
    epoch: Instant,
}

impl Worker {
    /// Worker `index`; call it on its own thread.
    pub fn new(index: usize, cell: Arc<Cell>, overload: Option<Arc<Overload>>, epoch: Instant, rng: Rng) -> Rc<Worker> {
        let view = RefCell::new(Rc::new(View::first(&cell, index, epoch)));
        let warnings = RefCell::new(Warnings::new());
        let connections = Connections::new();
        Rc::new(Worker { index, cell, view, connections, rng: RefCell::new(rng), warnings, overload, epoch })
    }

    /// Counts one more request of the process; none when there are as many as there may be.
    pub(super) fn enter(&self) -> Option<Option<Inside>> {
        match &self.overload {
            Some(overload) => overload.enter().map(Some),
            None => Some(None),
        }
    }

    /// The view in force: one atomic load tells whether it still is.
    pub fn view(&self) -> Rc<View> {
        if self.cell.revision() != self.view.borrow().snapshot().revision {
            self.adopt();
        }
        self.view.borrow().clone()
    }

    /// The view of who comes by this listener.
    pub fn view_of(&self, listener: usize) -> Rc<View> {
        self.view().of(listener)
    }

    /// Takes the snapshot in force; also called when no request comes, so that the old one can retire.
    pub fn adopt(&self) {
        let next = self.view.borrow().next(&self.cell, self.index, self.epoch);
        self.view.replace(Rc::new(next));
    }

    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its connections to the backends.
    pub fn connections(&self) -> &Rc<Connections> {
        &self.connections
    }

    /// Its source of chance.
    pub fn rng(&self) -> RefMut<'_, Rng> {
        self.rng.borrow_mut()
    }

    /// How much it has warned of lately.
    pub(super) fn warnings(&self) -> RefMut<'_, Warnings> {
        self.warnings.borrow_mut()
    }

    /// Microseconds as plugins count them.
    pub fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.epoch))
    }

    /// The cell it watches.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }
}
