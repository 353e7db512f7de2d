//! What one worker thread has for itself: its view, its connections to the backends, its source of chance.

use super::{Overload, View, overload::Inside, report::Warnings};
use crate::{balance::Station, figures::micros, rng::Rng, state::Cell, upstream::Connections};
use std::{
    cell::{RefCell, RefMut},
    rc::Rc,
    sync::Arc,
};
use tokio::{sync::Notify, time::Instant};

/// One worker; lives on its thread.
#[derive(Debug)]
pub struct Worker {
    /// Where the microseconds of plugins count from is one for the whole process.
    station: Station,
    cell: Arc<Cell>,
    view: RefCell<Rc<View>>,
    connections: Rc<Connections>,
    rng: RefCell<Rng>,
    warnings: RefCell<Warnings>,
    /// None: as many requests as come.
    overload: Option<Arc<Overload>>,
}

impl Worker {
    /// Worker `index`; call it on its own thread.
    pub fn new(index: usize, cell: Arc<Cell>, overload: Option<Arc<Overload>>, epoch: Instant, rng: Rng) -> Rc<Worker> {
        let station = Station { worker: index, epoch, bell: Arc::default() };
        let view = RefCell::new(Rc::new(View::first(&cell, &station)));
        let warnings = RefCell::new(Warnings::new());
        let connections = Connections::new();
        Rc::new(Worker { station, cell, view, connections, rng: RefCell::new(rng), warnings, overload })
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
        let next = self.view.borrow().next(&self.cell, &self.station);
        self.view.replace(Rc::new(next));
    }

    /// Its number, from 0.
    pub fn index(&self) -> usize {
        self.station.worker
    }

    /// Rung when a balancer is to be looked after sooner than it said.
    pub fn bell(&self) -> &Notify {
        &self.station.bell
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
        micros(now.saturating_duration_since(self.station.epoch))
    }

    /// The cell it watches.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }
}
