//! The shapes of the API's answers; the commands and the tests read the same types.
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/plugins` | a list of [`Plugin`] |
//! | `GET /v1/plugins/NAME/log` | a list of [`LogLine`] |
//! | `GET /v1/plugins/NAME/history` | a list of [`Generation`]: the one that serves, then those that are kept |
//! | `POST /v1/plugins/NAME/rollback`, `…/rollback/HASH`, `…/pin`, `…/pin/HASH`, `…/unpin` | [`Steered`]; 409 with a [`Report`] when it cannot be done |
//! | `GET /metrics` | OpenMetrics text: counts and levels, see the manual's page on metrics |
//! | `POST /v1/pools/POOL/backends/BACKEND/drain`, `…/ready`, `…/weight/N` | the [`Backend`] as it stands then; names percent-encoded |
//! | `POST /v1/pools/POOL/tap`, `…/tap/AFTER` | [`Tap`]: the decisions after the one of this number, or none yet; they are collected for three seconds after each call |
//! | `POST /v1/reload` | [`Reload`]: the configuration and all certificates are read again |
//! | `POST /v1/plugins/rescan` | nothing, 202: the plugin directory is looked at |

use crate::problem::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole process at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Of this program.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Since its start.
    pub uptime_s: u64,
    /// The number of the snapshot in force.
    pub revision: u64,
    /// None: it was not made from a file.
    #[serde(default)]
    pub configuration: Option<Configuration>,
    /// What is amiss with files of certificates, and with names of backends.
    #[serde(default)]
    pub amiss: Vec<Report>,
    /// In the order of the configuration.
    pub listeners: Vec<Listener>,
    /// In the order of their names.
    pub pools: Vec<Pool>,
    /// None: only embedded plugins.
    pub plugins_directory: Option<String>,
    /// In the order of their names.
    pub plugins: Vec<Plugin>,
}

/// A bound address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// As configured.
    pub name: String,
    /// With the port that the system gave, where 0 was asked for.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// What it shows, the default first.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// Its file.
    pub source: String,
    /// The names it is for.
    pub names: Vec<String>,
    /// Whole days until it expires; negative when it has.
    pub days_left: i64,
    /// When that is over, in seconds since 1970.
    pub expires_unix: i64,
}

/// The file that a process serves, and what came of its latest state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Configuration {
    /// As it was named.
    pub file: String,
    /// How often another configuration was put in force since the start.
    pub reloads: u64,
    /// How often one was refused.
    pub refusals: u64,
    /// When that was last, or the start, in seconds since 1970.
    pub since_unix: u64,
    /// Why the file as it is now is not in force.
    pub refusal: Option<Refusal>,
    /// What of it takes effect at the next start only.
    pub warnings: Vec<Report>,
}

/// A configuration that was refused whole.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Refusal {
    /// When, in seconds since 1970.
    pub at_unix: u64,
    /// Everything that is wrong with it.
    pub problems: Vec<Report>,
    /// The same as people read it.
    pub text: String,
}

/// How a reload went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    /// `applied`, `unchanged` or `refused`.
    pub outcome: String,
    /// The file.
    pub file: String,
    /// The number of the snapshot in force.
    pub revision: u64,
    /// What is other now, a line each.
    pub changes: Vec<String>,
    /// What takes effect at the next start only, or not on all workers.
    pub warnings: Vec<Report>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
}

/// A pool, who chooses for it, and its backends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// As configured.
    pub name: String,
    /// The generation that chooses, the first one where there are several; none: no plugin of that name could be admitted.
    pub balancer: Option<Balancer>,
    /// Those that are asked after it, in their order.
    #[serde(default)]
    pub then: Vec<Balancer>,
    /// `round-robin` or `reject`.
    pub fallback: String,
    /// `plugin`, or `fallback` where none is left.
    pub serving: String,
    /// Requests that wait for room.
    pub queued: usize,
    /// Requests that were asked of a second backend while the first took its time.
    pub hedges: u64,
    /// Requests that were sent once more.
    pub retries: u64,
    /// Requests that might have been, but for the budget.
    pub retries_refused: u64,
    /// Picks that went to another backend than was chosen, for one would have had less than its least share.
    #[serde(default)]
    pub share_least: u64,
    /// The same, for the one that was chosen would have had more than the greatest share.
    #[serde(default)]
    pub share_most: u64,
    /// So few backends are ready that all of them get requests.
    pub panic: bool,
    /// In the order of the configuration.
    pub backends: Vec<Backend>,
}

/// The generation that chooses for a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balancer {
    /// Its name.
    pub plugin: String,
    /// Its number.
    pub generation: u64,
    /// The first seven digits of its bytes' SHA-256.
    pub hash: String,
    /// It failed too often, and is passed over.
    #[serde(default)]
    pub quarantined: bool,
}

/// A backend and its figures.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backend {
    /// As configured.
    pub name: String,
    /// `IP:port`.
    pub address: String,
    /// `ready`, `warming`, `draining`, `unhealthy` or `standby`.
    pub standing: String,
    /// Why.
    pub why: String,
    /// Since when, in seconds since 1970.
    pub since_unix: u64,
    /// What the last health check said.
    pub last_check: String,
    /// As configured, or as an operator said since.
    pub weight: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// All attempts so far.
    pub attempts: u64,
    /// Those without an answer below 500.
    pub failures: u64,
    /// Time to the first byte of an answer, moving average.
    pub latency_us: u32,
}

/// Decisions of a pool's balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tap {
    /// Since the last call, oldest first.
    pub decisions: Vec<Decision>,
    /// How many more there were, that were not asked for in time.
    pub dropped: u64,
    /// What the next call is to name.
    pub latest: u64,
}

/// Who got a request, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// Method and path.
    pub request: String,
    /// 0 for its first try.
    pub attempt: u32,
    /// `chosen`, `next-usable` (for who was chosen was not), `preferred` (ranked by the decision before), `narrowed` (by a
    /// plugin, and the host chose inside), `guarded` (for the sake of a share), `fallback`, `rejected`, `full` or `nobody`.
    pub outcome: String,
    /// The backend.
    pub chosen: Option<String>,
    /// The plugin that was asked, the last one where there are several.
    pub plugin: Option<String>,
    /// The number of its generation.
    pub generation: Option<u64>,
    /// What it said of its choice.
    pub note: Option<String>,
    /// All that were asked, in their order.
    #[serde(default)]
    pub asked: Vec<Opinion>,
    /// What it took, in nanoseconds, checks and fallback included.
    pub ns: u64,
    /// Who might be chosen, with what was known of each just before.
    pub candidates: Vec<Candidate>,
    /// How many more there were.
    pub candidates_left_out: usize,
}

/// What one plugin of a pool said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    /// Its name.
    pub plugin: String,
    /// The number of its generation.
    pub generation: u64,
    /// `chose`, `narrowed`, `passed`, `rejected` or `failed`.
    pub said: String,
    /// Why, if it says so.
    pub note: Option<String>,
}

/// A backend that might be chosen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// As configured.
    pub name: String,
    /// As configured, or as an operator said since.
    pub weight: u32,
    /// Requests under way.
    pub in_flight: u32,
    /// Time to the first byte of an answer, moving average.
    pub latency_us: u32,
    /// Share of attempts that got an answer below 500, moving average.
    pub success_permille: u32,
}

/// What an operator has a backend do, until something else is said or the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Take no new work.
    Drain,
    /// Take work again.
    Ready,
    /// Have this weight, 0 to 1000.
    Weight(u32),
}

/// The heaviest that a backend may be.
pub const WEIGHT_MOST: u32 = 1000;

/// A plugin, admitted or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// `balancer` or `filter`; none: never admitted, and nothing names it.
    pub kind: Option<String>,
    /// `serving`, `unused`, `quarantined`, `waiting` or `refused`.
    pub state: String,
    /// The generation admitted last.
    pub generation: Option<u64>,
    /// The first seven digits of its bytes' SHA-256.
    pub hash: Option<String>,
    /// `file` or `embedded`.
    pub origin: Option<String>,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// When it was admitted, in seconds since 1970.
    pub since_unix: Option<u64>,
    /// Its file, if one was seen and not removed.
    pub file: Option<String>,
    /// The pools it chooses for.
    pub pools: Vec<String>,
    /// Picks, or a filter's requests, of this generation.
    pub picks: u64,
    /// Faults of this generation.
    pub faults: u64,
    /// The same by kind: `trap`, `deadline`, `memory`, `answer`, `refused`.
    pub faults_by_kind: BTreeMap<String, u64>,
    /// Requests that went on without it.
    pub fallbacks: u64,
    /// What it cost.
    #[serde(default)]
    pub costs: Costs,
    /// What became of the states that its instances were offered; none: it keeps none.
    pub hand_over: Option<HandOver>,
    /// What it was told of the attempts that it chose; none: it does not want to hear.
    pub feedback: Option<Feedback>,
    /// The last thing that was wrong with its file.
    pub problem: Option<Report>,
    /// The bytes that were refused, where `problem` is a refusal.
    pub refused_hash: Option<String>,
    /// An operator said that no file replaces it.
    #[serde(default)]
    pub pinned: bool,
    /// What its file holds, and is not to serve.
    #[serde(default)]
    pub held_back: Option<HeldBack>,
    /// Lines of its log that were dropped.
    pub log_dropped: u64,
}

/// A file that is held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// The file.
    pub file: String,
    /// The first seven digits of its bytes' SHA-256.
    pub hash: String,
    /// `quarantined`, `rolled-back` or `pinned`.
    pub why: String,
}

/// A generation of a plugin that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Generation {
    /// Its number.
    pub generation: u64,
    /// The first seven digits of its bytes' SHA-256.
    pub hash: String,
    /// `file` or `embedded`.
    pub origin: String,
    /// `serving`, `unused`, `quarantined` or `past`.
    pub state: String,
    /// When it was admitted or came back last, in seconds since 1970.
    pub since_unix: u64,
    /// Picks, or a filter's requests.
    pub picks: u64,
    /// Faults.
    pub faults: u64,
    /// The same by kind.
    pub faults_by_kind: BTreeMap<String, u64>,
    /// Requests that went on without it.
    pub fallbacks: u64,
    /// What it cost.
    #[serde(default)]
    pub costs: Costs,
}

/// What a generation cost. The clock is read for one call in 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Calls that were timed.
    pub timed: u64,
    /// On average, in nanoseconds.
    pub mean_ns: u64,
    /// Half of them took no longer, as near as the buckets of the histogram in `/metrics` tell.
    pub p50_ns: u64,
    /// Ninety of a hundred took no longer.
    pub p90_ns: u64,
    /// Ninety-nine of a hundred took no longer.
    pub p99_ns: u64,
    /// How often it asked the host for something.
    pub host_calls: u64,
    /// Bytes that its live instances have.
    pub memory: u64,
}

/// What an operator wants of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steer {
    /// The generation with this hash, or how it begins, is to serve again; none: the last good one before.
    RollBack(Option<String>),
    /// No file replaces the generation that serves; with a hash, or how it begins, that one is to serve.
    Pin(Option<String>),
    /// Files are followed again, and what was held back is taken.
    Unpin,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steered {
    /// The plugin.
    pub plugin: String,
    /// The first seven digits of the hash of the generation that served.
    pub from: String,
    /// Those of the one that serves.
    pub to: String,
    /// Its number.
    pub generation: u64,
    /// Until it served.
    pub took_us: u64,
    /// Whether no file replaces it.
    pub pinned: bool,
    /// What its file holds, and is not to serve.
    pub held_back: Option<HeldBack>,
}

/// What the instances of a generation made of the states of those whose place they took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// They went on with it.
    pub taken: u64,
    /// They began without: refused, or the plugin failed in it.
    pub refused: u64,
}

/// Attempts that a plugin chose. Those neither delivered nor undelivered are under way, or wait some milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Of this generation.
    #[serde(flatten)]
    pub own: Outcomes,
    /// Of all generations since the plugin is known.
    pub all_generations: Outcomes,
}

/// What became known of attempts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes {
    /// How many were chosen.
    pub attempts: u64,
    /// Outcomes told to the instance that chose, or to the one that took over its state.
    pub delivered: u64,
    /// Outcomes told to nobody, by reason: `ended`, `fault`, `refused`, `full`.
    pub undelivered: BTreeMap<String, u64>,
}

/// A line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// What it wrote.
    pub text: String,
}
