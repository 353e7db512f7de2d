//! What crosses the plugin boundary, in our words. Generated types stop in `abi`.

use crate::{
    figures::{BackendFigures, Probes, Reports, Standing},
    net::Address,
};
use std::{fmt, sync::Arc};

/// How long a fault's text may be, in bytes: a panic's message and place, and some lines printed before it.
const FAULT_TEXT_MAX: usize = 4 << 10;

/// A backend as a plugin is told of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Stable id.
    pub id: u64,
    /// As configured.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// As configured.
    pub weight: u32,
    /// Tier, 0 first.
    pub priority: u32,
    /// Empty when none was configured.
    pub zone: Arc<str>,
    /// How it stands now.
    pub standing: Standing,
    /// In the order of the file.
    pub metadata: Arc<[(String, String)]>,
    /// What the plugin's questions about it are answered from.
    pub figures: Arc<BackendFigures>,
}

/// What an instance is: fixed for its life.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Empty for a filter.
    pub(super) pool: Arc<str>,
    /// Empty when none was configured.
    pub(super) zone: Arc<str>,
    /// Which of the pool's instances this one is; one for each worker.
    pub(super) instance: u32,
    /// How many there are.
    pub(super) instances: u32,
    /// The number of its generation.
    pub(super) generation: u64,
    /// Where its chance begins.
    pub(super) seed: u64,
}

/// Who belongs to a pool: positions number `ready` first, then `others`.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    /// May be chosen.
    pub ready: Vec<Member>,
    /// The rest, with the reason in their standing.
    pub others: Vec<Member>,
    /// Which of the numbers are kept that they report about themselves; the same for all of a pool's life.
    pub reports: Arc<Reports>,
    /// Where they are asked how busy they are; the same for all of a pool's life.
    pub probes: Arc<Probes>,
}

impl Membership {
    /// The member at a position.
    pub fn get(&self, position: u32) -> Option<&Member> {
        let position = position as usize;
        self.ready.get(position).or_else(|| self.others.get(position.checked_sub(self.ready.len())?))
    }

    /// The position of the member with this id.
    pub fn position(&self, id: u64) -> Option<u32> {
        u32::try_from(self.iter().position(|member| member.id == id)?).ok()
    }

    /// All members, in the order of positions.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.ready.iter().chain(&self.others)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.ready.len() + self.others.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What no instance with this membership may answer, in words; none when it may. Whether the chosen member can be
    /// used by this request is another question.
    /// `subsets`: how many groups it has.
    pub fn breach(&self, decision: Decision, subsets: usize) -> Option<String> {
        match decision {
            Decision::Choose(position) => match self.get(position) {
                None => Some(format!("picked index {position} of a pool of {}", self.len())),
                Some(member) if (position as usize) < self.ready.len() || member.standing == Standing::Draining => None,
                Some(member) => {
                    let name = &member.name;
                    Some(format!("picked index {position} ({name}), which its last update listed as not eligible"))
                }
            },
            Decision::Narrow(subset) if subset as usize >= subsets => {
                Some(format!("narrowed to subset {subset}; since its last update it defined {subsets}"))
            }
            Decision::Reject(status) if !(400..600).contains(&status) => {
                Some(format!("rejected with status {status}; 400 to 599 are possible"))
            }
            Decision::Narrow(_) | Decision::Reject(_) | Decision::Pass => None,
        }
    }
}

/// A group of the ready that a balancer narrows to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subset {
    /// Positions and weights, at least one.
    pub members: Box<[(u32, u32)]>,
}

/// What a call is given beside the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// On a clock that never goes back.
    pub now_us: u64,
    /// Fresh bits.
    pub random: u64,
    /// The pool's hash key of this request.
    pub key: Option<u64>,
    /// 0 for a request's first try.
    pub attempt: u32,
    /// Somebody looks: a note on why would be read.
    pub explain: bool,
}

/// A balancer's answer, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The member at this position.
    Choose(u32),
    /// One of a group.
    Narrow(u32),
    /// No opinion.
    Pass,
    /// Answer the client with this status.
    Reject(u16),
}

