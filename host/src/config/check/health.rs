//! What the keys of a pool's health mean together.

use super::time_within;
use crate::{
    config::{
        file,
        model::{Eject, Health, HealthCheck, HealthGet, Protocol},
        read::{At, Reader},
        shapes::{Ejection, Total},
    },
    problem::{Code, Problem},
};
use std::{ops::Range, time::Duration};

/// Faster checks would be load, not checks.
const HEALTH_INTERVAL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(86_400));
/// A check that takes longer says nothing in time; one that takes less is never well.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(600));
/// Below, a busy machine stalls; above, a request's own time is up.
const STALL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(600));
/// Of being out, and of starting slowly.
const SPELL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(86_400));

/// `protocol`: of the pool.
pub(super) fn health(health: file::Health, protocol: Protocol, reader: &mut Reader) -> Health {
    let default = Health::default();
    let mut timed = |at, key, range, default| time_within(at, key, range, reader).unwrap_or(default);
    Health {
        interval: timed(&health.interval, "interval", HEALTH_INTERVAL, default.interval),
        timeout: timed(&health.timeout, "timeout", TIMEOUT, default.timeout),
        rise: health.rise.as_ref().map_or(default.rise, |at| at.it.0),
        fall: health.fall.as_ref().map_or(default.fall, |at| at.it.0),
        check: check(health, protocol, reader),
    }
}

fn check(health: file::Health, protocol: Protocol, reader: &mut Reader) -> HealthCheck {
    if let Some(path) = health.path {
        if let Some(grpc) = health.grpc {
            let problem = Problem::error(Code::BAD_VALUE, "a check by `grpc` has no `path`");
            reader.tell(problem.at(reader.spot(&grpc.span), "expected one of the two"));
        }
        let HealthCheck::Get(default) = HealthCheck::get(path.it.0) else { return HealthCheck::Connect };
        return HealthCheck::Get(HealthGet {
            status: health.status.map_or(default.status, |at| at.it.0),
            body: health.body.map(|at| at.it.0),
            ..default
        });
    }
    let keys = [("status", health.status.map(|at| at.span)), ("body", health.body.map(|at| at.span))];
    for (key, span) in keys.iter().filter_map(|(key, span)| Some((key, span.as_ref()?))) {
        needs(key, "path", span, reader);
    }
    let Some(grpc) = health.grpc else { return HealthCheck::Connect };
    if protocol == Protocol::Http1 {
        let problem = Problem::error(Code::BAD_VALUE, "`grpc` of `health` needs HTTP/2 to the backends");
        reader.tell(problem.at(reader.spot(&grpc.span), "expected `protocol` \"h2\" beside `health`"));
    }
    HealthCheck::Grpc(grpc.it.0)
}

fn needs(key: &str, other: &str, span: &Range<usize>, reader: &mut Reader) {
    let problem = Problem::error(Code::BAD_VALUE, format!("`{key}` of `health` means nothing without `{other}`"));
    reader.tell(problem.at(reader.spot(span), format!("expected `{other}` beside it")));
}

/// None: switched off.
pub(super) fn eject(eject: Ejection, reader: &mut Reader) -> Option<Eject> {
    let (eject, default) = (eject.0?, Eject::default());
    let time = time_within(&eject.time, "time", SPELL, reader).unwrap_or(default.time);
    let time_most = time_within(&eject.time_most, "time_most", SPELL, reader).unwrap_or(default.time_most.max(time));
    if let (true, Some(at)) = (time_most < time, &eject.time_most) {
        let problem = Problem::error(Code::BAD_VALUE, "`time_most` of `eject` is shorter than its `time`");
        reader.tell(problem.at(reader.spot(&at.span), "expected at least `time`"));
    }
    Some(Eject {
        failures: eject.failures.map_or(default.failures, |at| at.it.0),
        stall: or_off(eject.stall, "stall", STALL, reader).unwrap_or(default.stall),
        success_rate: eject.success_rate.map_or(default.success_rate, |at| at.it),
        latency: eject.latency.map_or(default.latency, |at| at.it.0),
        time,
        time_most,
        share: eject.share.map_or(default.share, |at| at.it.0),
    })
}

/// None: at once.
pub(super) fn slow_start(at: Option<At<Total>>, reader: &mut Reader) -> Option<Duration> {
    or_off(at, "slow_start", SPELL, reader).flatten()
}

/// A time in a range, or `off`; none when it is not given, or wrong.
pub(super) fn or_off(
    at: Option<At<Total>>,
    key: &str,
    range: (Duration, Duration),
    reader: &mut Reader,
) -> Option<Option<Duration>> {
    let At { it: Total(time), span } = at?;
    let Some(time) = time else { return Some(None) };
    let time = Some(At { it: crate::config::shapes::Time(time), span });
    time_within(&time, key, range, reader).map(Some)
}
