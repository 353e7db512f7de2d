//! Whether a compiled plugin may serve: it is instantiated, configured and updated for each use that is configured, and
//! asked for decisions about requests that nobody sent. What it shares and its log are scratch ones, chance has a fixed
//! seed: nothing of this is visible to live instances.

use super::{
    BalancerInstance, Call, Compiled, Decision, Fault, FaultKind, FilterInstance, Generation, Kind, Log, Membership,
    Runtime, Turn, records::Place, report, sandbox::Outside,
};
use crate::{
    figures::{Ledger, Load, Loss, Outbox, Picker, Probed, Slip, Standing},
    net::{Connection, Head, Headers, TlsFacts},
    problem::{Code, Problem, Spot},
    rng::Rng,
};
use http::{HeaderName, HeaderValue, Method, uri::PathAndQuery};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
};
use tokio::time::Instant;

/// How many decisions each use is asked for.
const DRY_CALLS: u64 = 100;
/// Chance is the same in every admission, so that a refusal can be repeated.
const DRY_SEED: u64 = 1;
/// Microseconds between two dry decisions.
const DRY_STEP_US: u64 = 1000;

/// One use that a plugin is configured for.
#[derive(Clone, Debug)]
pub struct Use {
    /// The pool it balances; empty for a filter.
    pub pool: Arc<str>,
    /// One JSON object.
    pub settings: Arc<str>,
    /// Who belongs to the pool now; empty for a filter.
    pub membership: Membership,
    /// Where the settings stand.
    pub spot: Option<Spot>,
}

impl Runtime {
    /// Tries a plugin for its uses and makes a generation of it. Blocks for as long as the guest takes. PM0305, PM0306,
    /// and PM0307 when it is of another kind than wanted.
    pub fn admit(
        self: &Arc<Self>,
        compiled: &Arc<Compiled>,
        wanted: Kind,
        uses: &[Use],
    ) -> Result<Arc<Generation>, Problem> {
        let generation = Arc::new(Generation::new(self.clone(), compiled.clone()));
        generation.suits(wanted, uses)?;
        if uses.is_empty() {
            generation.sandbox(scratch()).map_err(|fault| report::of_trial(compiled, None, &fault))?;
        }
        self.admitted(generation.name(), generation.number());
        Ok(generation)
    }
}

impl Generation {
    /// Tries it for further uses, such as those of a new configuration; it need not be admitted yet. Blocks for as long as
    /// the guest takes.
    ///
    /// # Errors
    /// As [`Runtime::admit`].
    pub fn suits(self: &Arc<Self>, wanted: Kind, uses: &[Use]) -> Result<(), Problem> {
        let compiled = self.compiled();
        if compiled.kind() != wanted {
            let headline = format!("{} is a {}, not a {wanted}", compiled.artifact().place(), compiled.kind());
            return Err(
                Problem::error(Code::NOT_OFFERED, headline).note(format!("name a {wanted} here, or another plugin"))
            );
        }
        let fits = |one: &Use| try_out(self, one).map_err(|fault| report::of_trial(compiled, Some(one), &fault));
        uses.iter().try_for_each(fits)
    }
}

fn try_out(generation: &Arc<Generation>, one: &Use) -> Result<(), Fault> {
    let place = Place { seed: DRY_SEED, ..generation.place(&one.pool, 0) };
    match generation.kind() {
        Kind::Balancer => {
            let members = dry_members(&one.membership);
            let balancer = BalancerInstance::new(generation, scratch(), &place, &one.settings, members)?;
            dry_picks(balancer)
        }
        Kind::Filter => {
            let mut filter = FilterInstance::new(generation, scratch(), &place, &one.settings)?;
            requests().try_for_each(|(mut head, turn)| filter.on_request(&mut head, turn).map(drop))
        }
    }
}

/// What an instance gets that is only tried out.
pub(super) fn scratch() -> Outside {
    Outside {
        commons: Arc::default(),
        plugin_commons: Arc::default(),
        log: Arc::new(Log::scratch()),
        memory: Arc::default(),
        seed: DRY_SEED,
        live: false,
    }
}

