//! Requests of a connection into the proxy.

use super::listener::Entrance;
use crate::{
    net::{Connection, Interims, Request, Response, h1::BadMessage},
    proxy::{self, Worker},
};
use std::{fmt::Display, future::Future, rc::Rc, sync::Arc, time::Duration};

/// What all requests of one connection share.
#[derive(Debug)]
pub(super) struct Session {
    pub worker: Rc<Worker>,
    pub entrance: Arc<Entrance>,
    pub connection: Arc<Connection>,
}

/// Who answers requests.
pub(super) trait Service: 'static {
    /// Serves one request; what is to be said before its answer is put into `interims`. Dropping the future abandons
    /// it.
    fn serve(&self, request: Request, interims: &Interims) -> impl Future<Output = Response>;

    /// What a client gets whose message is none.
    fn refuse(&self, bad: BadMessage) -> Response;

    /// A client's connection was ended, for it did too much of this.
    fn sent_away(&self, why: &dyn Display);

    /// How long tunnels may go on that are told to end now.
    fn tunnels(&self) -> Duration;
}

impl Service for Session {
    fn serve(&self, request: Request, interims: &Interims) -> impl Future<Output = Response> {
        proxy::serve(&self.worker, &self.entrance.policy, &self.connection, request, interims)
    }

    fn refuse(&self, bad: BadMessage) -> Response {
        proxy::refuse(&self.worker, &self.entrance.policy, &self.connection, bad)
    }

    fn sent_away(&self, why: &dyn Display) {
        proxy::sent_away(&self.worker, &self.entrance.policy, &self.connection, why);
    }

    fn tunnels(&self) -> Duration {
        let view = self.worker.view_of(self.connection.listener);
        view.policy(self.connection.listener).map_or(self.entrance.policy.tunnels, |policy| policy.tunnels)
    }
}
