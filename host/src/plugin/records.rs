//! What crosses the plugin boundary, in our words. Generated types stop in `abi`.

use crate::figures::{BackendFigures, Standing};
use std::{fmt, net::SocketAddr, sync::Arc};

/// A backend as a plugin is told of it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Stable id.
    pub id: u64,
    /// As configured.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: SocketAddr,
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

/// Who belongs to a pool: positions number `ready` first, then `others`.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    /// May be chosen.
    pub ready: Vec<Member>,
    /// The rest, with the reason in their standing.
    pub others: Vec<Member>,
}

impl Membership {
    /// The member at a position.
    pub fn get(&self, position: u32) -> Option<&Member> {
        let position = position as usize;
        self.ready.get(position).or_else(|| self.others.get(position.checked_sub(self.ready.len())?))
    }
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

/// Which of a plugin's functions was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Making the instance, before any of its functions.
    Instantiate,
    /// `configure`.
    Configure,
    /// `update`.
    Update,
    /// `pick`.
    Pick,
    /// `period-ms` or `tick`.
    Tick,
    /// `on-request`.
    OnRequest,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Call::Instantiate => "instantiation",
            Call::Configure => "configure",
            Call::Update => "update",
            Call::Pick => "pick",
            Call::Tick => "tick",
            Call::OnRequest => "on-request",
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
