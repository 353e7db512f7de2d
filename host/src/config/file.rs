//! The file as it is written: every key, what it is for, and its default. What a value looks like is in `shapes`; what the
//! keys mean together is in `check`. These shapes never leave `config`.

use super::{
    model::{
        AdminAddress, Fallback, Forwarded, HashKey, Network, OnFault, Protocol, Resolver, SameSite, Tiers, Verify,
    },
    read::{At, Reader, Shape, Table, Value},
    schema::described,
    shapes::{
        BackendAddress, Backends, Balancers, ByteRateOrOff, CookieName, CookiePath, Ejection, GrpcService, HeaderField,
        HealthPath, HostPattern, Integer, IntegerOrOff, List, ListenAddress, LongTime, Mode, Named, OneOrMany,
        PathPrefix, Percent, PercentOrOff, PluginName, Rate, Redirect, ReportHeaders, Secrets, ServerName, Settings,
        Size, Statuses, Switch, Text, Texts, Time, Timeouts, Total,
    },
    table::table,
};
use crate::net::proxy_protocol::Version;
use serde_json::{Value as Json, json};
use std::net::SocketAddr;

table! {
    /// What one Pointsman serves.
    "file" File {
        required {
            /// Addresses that take connections from clients.
            listen: List<Listen>,
            /// Named groups of backends, each with one balancer.
            pool: Named<Pool>,
        }
        optional {
            /// Which requests go to which pool. Without any, all requests go to the only pool.
            route: List<Route>,
            /// Where plugin files come from, and what a plugin may use.
            plugins: Plugins,
            /// The admin API, which `pointsman status` and its like talk to.
            admin: Admin,
            /// The process itself.
            server: Server,
        }
    }
}

table! {
    /// An address that takes connections from clients.
    "listener" Listen {
        required {
            /// Where to listen: IP:port, or unix:PATH. Port 0 asks the system for a free one.
            address: ListenAddress,
        }
        optional {
            /// What routes call it; the address when absent.
            name: Text,
            /// Of the socket file, when the address is one.
            mode: Mode = "0660",
            /// Certificates, chosen by the name the client asks for; the first is the default. Absent: plain HTTP.
            tls: OneOrMany<Certificate>,
            /// Limits of a connection's life.
            timeout: ListenTimeout,
            /// Each connection begins with a head of the PROXY protocol, version 1 or 2. Only for `trusted_proxies`.
            proxy_protocol: bool = false,
            /// Addresses and networks whose `X-Forwarded-*` and `Forwarded` headers are believed.
            trusted_proxies: List<Network>,
            /// Which forwarding headers the backends get.
            forwarded: Forwarded = "x",
            /// Give each request's id to the backends as `x-request-id`.
            request_id: bool = false,
            /// A request header that a trusted proxy sends to be told, in the answer, how its backend was chosen.
            explain_header: HeaderField,
            /// Answer every request with the way to HTTPS: "https", or "https:PORT" where its port is not 443.
            redirect: Redirect,
            /// How many connections and requests there may be.
            limit: ListenLimit,
        }
    }
}

table! {
    /// A certificate chain and its key, PEM. Relative paths start at the directory of this file.
    "certificate" Certificate {
        required {
            /// The chain, leaf first.
            cert: Text,
            /// The private key.
            key: Text,
        }
        optional {
            /// Ask clients that are shown this certificate for one of theirs.
            client: ClientRule,
        }
    }
}

table! {
    /// Which certificates clients may show. One that does not pass is refused.
    "client" ClientRule {
        required {
            /// The authorities that may have signed it, PEM.
            ca: Text,
        }
        optional {
            /// Whether a client has to show one: require, or request.
            verify: Verify = "require",
        }
    }
}

table! {
    /// Limits of a client connection's life.
    "timeout" ListenTimeout {
        required {}
        optional {
            /// From accept to the end of the TLS handshake.
            handshake: Time = "10s",
            /// From the first byte of a request's head to its last.
            head: Time = "10s",
            /// Without a request, or with a client that takes nothing of its answer.
            idle: Time = "75s",
        }
    }
}

table! {
    /// How many connections and requests there may be, how large heads, and how slow bodies. A source is an IPv4 address or an IPv6 /64.
    "limit" ListenLimit {
        required {}
        optional {
            /// Connections at one time; more are closed at once.
            connections: Integer<1, 10_000_000>,
            /// Connections of one source at one time; more are closed at once. Trusted proxies are not counted.
            connections_per_source: Integer<1, 10_000_000>,
            /// Requests of one source, such as "100/s"; more are answered 429.
            requests_per_source: Rate,
            /// A request's head: its first line and its headers. More is answered 431.
            head: Size = "64KiB",
            /// Header lines of a request. More are answered 431.
            headers: Integer<8, 512> = 128,
            /// A request's target: its path and query. A longer one is answered 414.
            target: Size = "8KiB",
            /// What a client has to bring of a body that is waited for, or to take of an answer that waits, so that it
            /// does not count as idle.
            least_rate: ByteRateOrOff = "240B/s",
        }
    }
}

