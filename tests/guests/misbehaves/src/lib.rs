//! Round robin, until it misbehaves: at the call that its settings name, or for the request whose `x-misbehave` header
//! names the act. The header lets a plugin pass its admission, where no request carries it, and fail on a request of the
//! test's choice.

use pointsman_sdk::{host::shared::Counter, prelude::*};
use serde::Deserialize;
use std::hint::black_box;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    act: Act,
    at: At,
    /// Which call of that kind of this instance, from 1; 0 for each of them.
    nth: u64,
    /// How many lines `flood` writes, how many rounds `work` takes.
    amount: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { act: Act::Obey, at: At::Pick, nth: 1, amount: 10_000 }
    }
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum At {
    Configure,
    Update,
    Pick,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Act {
    Obey,
    /// An error out of `configure`.
    Refuse,
    /// Without end.
    Loop,
    /// More memory, without end.
    Grow,
    Panic,
    /// It says that the client is to be bound, then panics.
    BindAndPanic,
    /// The stack.
    Overflow,
    /// A position that never was.
    Lie,
    /// The first position among the others.
    Ineligible,
    Narrow,
    Pass,
    /// With status 429.
    Reject,
    /// With a status that no answer may have.
    RejectBadly,
    /// The log.
    Flood,
    Print,
    /// Hard, and to an end.
    Work,
}

/// How often a long line says the same.
const LONG: usize = 1000;

struct Misbehaves {
    settings: Settings,
    tickets: Counter,
    updates: u64,
    picks: u64,
}

impl Balancer for Misbehaves {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let tickets = Counter::named("tickets");
        let plugin = Misbehaves { settings, tickets, updates: 0, picks: 0 };
        let act = plugin.due(At::Configure, 1);
        if act == Act::Refuse {
            return Err("k must be 1..=16".into());
        }
        plugin.do_it(act, "configure");
        Ok(plugin)
    }

    fn update(&mut self, _: &Pool) {
        self.updates += 1;
        self.do_it(self.due(At::Update, self.updates), "update");
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        self.picks += 1;
        let asked = request::header("x-misbehave").and_then(|name| by_name(&name));
        let act = asked.unwrap_or_else(|| self.due(At::Pick, self.picks));
        self.do_it(act, "pick");
        match act {
            Act::Lie => Decision::Choose(pool.len() + pool.others().len() as u32),
            Act::Ineligible => Decision::Choose(pool.len()),
            Act::Narrow => Decision::Narrow(0),
            Act::Pass => Decision::Pass,
            Act::Reject => Decision::Reject(429),
            Act::RejectBadly => Decision::Reject(99),
            _ => turn.untried((self.tickets.add(1) % u64::from(pool.len())) as Position, pool),
        }
    }
}

balancer!(Misbehaves);

impl Misbehaves {
    fn due(&self, at: At, call: u64) -> Act {
        let Settings { act, at: when, nth, .. } = self.settings;
        if at == when && (nth == 0 || nth == call) { act } else { Act::Obey }
    }

    fn do_it(&self, act: Act, call: &str) {
        match act {
            Act::Loop => endless(),
            Act::Grow => grow(),
            Act::Panic => panic!("asked to panic in {call}"),
            Act::BindAndPanic => {
                notes::stick_to_chosen();
                panic!("asked to panic in {call}")
            }
            Act::Overflow => println!("{}", overflow(1)),
            Act::Flood => (0..self.settings.amount).for_each(|n| log::info(&format!("line {n} of a flood"))),
            Act::Work => drop(work(self.settings.amount)),
            Act::Print => {
                println!("printed in {call}");
                // More than WASI takes at once.
                println!("{}", format!("a long line in {call} ").repeat(LONG));
                eprintln!("complained in {call}");
            }
            _ => {}
        }
    }
}

/// The act of this name, as settings would name it.
fn by_name(name: &[u8]) -> Option<Act> {
    let name: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
        serde::de::IntoDeserializer::into_deserializer(std::str::from_utf8(name).ok()?);
    Act::deserialize(name).ok()
}

fn endless() -> ! {
    let mut round = 0_u64;
    loop {
        round = black_box(round + 1);
    }
}

fn grow() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[expect(unconditional_recursion, reason = "that is the point")]
fn overflow(depth: u64) -> u64 {
    black_box(overflow(black_box(depth) + 1)) + depth
}

fn work(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum, round| black_box(sum ^ round.rotate_left(7)))
}
