//! One check of one backend: a TCP connect, and what is asked on top of it.

use super::{get::get, grpc::serving};
use crate::{
    config::model::{Health, HealthCheck},
    upstream::{
        Backend,
        condition::Cause,
        error::{ErrorKind, is_ours},
        transport::Purpose,
    },
};
use std::io;
use tokio::time::{Instant, timeout_at};

/// A check that did not succeed, and how it went, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The backend is not well.
    Ill(Cause, String),
    /// This process has no socket left to ask with: that says nothing about the backend.
    Undecided(String),
}

/// Checks a backend; says for people how it went.
pub(super) async fn check(backend: &Backend, health: &Health) -> Result<String, Failed> {
    let begun = Instant::now();
    let (stream, speaks) =
        backend.transport.connect(backend, None, Purpose::Exchange, health.timeout).await.map_err(unconnected)?;
    let what = match &health.check {
        HealthCheck::Connect => return Ok(format!("connect {}", milliseconds(begun))),
        HealthCheck::Get(wanted) => format!("GET {}", wanted.path),
        HealthCheck::Grpc(service) if service.is_empty() => "gRPC health".into(),
        HealthCheck::Grpc(service) => format!("gRPC health of {service:?}"),
    };
    let asked = async {
        match &health.check {
            HealthCheck::Connect => Ok(String::new()),
            HealthCheck::Get(wanted) => get(stream, speaks, backend, wanted).await,
            HealthCheck::Grpc(service) => serving(stream, speaks, backend, service).await,
        }
    };
    match timeout_at(begun + health.timeout, asked).await {
        Ok(Ok(said)) => Ok(format!("{what}: {said} in {}", milliseconds(begun))),
        Ok(Err(why)) => Err(Failed::Ill(Cause::BadAnswer, format!("{what}: {why}"))),
        Err(_) => Err(Failed::Ill(Cause::Timeout, format!("{what}: no answer within {:?}", health.timeout))),
    }
}

fn unconnected(kind: ErrorKind) -> Failed {
    match kind {
        ErrorKind::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Failed::Ill(Cause::Refused, "connection refused".into())
        }
        ErrorKind::Connect(error) if is_ours(&error) => Failed::Undecided(format!("not checked: {error}")),
        ErrorKind::Connect(error) => Failed::Ill(Cause::Unreachable, format!("connect: {}", error.kind())),
        other @ (ErrorKind::Handshake(_) | ErrorKind::NotHttp2) => Failed::Ill(Cause::BadAnswer, other.to_string()),
        other => Failed::Ill(Cause::Timeout, other.to_string()),
    }
}

fn milliseconds(begun: Instant) -> String {
    format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn our_own_shortage_is_nobodys_illness() {
        let failed = |errno: Errno| unconnected(ErrorKind::Connect(errno.into()));
        assert!(matches!(failed(Errno::MFILE), Failed::Undecided(_)));
        assert!(matches!(failed(Errno::CONNREFUSED), Failed::Ill(Cause::Refused, _)));
        assert!(matches!(failed(Errno::HOSTUNREACH), Failed::Ill(Cause::Unreachable, _)));
    }
}