table! {
    /// A named group of backends with one balancer and one health policy.
    "pool" Pool {
        required {
            /// Where requests can go.
            backends: Backends,
        }
        optional {
            /// TLS to the backends: true, or a table that says more.
            tls: Switch<BackendTls>,
            /// Which HTTP the backends are spoken to: "h1" (the default), "h2", or with TLS (and then by default) "auto",
            /// what both sides can.
            protocol: Protocol,
            /// Tell the backends with the PROXY protocol, "v1" or "v2", whose connection it is. HTTP/1.1 only; no connection is kept.
            proxy_protocol: Version,
            /// The plugin that chooses: NAME.wasm in the plugin directory, else the embedded one of that name. Of a list each
            /// is asked where those before it have no opinion, and chooses inside of what they narrow to.
            balancer: Balancers = "round-robin",
            /// Handed to the balancer as one JSON object; its `configure` checks it.
            settings: Settings,
            /// Who chooses while the balancer cannot: round-robin by weight, or nobody (503).
            fallback: Fallback = "round-robin",
            /// The part of a request that the balancer's `turn.key` hashes.
            hash: HashKey,
            /// How backends are checked.
            health: Health,
            /// When a backend is taken out for what its requests tell. `false`: never.
            eject: Ejection,
            /// When fewer than this share of the backends are ready, health is not asked any more: all of them get requests.
            panic: PercentOrOff = "off",
            /// Who chooses between tiers: the host offers the balancer as much of them as is needed, or the plugin sees all
            /// that are ready.
            tiers: Tiers = "host",
            /// The cookie that binds a client to a backend where the balancer asks for it: true, or a table that says
            /// more. Absent: there is none.
            cookie: Switch<Cookie>,
            /// How long a backend that became ready takes to its full share of the work.
            slow_start: Total = "off",
            /// Bounds for the shares of healthy backends, whatever the balancer chooses.
            share: Share,
            /// Limits of one request. A single duration is the limit of `head`.
            timeout: Timeouts,
            /// What is sent once more when its answer was lost.
            retry: Retry,
            /// Asking a second backend when the first takes long. Absent: never.
            hedge: Hedge,
            /// How much at the same time, and who waits. Absent: all that comes.
            limit: PoolLimit,
            /// How backends report their own load, for plugins that ask for it: true for ORCA, or a table that says more.
            reported: Switch<Reported>,
            /// How backends are asked how busy they are, for plugins that want to know. Absent: they are not.
            probe: Probe,
        }
    }
}

table! {
    /// How the backends of a pool are asked how busy they are: by `path` or by `header`. An answer is a number, the requests under
    /// way there, or JSON: `{"in_flight": 7, "latency_us": 1200}`.
    "probe" Probe {
        required {}
        optional {
            /// `GET` this path.
            path: HealthPath,
            /// Send nothing: this header of a backend's last answer tells.
            header: HeaderField,
            /// For one probe by `path`, from the connect on.
            timeout: Time = "250ms",
            /// How often each backend is asked.
            per_backend: Rate = "20/s",
            /// How often all backends together are asked.
            per_pool: Rate = "500/s",
        }
    }
}

table! {
    /// How the backends of a pool report their own load in the heads of their answers.
    "reported" Reported {
        required {}
        optional {
            /// By ORCA: text, JSON or protobuf in `endpoint-load-metrics`, `endpoint-load-metrics-json` or `endpoint-load-metrics-bin`.
            orca: bool = true,
            /// Headers that hold a number each, by the name under which plugins ask for it.
            headers: ReportHeaders,
            /// How long a number holds; then it is as if it had never been reported.
            fresh: Time = "10s",
        }
    }
}

table! {
    /// One balancer of several.
    "balancer" Balancer {
        required {
            /// NAME.wasm in the plugin directory, else the embedded one of that name.
            plugin: PluginName,
        }
        optional {
            /// Handed to the balancer as one JSON object; its `configure` checks it.
            settings: Settings,
        }
    }
}

