//! The plan: arrows point at what is used, none points upward.

/// A room of the host, and the rooms it may use beside those on the ground.
pub(super) struct Room {
    pub(super) name: &'static str,
    pub(super) uses: &'static [&'static str],
}

const fn room(name: &'static str, uses: &'static [&'static str]) -> Room {
    Room { name, uses }
}

/// From the top floor down; what stands here may use all of [`GROUND`].
pub(super) const ROOMS: &[Room] = &[
    room("main", &["cli"]),
    // `admin` for the shapes of the API that the commands ask.
    room("cli", &["app", "plugin", "tls", "admin"]),
    room("app", &["server", "admin", "proxy", "state", "filter", "balance", "route", "upstream", "plugin", "tls"]),
    // For fuzzers and tests alone.
    room("properties", &["server", "proxy", "upstream", "route"]),
    room("server", &["proxy", "tls", "state"]),
    room("admin", &[]),
    // `plugin` for the record of a turn alone: a pick is asked through `balance`.
    room("proxy", &["state", "route", "filter", "balance", "upstream", "plugin"]),
    room("state", &["route", "filter", "balance", "upstream", "plugin"]),
    room("balance", &["upstream", "plugin"]),
    room("filter", &["plugin"]),
    room("upstream", &["tls"]),
    room("plugin", &[]),
    room("route", &[]),
    room("tls", &[]),
];

/// The ground floor: everybody may use these, and they know next to nothing of each other.
pub(super) const GROUND: &[Room] = &[
    // A problem is what a wrong configuration turns into; a route's path has the form that requests' paths are brought to.
    room("config", &["problem", "net"]),
    // Durations as they were counted.
    room("telemetry", &["figures"]),
    room("net", &[]),
    room("drain", &[]),
    room("rng", &[]),
    room("sources", &[]),
    room("watch", &[]),
    room("figures", &[]),
    room("problem", &[]),
];

/// Whether the plan draws this arrow.
pub(super) fn allows(room: &str, used: &str) -> bool {
    if GROUND.iter().any(|ground| ground.name == room) {
        return uses(room).contains(&used);
    }
    uses(room).contains(&used) || GROUND.iter().any(|ground| ground.name == used)
}

/// Whom to ask instead.
pub(super) fn way_out(room: &str, used: &str) -> String {
    let between: Vec<_> = uses(room).iter().filter(|asked| allows(asked, used)).copied().collect();
    if between.is_empty() {
        format!("let `app` hand {room} a small reader or a channel")
    } else {
        format!("ask {} instead, or let `app` hand {room} a small reader", between.join(" or "))
    }
}

fn uses(room: &str) -> &'static [&'static str] {
    ROOMS.iter().chain(GROUND).find(|known| known.name == room).map_or(&[], |known| known.uses)
}

/// The only places that name a package.
pub(super) struct Door {
    pub(super) packages: &'static [&'static str],
    /// Paths from the top of the repository.
    pub(super) rooms: &'static [&'static str],
    pub(super) reason: &'static str,
}

pub(super) const DOORS: &[Door] = &[
    Door {
        packages: &["wasmtime", "wasmtime_wasi"],
        rooms: &["host/src/plugin/"],
        reason: "balancers and filters speak plain Rust, and a new engine touches one room",
    },
    Door {
        packages: &["rustls", "tokio_rustls"],
        rooms: &["host/src/tls/"],
        reason: "what is trusted is decided in one place; others get a stream and TlsFacts",
    },
    Door {
        packages: &["aws_lc_rs"],
        rooms: &["host/src/tls/", "host/src/upstream/cookie.rs"],
        reason: "what is signed or hidden is so in two places, and another library touches no third",
    },
    Door {
        packages: &["hyper", "hyper_util"],
        rooms: &["host/src/admin/", "host/src/cli/client.rs", "host/src/cli/demo.rs"],
        reason: "requests are read and answered by our own loops, which repair nothing",
    },
    Door {
        packages: &["h2"],
        rooms: &["host/src/server/h2/", "host/src/server/connection.rs", "host/src/upstream/"],
        reason: "the pipeline works on `http` types, and would not notice another library of frames",
    },
    Door {
        packages: &["hickory_resolver", "hickory_proto", "hickory_net"],
        rooms: &["host/src/upstream/names/"],
        reason: "a name is what stands for addresses; who says so, and how, is known in one place",
    },
    Door {
        packages: &["prometheus_client"],
        rooms: &["host/src/telemetry/"],
        reason: "numbers live where they are counted; what a page of them looks like is known in one place",
    },
    Door {
        packages: &["notify"],
        rooms: &["host/src/watch.rs"],
        reason: "events of a file system are wake-ups and no more",
    },
    Door {
        packages: &["wit_bindgen"],
        rooms: &["sdk/src/bindings.rs"],
        reason: "plugins are upgraded through the SDK",
    },
    Door {
        packages: &["anyhow"],
        rooms: &["host/src/cli/", "host/src/app", "tests/xtask/"],
        reason: "library rooms have errors that a caller can match",
    },
];

/// What is written otherwise here.
pub(super) struct Banned {
    pub(super) word: &'static str,
    pub(super) instead: &'static str,
    /// Paths from the top of the repository.
    pub(super) but_in: &'static [&'static str],
}

pub(super) const BANNED: &[Banned] = &[
    Banned { word: "endpoint", instead: "backend: one address in a pool", but_in: &[] },
    Banned { word: "cluster", instead: "pool: a group of backends", but_in: &[] },
    Banned { word: "vhost", instead: "route: host and path to a pool", but_in: &[] },
    Banned { word: "middleware", instead: "filter: sees a request before its backend is chosen", but_in: &[] },
    Banned { word: "RandomState", instead: "rng, which a seed repeats", but_in: &["host/src/rng.rs"] },
    Banned {
        word: "println",
        instead: "tracing; what a person asked for is printed in cli",
        but_in: &["host/src/cli/"],
    },
    Banned {
        word: "eprintln",
        instead: "tracing; messages to a person are written in cli",
        but_in: &["host/src/cli/"],
    },
    Banned {
        word: "process::exit",
        instead: "an ExitCode that main returns, so that everything is dropped",
        but_in: &["host/src/cli/"],
    },
    Banned { word: "deserialize_file", instead: "wasmtime's own cache: a compiled file is trusted code", but_in: &[] },
];
