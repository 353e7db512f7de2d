//! What the keys of the process and of plugins mean together.

use super::{size_within, time_within};
use crate::{
    config::{
        file,
        model::{AccessLog, Faults, Plugins, Server},
        read::{At, Reader},
        shapes::{LongTime, Text},
        units,
    },
    problem::{Code, Problem},
};
use std::{path::Path, time::Duration};

/// What fits between one tick of the clock that stops plugins and what a request can bear.
const DEADLINE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// From one page to all that 32 bits can address.
const MEMORY: (u64, u64) = (64 << 10, 4 << 30);

/// From what holds at all a component to what nobody waits for.
const FILE_SIZE: (u64, u64) = (1 << 10, 1 << 30);

/// Faults are remembered one by one within it.
const FAULT_WINDOW: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

pub(super) fn plugins(plugins: file::Plugins, base: &Path, reader: &mut Reader) -> Plugins {
    let default = Plugins::default();
    let faults = plugins.faults.map(|at| at.it).unwrap_or_default();
    Plugins {
        directory: plugins.directory.map(|at| base.join(at.it.0)),
        deadline: time_within(&plugins.deadline, "deadline", DEADLINE, reader).unwrap_or(default.deadline),
        memory: size_within(&plugins.memory, "memory", MEMORY, reader).unwrap_or(default.memory),
        size: size_within(&plugins.size, "size", FILE_SIZE, reader).unwrap_or(default.size),
        faults: Faults {
            limit: faults.limit.map_or(default.faults.limit, |at| at.it.0),
            window: time_within(&faults.window, "window", FAULT_WINDOW, reader).unwrap_or(default.faults.window),
        },
    }
}

pub(super) fn server(server: file::Server, base: &Path, reader: &mut Reader) -> Server {
    let default = Server::default();
    let drain = server.drain.map_or(default.drain, |at| at.it.0);
    Server {
        workers: server.workers.map_or(default.workers, |at| at.it.0 as usize),
        requests: server.requests.map(|at| at.it.0),
        drain,
        tunnels: server.tunnels.map_or(default.tunnels.min(drain), |at| tunnels(&at, drain, reader)),
        zone: server.zone.map_or(default.zone, |at| at.it.0),
        access_log: server.access_log.map(|At { it: Text(to), span }| match to.as_str() {
            "stdout" => AccessLog::Stdout,
            path => AccessLog::File { path: base.join(path), spot: Some(reader.spot(&span)) },
        }),
        resolver: server.resolver.map(|at| at.it).unwrap_or_default(),
    }
}

/// Behind the drain nothing goes on.
fn tunnels(tunnels: &At<LongTime>, drain: Duration, reader: &mut Reader) -> Duration {
    if tunnels.it.0 > drain {
        let problem = Problem::error(Code::BAD_VALUE, "`tunnels` is longer than `drain`, behind which nothing goes on");
        let most = format!("expected at most \"{}\"", units::show_duration(drain));
        reader.tell(problem.at(reader.spot(&tunnels.span), most));
    }
    tunnels.it.0
}