table! {
    /// The cookie that binds a client to a backend. It is signed, and no script sees it.
    "cookie" Cookie {
        required {}
        optional {
            /// What it is called; absent: `pointsman-` and the pool's name.
            name: CookieName,
            /// For which paths clients send it.
            path: CookiePath = "/",
            /// For requests from which other sites clients send it: strict, lax, or none (needs `secure`).
            same_site: SameSite = "lax",
            /// Clients send it over TLS alone; absent: if they came so when they got it.
            secure: bool,
            /// How long a client keeps it; "off": until it is closed.
            ttl: Total = "off",
            /// What signs it: all processes that serve the same clients need the same. Of a list the first signs, all are
            /// believed. Absent, and without `secret_file`: one by chance for each start.
            secret: Secrets,
            /// A file with a secret in each line. Relative to the directory of this file; it is watched.
            secret_file: Text,
        }
    }
}

table! {
    /// TLS to a pool's backends. Relative paths start at the directory of this file.
    "tls" BackendTls {
        required {}
        optional {
            /// A PEM file of those who vouch for the backends' certificates; absent: whom the system trusts.
            ca: Text,
            /// The name that is asked for, and that the certificate must be for; absent: the host of the backend's address.
            sni: ServerName,
            /// The chain that is shown to backends that ask for one, leaf first.
            cert: Text,
            /// Its private key.
            key: Text,
            /// Believe every certificate: whoever sits in between can read and change everything.
            dangerous_skip_verification: bool = false,
        }
    }
}

table! {
    /// One address of a pool.
    "backend" Backend {
        required {
            /// Where it listens: IP:port, localhost:port, NAME:port, srv:NAME or unix:PATH.
            address: BackendAddress,
        }
        optional {
            /// What status and plugins call it; the address when absent.
            name: Text,
            /// Its share of the work; 0 takes no new work.
            weight: Integer<0, 1000> = 1,
            /// Tier, 0 first.
            priority: Integer<0, 1000> = 0,
            /// Where it stands, for balancers that know zones.
            zone: Text,
            /// For balancers that know what it means.
            metadata: Texts,
        }
    }
}

table! {
    /// How a pool's backends are checked.
    "health" Health {
        required {}
        optional {
            /// `GET` this path. Absent: a TCP connect is enough.
            path: HealthPath,
            /// Ask by gRPC's health protocol (`grpc.health.v1.Health`), over HTTP/2, for this service; `true`: for the whole server.
            grpc: GrpcService,
            /// What the answer's status may be.
            status: Statuses = "200-399",
            /// A text that the first 64 KiB of the answer's body must have.
            body: Text,
            /// Between two checks of a backend. While it is down it is checked every 250 ms, if that is shorter.
            interval: Time = "1s",
            /// For one check, from the connect on.
            timeout: Time = "1s",
            /// Successes in a row that bring a backend back.
            rise: Integer<1, 1000> = 1,
            /// Failures in a row that take a backend out.
            fall: Integer<1, 1000> = 2,
        }
    }
}

table! {
    /// When a backend is taken out for what its requests tell.
    "eject" Eject {
        required {}
        optional {
            /// So many requests in a row that it took and did not answer, or answered with 502, 503 or 504.
            failures: IntegerOrOff<1, 100000> = 5,
            /// So long without a byte while requests wait and others of the pool answer.
            stall: Total = "500ms",
            /// When far fewer of its requests succeed than the pool's on average: with five backends and a hundred
            /// requests to each in ten seconds.
            success_rate: bool = true,
            /// When its answers take so many times as long as the pool's median.
            latency: IntegerOrOff<2, 1000> = "off",
            /// How long it is out the first time; the second time twice as long, and so on.
            time: Time = "10s",
            /// The longest it is out.
            time_most: Time = "5m",
            /// The largest share of the pool that may be out for this.
            share: Percent = "50%",
        }
    }
}

table! {
    /// Limits of one request to a pool.
    "timeout" PoolTimeout {
        required {}
        optional {
            /// One connect, with its TLS handshake.
            connect: Time = "1s",
            /// From the request to the last byte of the answer's head, all attempts together.
            head: Time = "30s",
            /// The same of one attempt; "off": each has what is left of `head`.
            per_try: Total = "off",
            /// Without a byte of a body in either direction, and how long an unused connection is kept.
            idle: Time = "60s",
            /// The whole exchange.
            total: Total = "off",
            /// Without a byte in either direction of a tunnel: a WebSocket, or another protocol agreed on by an upgrade.
            tunnel: Time = "1h",
            /// Without a byte on an HTTP/2 connection on which requests wait until it is asked whether it is alive.
            ping: Total = "5s",
        }
    }
}

