//! What becomes known of a request on its way: counted when it is answered or its client left, and told to the access log
//! when its answer has ended.

use super::{
    Worker,
    access::Line,
    explain::{self, DECISION},
    headers,
    request_id::{RequestId, X_REQUEST_ID},
};
use crate::{
    figures::{ListenerCounts, Seen},
    net::{Connection, Interim, Interims, Request, Response},
    plugin::Generation,
    state::Policy,
    telemetry::access_log::Entry,
    upstream::{Backend, Pool},
};
use http::{Version, header};
use std::{
    cell::{Cell, OnceCell, RefCell},
    sync::Arc,
};
use tokio::time::Instant;

/// One request's facts.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) worker: &'a Worker,
    pub(super) policy: &'a Policy,
    /// Where answers before the answer go.
    pub(super) interims: &'a Interims,
    /// What the client speaks.
    pub(super) version: Version,
    /// When its head was there.
    pub(super) began: Instant,
    id: OnceCell<RequestId>,
    pool: OnceCell<Arc<Pool>>,
    is_answered: Cell<bool>,
    /// None: there is no access log.
    line: RefCell<Option<Line>>,
    /// A trusted proxy wants to be told how backends are chosen.
    pub(super) explains: bool,
    decisions: RefCell<Vec<Arc<Seen>>>,
    /// When the attempt under way began; known only where it is logged.
    asked: Cell<Option<Instant>>,
}

impl<'a> Context<'a> {
    /// Of a request, or of what was none.
    pub(super) fn new(
        worker: &'a Worker,
        policy: &'a Policy,
        connection: &Connection,
        request: Option<&Request>,
        interims: &'a Interims,
    ) -> Context<'a> {
        let began = Instant::now();
        let id = OnceCell::new();
        if let Some(given) = request.and_then(|request| given_id(policy, connection, request)) {
            // It is empty yet.
            let _ = id.set(given);
        }
        let log = policy.access_log.as_ref();
        let line = log.map(|log| Line::new(log, &policy.listener, connection, request, began));
        Context {
            worker,
            policy,
            interims,
            version: request.map_or(Version::HTTP_11, |request| request.version),
            began,
            id,
            pool: OnceCell::new(),
            is_answered: Cell::new(false),
            line: RefCell::new(line),
            explains: request.is_some_and(|request| explains(policy, connection, request)),
            decisions: RefCell::default(),
            asked: Cell::new(None),
        }
    }

    /// What it is called: as a trusted proxy says, or by a number that is made when somebody asks for it.
    pub(super) fn id(&self) -> &RequestId {
        self.id.get_or_init(|| RequestId::Made(self.worker.rng().bits()))
    }

    /// A route has said which pool it is for.
    pub(super) fn goes_to(&self, pool: Arc<Pool>, chooses: Option<&Generation>) -> &Arc<Pool> {
        self.note(|entry| {
            entry.pool = Some(pool.name.clone());
            entry.plugin = chooses.map(|generation| generation.name().clone());
            entry.generation = chooses.map(Generation::number);
        });
        self.pool.get_or_init(|| pool)
    }

    /// A backend was chosen, or nobody, for a request whose answer is to tell how.
    pub(super) fn decided(&self, decision: Arc<Seen>) {
        explain::keep(&mut self.decisions.borrow_mut(), decision);
    }

    /// An attempt begins.
    pub(super) fn asks(&self, backend: &Backend) {
        self.note(|entry| {
            entry.attempts += 1;
            entry.backend = Some(backend.name.clone());
            self.asked.set(Some(Instant::now()));
        });
    }

    /// A backend says something before its answer.
    pub(super) fn says(&self, mut interim: Interim) {
        headers::towards_client(&mut interim.headers, interim.version);
        // It has no body, whatever it says (RFC 9110 §8.6).
        interim.headers.remove(&header::CONTENT_LENGTH);
        self.interims.put(interim);
    }

    /// The head of this one's answer came.
    pub(super) fn heard(&self, backend: &Backend) {
        self.note(|entry| {
            entry.backend = Some(backend.name.clone());
            entry.upstream = self.asked.get().map(|asked| asked.elapsed());
        });
    }

    /// Tells the access log, if there is one.
    pub(super) fn note(&self, fill: impl FnOnce(&mut Entry)) {
        if let Some(line) = &mut *self.line.borrow_mut() {
            line.note(fill);
        }
    }

    /// This is its answer; what is left is its body.
    pub(super) fn answered(&self, response: &mut Response) {
        let status = response.status.as_u16();
        self.is_answered.set(true);
        self.counts().answers.up(status);
        if let Some(pool) = self.pool.get() {
            let counts = pool.figures.of(self.worker.index());
            counts.answers.up(status);
            counts.took.took(self.began.elapsed());
        }
        if self.explains {
            for decision in self.decisions.take() {
                response.headers.append(DECISION.clone(), explain::value(&decision));
            }
        }
        if let Some(mut line) = self.line.take() {
            line.note(|entry| entry.id = self.id().to_string().into());
            line.follows(response);
        }
    }

    fn counts(&self) -> &ListenerCounts {
        self.policy.figures.of(self.worker.index())
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if !self.is_answered.get() {
            self.counts().left.up();
            self.note(|entry| entry.id = self.id().to_string().into());
        }
    }
}

/// Whether a trusted proxy asks how its backend is chosen.
fn explains(policy: &Policy, connection: &Connection, request: &Request) -> bool {
    let asked = policy.explain_header.as_ref().is_some_and(|name| request.headers.get(name).is_some());
    asked && policy.believes(connection)
}

/// What a trusted proxy calls this request.
fn given_id(policy: &Policy, connection: &Connection, request: &Request) -> Option<RequestId> {
    if !policy.believes(connection) {
        return None;
    }
    request.headers.get(&X_REQUEST_ID).and_then(RequestId::given)
}