/// What a balancer said beside its decision.
#[derive(Debug, Default)]
pub struct Notes {
    /// Comes back with the outcome.
    pub token: u64,
    /// Whom to ask next, in order.
    pub next: Vec<u32>,
    /// For a client whose request it rejects.
    pub rejection: Option<Box<Rejection>>,
    /// Where this client is to go from now on.
    pub stick: Option<Stick>,
    /// Why it chose so, for who looks.
    pub explanation: Option<Box<str>>,
}

/// Whom a client is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stick {
    /// The backend of this id.
    To(u64),
    /// Whoever gets this request.
    Chosen,
}

/// What a client is told whose request a plugin had rejected.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    /// When it may come back.
    pub retry_after_s: Option<u32>,
    /// One line, without control characters; empty: nothing was said.
    pub reason: Box<str>,
}

impl Rejection {
    /// Why, for the client.
    pub fn reason(&self) -> &str {
        if self.reason.is_empty() { "rejected" } else { &self.reason }
    }
}

/// What an instance knew, for the one that takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What the bytes mean.
    pub schema: u32,
    /// Of one instance each.
    pub parts: Vec<Vec<u8>>,
}

/// Which of a plugin's functions was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Making the instance, before any of its functions.
    Instantiate,
    /// `configure`.
    Configure,
    /// `update` of an instance that is built aside.
    Update,
    /// `update` of one that serves, between two of its picks.
    UpdateLive,
    /// `pick`.
    Pick,
    /// `period-ms` or `tick`.
    Tick,
    /// `observe`.
    Observe,
    /// `probed`.
    Probed,
    /// `save`.
    Save,
    /// `restore`.
    Restore,
    /// `on-request`.
    OnRequest,
    /// `describe`, of an instance that is thrown away.
    Describe,
}

impl Call {
    /// Whether it stops a serving worker for as long as it takes.
    pub fn is_on_worker(self) -> bool {
        matches!(
            self,
            Call::UpdateLive | Call::Pick | Call::Tick | Call::Observe | Call::Probed | Call::Save | Call::OnRequest
        )
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Instantiate => "instantiation",
            Call::Configure => "configure",
            Call::Update | Call::UpdateLive => "update",
            Call::Pick => "pick",
            Call::Tick => "tick",
            Call::Observe => "observe",
            Call::Probed => "probed",
            Call::Save => "save",
            Call::Restore => "restore",
            Call::OnRequest => "on-request",
            Call::Describe => "describe",
        })
    }
}

/// How a guest broke the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It trapped: a panic, an illegal access, a stack overflow, an error out of a host function.
    Trap,
    /// It used up its time.
    Deadline,
    /// It asked for more memory than it may have, and trapped.
    Memory,
    /// It answered what no instance may answer.
    Answer,
    /// `configure` refused the settings.
    Refused,
}

impl FaultKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [FaultKind; 5] =
        [FaultKind::Trap, FaultKind::Deadline, FaultKind::Memory, FaultKind::Answer, FaultKind::Refused];

    /// The word that people and JSON see.
    pub fn as_str(self) -> &'static str {
        match self {
            FaultKind::Trap => "trap",
            FaultKind::Deadline => "deadline",
            FaultKind::Memory => "memory",
            FaultKind::Answer => "answer",
            FaultKind::Refused => "refused",
        }
    }
}

/// One breach. The instance is dead after it: drop it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} in {call}: {text}", kind.as_str())]
pub struct Fault {
    /// How.
    pub kind: FaultKind,
    /// Where.
    pub call: Call,
    /// What the guest said, or what it did, in words; the guest's own last words of standard error included.
    pub text: String,
    /// Names of the guest's functions, innermost first.
    pub frames: Vec<String>,
}

impl Fault {
    /// Without names of functions. What is too long of the text is cut off: a guest may have written it.
    pub fn new(kind: FaultKind, call: Call, text: impl Into<String>) -> Fault {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(FAULT_TEXT_MAX));
        Fault { kind, call, text, frames: Vec::new() }
    }

    /// `frames: p2c::choose ← p2c::pick`; none when the guest names no functions.
    pub fn frames_in_words(&self) -> Option<String> {
        (!self.frames.is_empty()).then(|| format!("frames: {}", self.frames.join(" ← ")))
    }
}