/// The pool's shape. While nobody is ready, as before the first health check, all are taken to be: no live instance is
/// asked to pick among nobody.
fn dry_members(members: &Membership) -> Membership {
    if !members.ready.is_empty() {
        return members.clone();
    }
    let mut all = Membership { ready: members.others.clone(), ..Membership::default() };
    all.ready.iter_mut().for_each(|member| member.standing = Standing::Ready);
    all
}

fn dry_picks(mut balancer: BalancerInstance) -> Result<(), Fault> {
    let Some(first) = balancer.membership().ready.first().map(|member| member.id) else { return Ok(()) };
    let outbox = Rc::new(Outbox::new(Arc::default()));
    let ledger = Arc::new(Ledger::new(1, Arc::default()));
    let picker = Picker::next_of(&Rc::default(), &outbox, &ledger, 0);
    for (mut head, turn) in requests() {
        let tried: &[u64] = if turn.attempt == 0 { &[] } else { &[first] };
        let decision = balancer.pick(&mut head, turn, tried)?;
        if let Some(text) = balancer.breach(decision) {
            return Err(Fault::new(FaultKind::Answer, Call::Pick, text));
        }
        let token = balancer.notes().token;
        if let Decision::Choose(position) = decision
            && let Some(chosen) = balancer.membership().get(position)
        {
            ends(&picker.slip(chosen.id, position, token, turn.attempt, Instant::now()), turn.random);
        }
    }
    if balancer.tick_period().is_some() {
        balancer.tick(DRY_CALLS * DRY_STEP_US)?;
    }
    balancer.save()?;
    if balancer.hears() {
        let mut rows = Vec::new();
        outbox.empty_into(&mut rows);
        balancer.observe(DRY_CALLS * DRY_STEP_US, &rows)?;
    }
    if balancer.asks() {
        let now = Instant::now();
        let answers: Vec<Probed> = balancer.membership().iter().flat_map(|member| answers(member.id, now)).collect();
        balancer.probed(now, DRY_CALLS * DRY_STEP_US, &answers)?;
    }
    Ok(())
}

/// One that says all, one that says little, and none.
fn answers(backend: u64, at: Instant) -> [Probed; 3] {
    let load = |latency_us| Some(Load { in_flight: (backend % 7) as u32, latency_us });
    [load(Some((backend % 1009) as u32)), load(None), None].map(|load| Probed { backend, load, took_us: 100, at })
}

/// Well, badly, or with nothing, as chance has it.
fn ends(slip: &Slip, chance: u64) {
    match chance % 4 {
        0 => slip.lost(Loss::Refused),
        1 => slip.answered(503, 0),
        _ => {
            slip.answered(200, 0);
            slip.lost(Loss::Nothing);
        }
    }
}

/// Requests that nobody sent: plain ones, and some with odd parts.
fn requests() -> impl Iterator<Item = (Head, Turn)> {
    let mut rng = Rng::new(DRY_SEED);
    (0..DRY_CALLS).map(move |n| {
        let attempt = u32::from(n % 10 == 9);
        let key = (n % 4 == 3).then(|| rng.bits());
        (head(n), Turn { now_us: n * DRY_STEP_US, random: rng.bits(), key, attempt, explain: false })
    })
}

fn head(number: u64) -> Head {
    let mut headers = Headers::default();
    let mut header = |name: &'static str, value: &'static [u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    let mut target = "/";
    let mut tls = None;
    match number % 5 {
        1 => {
            header("x-user", b"");
            header("x-user", b"\xff\xfe not UTF-8 \x80");
            header("cookie", b";; =; a; a=1=2; a=");
        }
        2 => {
            header("user-agent", b"dry");
            header("cookie", b"session=0123456789abcdef");
            target = "/a/%20%FF/b?x=1&x=2&=&y";
        }
        3 => tls = Some(TlsFacts { sni: Some("dry.example".into()), alpn: Some("h2".into()), ..TlsFacts::default() }),
        4 => {
            (0..64).for_each(|_| header("x-many", &[b'm'; 512]));
            target = "/?";
        }
        _ => header("accept", b"*/*"),
    }
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, (number % 250) as u8));
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static(target),
        authority: HeaderValue::from_static("dry.example"),
        headers,
        client,
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, SocketAddr::new(client, 1024), tls)),
    }
}
