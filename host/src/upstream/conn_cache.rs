//! Kept-alive connections of one worker.

use super::{
    Backend,
    error::{Error, ErrorKind},
    h1::Connection,
};
use crate::{config::model::PoolTimeout, drain::Live};
use std::{rc::Rc, sync::Arc};

/// Kept-alive connections of one worker, by backend.
#[derive(Debug)]
pub struct Connections {}

impl Connections {
    /// None yet.
    pub fn new() -> Rc<Connections> {
        Rc::new(Connections {})
    }

    /// A connection to this backend: the one used last, or a new one.
    pub async fn checkout(self: &Rc<Self>, backend: &Arc<Backend>, timeout: &PoolTimeout) -> Result<Connection, Error> {
        self.connect(backend, timeout).await
    }

    /// A new connection to this backend.
    pub async fn connect(self: &Rc<Self>, _backend: &Arc<Backend>, timeout: &PoolTimeout) -> Result<Connection, Error> {
        Err(Error::new(ErrorKind::ConnectTimeout(timeout.connect), false))
    }

    /// Closes what stood unused for too long, until the process drains; from then on nothing is kept. Spawned once by
    /// each worker. Dropping this future only stops the closing.
    pub async fn run(self: Rc<Self>, mut live: Live) {
        live.draining().await;
    }
}
