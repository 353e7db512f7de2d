//! One instance's store, what its host functions find there, and the one door through which the guest is called. After
//! any fault the door stays shut: a store that trapped once may hold anything.

use super::{
    Call, Fault, FaultKind, Membership, Notes, Subset, Turn,
    abi::v0_1::{Edits, Stdio},
    fault::fault,
    limits::{Allowance, Meter, Space},
    log::Log,
    shared::{Commons, Row},
};
use crate::{
    config::model::Plugins,
    figures::{BackendFigures, Reports, Reservation},
    net::{Connection, Head, Headers},
    rng::Rng,
};
use http::{HeaderValue, Method, uri::PathAndQuery};
use std::{
    mem,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::time::Instant;
use wasmtime::{
    Store,
    component::{Instance, InstancePre, ResourceTable},
};
use wasmtime_wasi::{filesystem::WasiFilesystemCtx, sockets::WasiSocketsCtx};

/// How many WASI handles a guest may hold; what could fill them is denied anyway.
const WASI_HANDLES_MAX: usize = 256;

/// How much a guest may hand over in one call of the host, or in one answer, in bytes: twice what the largest answer of a
/// filter takes. The host keeps it outside of the guest's memory, so the limit of that does not hold for it.
const HANDED_OVER_MAX: usize = 256 << 10;

/// What the host functions work on.
pub(super) struct Data {
    /// The call that runs, or ran last.
    pub(super) call: Call,
    /// The request at hand while a call that has one runs; blank otherwise.
    pub(super) head: Head,
    /// Ids of the backends that this request has tried, oldest first.
    pub(super) tried: Vec<u64>,
    /// Id of the backend that this request's client is bound to.
    pub(super) stuck: Option<u64>,
    /// What the instance's latest `update` listed.
    pub(super) members: Membership,
    /// The figures of these, in the order of positions: what is asked of all of them at once is read in one go.
    pub(super) figures: Vec<Arc<BackendFigures>>,
    /// What time it is in the call that runs, once it was asked.
    pub(super) now: Option<Instant>,
    pub(super) commons: Arc<Commons>,
    /// The same of the whole plugin.
    pub(super) plugin_commons: Arc<Commons>,
    /// Whose cells are whose, by position; looked up when somebody asks for one after an update.
    pub(super) rows: Option<Vec<Arc<Row>>>,
    /// The names of what backends report; of its own where it is only tried out.
    pub(super) reports: Arc<Reports>,
    /// What the pick under way has reserved, and of which position.
    pub(super) reserved: Option<(u32, Reservation)>,
    /// The worker on which it is told what became of its probes; none: it is not.
    pub(super) told_on: Option<usize>,
    /// Whether it serves: what is only tried out leaves no trace in figures.
    pub(super) live: bool,
    pub(super) log: Arc<Log>,
    pub(super) edits: Edits,
    /// How often the guest called the host since that was told last.
    pub(super) host_calls: u64,
    /// Whether somebody reads why the pick that runs chooses so.
    pub(super) explains: bool,
    /// Of the latest pick.
    pub(super) notes: Notes,
    /// Defined since the latest `update` began.
    pub(super) subsets: Vec<Subset>,
    pub(super) meter: Meter,
    pub(super) space: Space,
    /// The latest turn's time: the only clock there is.
    pub(super) now_us: u64,
    /// Seeded by the instance's place: the only chance there is.
    pub(super) rng: Rng,
    pub(super) stdio: Stdio,
    pub(super) filesystem: WasiFilesystemCtx,
    pub(super) sockets: WasiSocketsCtx,
    pub(super) table: ResourceTable,
}

impl Data {
    /// These belong to the pool from now on.
    pub(super) fn told(&mut self, members: Membership) {
        self.figures = members.iter().map(|member| member.figures.clone()).collect();
        self.members = members;
        self.rows = None;
    }

    /// One clock for all that is asked in one call.
    pub(super) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// What the guest printed to standard error in this call.
    pub(super) fn last_words(&mut self) -> String {
        self.stdio.finish(&self.log);
        self.stdio.last_words()
    }
}

/// What an instance is given of the world outside.
#[derive(Clone)]
pub(super) struct Outside {
    pub(super) commons: Arc<Commons>,
    pub(super) plugin_commons: Arc<Commons>,
    pub(super) log: Arc<Log>,
    /// What all instances of its generation have together.
    pub(super) memory: Arc<AtomicU64>,
    pub(super) seed: u64,
    /// Whether it will serve. What is only tried out makes nobody wait, so the clock on the wall is not held against it.
    pub(super) live: bool,
}

/// A store with one instance in it.
pub(super) struct Sandbox {
    store: Store<Data>,
    deadline: Duration,
    live: bool,
    dead: bool,
}

impl Sandbox {
    /// Makes a store and an instance in it. Takes about 10 µs and whatever the guest does at its start.
    pub(super) fn new(
        pre: &InstancePre<Data>,
        limits: &Plugins,
        outside: Outside,
    ) -> Result<(Sandbox, Instance), Fault> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(WASI_HANDLES_MAX);
        let data = Data {
            call: Call::Instantiate,
            head: blank(),
            tried: Vec::new(),
            stuck: None,
            members: Membership::default(),
            figures: Vec::new(),
            now: None,
            commons: outside.commons,
            plugin_commons: outside.plugin_commons,
            rows: None,
            reports: Arc::default(),
            reserved: None,
            told_on: None,
            live: outside.live,
            log: outside.log,
            edits: Edits::default(),
            host_calls: 0,
            explains: false,
            notes: Notes::default(),
            subsets: Vec::new(),
            meter: Meter::new(Allowance::of(Call::Instantiate, limits.deadline, outside.live)),
            space: Space::new(limits.memory, outside.memory),
            now_us: 0,
            rng: Rng::new(outside.seed),
            stdio: Stdio::default(),
            filesystem: WasiFilesystemCtx::default(),
            sockets: WasiSocketsCtx::default(),
            table,
        };
        let mut store = Store::new(pre.engine(), data);
        store.limiter(|data| &mut data.space);
        store.set_hostcall_fuel(HANDED_OVER_MAX);
        store.epoch_deadline_callback(|mut context| Ok(context.data_mut().meter.tick()));
        let mut sandbox = Sandbox { store, deadline: limits.deadline, live: outside.live, dead: false };
        let instance = sandbox.call(Call::Instantiate, |store| pre.instantiate(store))?;
        Ok((sandbox, instance))
    }

    /// Calls the guest within the call's limits. Dead after any error.
    pub(super) fn call<R>(
        &mut self,
        call: Call,
        run: impl FnOnce(&mut Store<Data>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        if self.dead {
            return Err(Fault::new(FaultKind::Trap, call, "the instance is dead after an earlier fault"));
        }
        let data = self.store.data_mut();
        data.call = call;
        data.now = None;
        data.meter = Meter::new(Allowance::of(call, self.deadline, self.live));
        data.space.forgive();
        data.stdio.forget();
        self.store.set_epoch_deadline(1);
        run(&mut self.store).map_err(|error| {
            self.dead = true;
            fault(call, &error, self.store.data_mut())
        })
    }

    /// Calls the guest with a request at hand: the head moves into the store and back, nothing of it is copied.
    pub(super) fn call_with<R>(
        &mut self,
        call: Call,
        head: &mut Head,
        turn: &Turn,
        run: impl FnOnce(&mut Store<Data>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        let data = self.store.data_mut();
        data.now_us = turn.now_us;
        data.explains = turn.explain;
        mem::swap(&mut data.head, head);
        let result = self.call(call, run);
        mem::swap(&mut self.store.data_mut().head, head);
        result
    }

    /// Calls the guest, which may hand over so many bytes this time.
    pub(super) fn call_for<R>(
        &mut self,
        bytes: usize,
        call: Call,
        run: impl FnOnce(&mut Store<Data>) -> wasmtime::Result<R>,
    ) -> Result<R, Fault> {
        self.store.set_hostcall_fuel(bytes);
        let result = self.call(call, run);
        self.store.set_hostcall_fuel(HANDED_OVER_MAX);
        result
    }

    pub(super) fn data(&self) -> &Data {
        self.store.data()
    }

    pub(super) fn data_mut(&mut self) -> &mut Data {
        self.store.data_mut()
    }

    /// An answer that breaks the contract is as bad as a trap.
    pub(super) fn condemn(&mut self, call: Call, kind: FaultKind, text: impl Into<String>) -> Fault {
        self.dead = true;
        Fault::new(kind, call, text)
    }
}

/// What stands in a store while no request does.
fn blank() -> Head {
    let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Head {
        method: Method::GET,
        target: PathAndQuery::from_static("/"),
        authority: HeaderValue::from_static(""),
        headers: Headers::default(),
        client: nowhere,
        tags: Vec::new(),
        connection: Arc::new(Connection::new(0, SocketAddr::new(nowhere, 0), None)),
    }
}
