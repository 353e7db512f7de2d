//! How a pool's backends are reached: plain or encrypted, and which HTTP is spoken there.

use super::{Backend, error::ErrorKind, stream::Stream};
use crate::{
    config::model::{self, Protocol},
    figures::Opened,
    net::{Address, Head, Socket, proxy_protocol},
    problem::Problem,
    tls,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, time::timeout};

/// How a pool's backends are reached; all workers share it. Equal when nobody could tell one from the other.
#[derive(Debug, PartialEq)]
pub(super) struct Transport {
    /// None: plain.
    tls: Option<tls::Connector>,
    /// What is spoken, as far as that is known before a handshake.
    protocol: Protocol,
    /// How a backend is told whose connection it is.
    proxy_protocol: Option<proxy_protocol::Version>,
}

/// Where a connection leads, and how it came there; it counts as one there.
#[derive(Debug)]
pub(super) struct Way {
    address: Address,
    host: Arc<str>,
    transport: Arc<Transport>,
    opened: Opened,
}

impl Way {
    /// The one to this backend.
    pub(super) fn to(backend: &Backend, opened: Opened) -> Way {
        let (address, host) = (backend.address.clone(), backend.host.clone());
        Way { address, host, transport: backend.transport.clone(), opened }
    }

    /// How many wait for a connection there to close.
    pub(super) fn wanted(&self) -> usize {
        self.opened.wanted()
    }

    /// Whether it is still the one to this backend. One that kept its name may have moved, or be reached otherwise.
    pub(super) fn leads_to(&self, backend: &Backend) -> bool {
        Arc::ptr_eq(&self.transport, &backend.transport) && self.address == backend.address && self.host == backend.host
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An exchange; of HTTP/2 it takes one stream.
    Exchange,
    /// Another protocol, if the backend agrees: all of an HTTP/1.1 connection.
    Upgrade,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    Http1,
    Http2,
}

impl Transport {
    /// Reads the files that are named. Err: everything that is wrong with them.
    pub(super) fn new(pool: &model::Pool) -> Result<Transport, Vec<Problem>> {
        let offered: &[&str] = match pool.protocol {
            Protocol::Http1 => &["http/1.1"],
            Protocol::Http2 => &["h2"],
            Protocol::Auto => &["h2", "http/1.1"],
        };
        let tls = pool.tls.as_ref().map(|tls| tls::Connector::load(tls, Path::new(""), offered)).transpose()?;
        Ok(Transport { tls, protocol: pool.protocol, proxy_protocol: pool.proxy_protocol })
    }

    /// Whether one that was made for `before` is what the other configuration asks for too, by all that is written there.
    pub(super) fn is_of(&self, before: &model::Pool, other: &model::Pool) -> bool {
        let written = |pool: &model::Pool| (pool.tls.clone(), pool.protocol, pool.proxy_protocol);
        written(before) == written(other)
    }

    /// Whether a connection for this may be one that others use too.
    pub(super) fn may_share(&self, purpose: Purpose) -> bool {
        self.protocol != Protocol::Http1 && purpose == Purpose::Exchange
    }

    /// Whether backends are told whose connection it is: then it serves nobody else.
    pub(super) fn tells_client(&self) -> bool {
        self.proxy_protocol.is_some()
    }

    /// Connects on behalf of a request, or of ourselves, and shakes hands where that is wanted, all within `limit`. A
    /// dropped future gives the attempt up.
    pub(super) async fn connect(
        &self,
        backend: &Backend,
        request: Option<&Head>,
        purpose: Purpose,
        limit: Duration,
    ) -> Result<(Stream, Speaks), ErrorKind> {
        match timeout(limit, self.reach(backend, request, purpose)).await {
            Ok(reached) => reached,
            Err(_) => Err(ErrorKind::ConnectTimeout(limit)),
        }
    }

    /// The same without a limit.
    pub(super) async fn reach(
        &self,
        backend: &Backend,
        request: Option<&Head>,
        purpose: Purpose,
    ) -> Result<(Stream, Speaks), ErrorKind> {
        if purpose == Purpose::Upgrade && self.protocol == Protocol::Http2 {
            return Err(ErrorKind::NoUpgrade);
        }
        let mut socket = Socket::connect(&backend.address).await.map_err(ErrorKind::Connect)?;
        if let Some(version) = self.proxy_protocol {
            let head = proxy_protocol::head(version, request.and_then(Head::ends));
            socket.write_all(&head).await.map_err(ErrorKind::Connect)?;
        }
        let Some(tls) = &self.tls else {
            let speaks = if self.protocol == Protocol::Http2 { Speaks::Http2 } else { Speaks::Http1 };
            return Ok((Stream::Plain(socket), speaks));
        };
        // Boxed: what a handshake needs would be in the future of every request.
        let alone = (purpose == Purpose::Upgrade).then_some("http/1.1");
        let session = Box::pin(tls.connect(&backend.host, socket, alone)).await.map_err(|error| match purpose {
            Purpose::Upgrade if tls::agreed_on_nothing(&error) => ErrorKind::NoUpgrade,
            _ => ErrorKind::Handshake(error),
        })?;
        let speaks = match (tls::agreed_on_http2(&session), self.protocol) {
            (true, _) => Speaks::Http2,
            (false, Protocol::Http2) => return Err(ErrorKind::NotHttp2),
            (false, _) => Speaks::Http1,
        };
        Ok((Stream::Tls(Box::new(session)), speaks))
    }
}