table! {
    /// What is sent once more when its answer was lost.
    "retry" Retry {
        required {}
        optional {
            /// How often one request that a backend may have seen, and that may be repeated.
            most: Integer<0, 10> = 1,
            /// The share of the pool's requests that may be retries. Ten a second always may.
            budget: Percent = "20%",
            /// Bytes of a request's body that are kept to be sent again.
            replay: Size = "64KiB",
            /// Before the first retry, twice as long before each further one; up to half of it is left out by chance.
            backoff: LongTime = "25ms",
        }
    }
}

table! {
    /// Bounds for the shares of healthy backends, of the latest 500 picks of each worker. Picks that go beyond them go to
    /// another backend, whatever the balancer chose.
    "share" Share {
        required {}
        optional {
            /// No backend has less; where more are ready than can have it, an equal share.
            least: Percent,
            /// No backend has more, unless so few are ready that an equal share is more.
            most: Percent,
        }
    }
}

table! {
    /// Asking a second backend when the first takes long: requests that may be repeated, within the retry budget.
    "hedge" Hedge {
        required {
            /// After how long without an answer's head.
            after: Time,
        }
        optional {}
    }
}

table! {
    /// How much of a pool there may be at the same time, and who waits for it.
    "limit" PoolLimit {
        required {}
        optional {
            /// Requests of the whole pool, over all workers; absent: no limit.
            requests: Integer<1, 1_000_000>,
            /// Requests at each backend, over all workers; absent: no limit.
            backend_requests: Integer<1, 1_000_000>,
            /// Connections to each backend, over all workers, those of health checks not counted; absent: no limit.
            backend_connections: Integer<1, 1_000_000>,
            /// Requests that wait for room. One more is answered 503 at once.
            queue: Integer<0, 1_000_000> = 1000,
            /// How long a request waits before it is answered 503.
            wait: Time = "1s",
        }
    }
}

table! {
    /// Which requests go where. The most specific host wins, then the longest path.
    "route" Route {
        required {
            /// The name of a pool.
            pool: Text,
        }
        optional {
            /// The name of a listener; absent: all of them.
            listen: Text,
            /// shop.example, or *.shop.example for all below it; absent: every host.
            host: HostPattern,
            /// Whole segments: /cart matches /cart and /cart/x, never /cartoon.
            path: PathPrefix = "/",
            /// Asked in this order before the balancer.
            filters: List<Filter>,
        }
    }
}

table! {
    /// A filter plugin on a route.
    "filter" Filter {
        required {
            /// NAME.wasm in the plugin directory, else the embedded one of that name.
            plugin: PluginName,
        }
        optional {
            /// Handed to the filter as one JSON object; its `configure` checks it.
            settings: Settings,
            /// What a fault, or a filter that never loaded, means for the request: 503, or as if it were not there.
            on_fault: OnFault = "reject",
        }
    }
}

table! {
    /// Where plugin files come from, and what a plugin may use.
    "plugins" Plugins {
        required {}
        optional {
            /// Watched for NAME.wasm files. Relative to the directory of this file. Absent: embedded plugins only.
            directory: Text,
            /// CPU time of one `pick`, `on-request` or `tick`.
            deadline: Time = "5ms",
            /// Memory of one instance.
            memory: Size = "16MiB",
            /// When a plugin is taken out until its file changes.
            faults: Faults,
            /// The largest plugin file.
            size: Size = "64MiB",
        }
    }
}

table! {
    /// When a plugin is taken out: `limit` faults within `window`.
    "faults" Faults {
        required {}
        optional {
            /// How many.
            limit: Integer<1, 1000> = 5,
            /// Within how long.
            window: Time = "10s",
        }
    }
}

table! {
    /// The admin API.
    "admin" Admin {
        required {}
        optional {
            /// unix:PATH, or a loopback IP:port. Absent: a socket in the user's runtime directory.
            address: AdminAddress,
            /// IP:port where metrics are read, and nothing else. Absent: on the admin API alone, at /metrics.
            metrics: SocketAddr,
        }
    }
}

table! {
    /// The process itself.
    "server" Server {
        required {}
        optional {
            /// Threads that serve; absent: as many as the processors it may run on.
            workers: Integer<1, 1024>,
            /// Requests at the same time, over all workers; more are answered 503 at once. Absent: no limit.
            requests: Integer<1, 10_000_000>,
            /// How long running requests may go on after SIGTERM.
            drain: LongTime = "30s",
            /// How long tunnels, such as WebSockets, may go on after SIGTERM; no longer than `drain`.
            tunnels: LongTime = "10s",
            /// The zone this process runs in, for balancers that know zones.
            zone: Text,
            /// A line of JSON for each request: a file, or "stdout". Absent: none.
            access_log: Text,
            /// Who is asked for backends by name: "system" does as /etc/resolv.conf and /etc/hosts say, an address is a name server.
            resolver: Resolver = "system",
        }
    }
}
