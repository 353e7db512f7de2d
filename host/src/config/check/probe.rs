//! What the keys of a pool's probes mean together.

use super::time_within;
use crate::{
    config::{
        file,
        model::{Probe, ProbeBy},
        read::{At, Reader},
    },
    problem::{Code, Problem},
};
use std::time::Duration;

/// Less, and every probe is lost; more, and what it says is of the past.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));

/// None: it was told what is wrong.
pub(super) fn probe(At { it, span }: At<file::Probe>, reader: &mut Reader) -> Option<Probe> {
    let by = match (it.path, it.header) {
        (Some(path), None) => ProbeBy::Get(path.it.0),
        (None, Some(header)) => {
            if let Some(timeout) = &it.timeout {
                let problem = Problem::error(Code::BAD_VALUE, "`timeout` of `probe` means nothing without `path`");
                reader.tell(problem.at(reader.spot(&timeout.span), "by `header` nothing is sent"));
            }
            ProbeBy::Header(header.it.0.parse().ok()?)
        }
        (Some(_), Some(header)) => {
            let problem = Problem::error(Code::BAD_VALUE, "a probe by `path` has no `header`");
            reader.tell(problem.at(reader.spot(&header.span), "expected one of the two"));
            return None;
        }
        (None, None) => {
            let problem = Problem::error(Code::BAD_VALUE, "`probe` needs `path` or `header`");
            reader.tell(problem.at(reader.spot(&span), "expected one of the two"));
            return None;
        }
    };
    let usual = Probe::by(by);
    Some(Probe {
        timeout: time_within(&it.timeout, "timeout", TIMEOUT, reader).unwrap_or(usual.timeout),
        per_backend: it.per_backend.map_or(usual.per_backend, |at| at.it.0),
        per_pool: it.per_pool.map_or(usual.per_pool, |at| at.it.0),
        ..usual
    })
}
