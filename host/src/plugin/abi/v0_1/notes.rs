//! What a balancer says beside its decision.

use super::bindings::pointsman::plugin::notes;
use crate::plugin::{Call, Notes, Rejection, Stick, sandbox::Data};
use wasmtime::{Result, bail};

/// How long the text of a rejection may be, in bytes.
const REASON_MAX: usize = 1024;
/// How many backends one decision may rank for its retries.
const NEXT_MOST: usize = 8;

/// How long an explanation may be, in bytes.
const EXPLANATION_MAX: usize = 1024;

impl notes::Host for Data {
    fn explain(&mut self, mut note: String) -> Result<()> {
        note.truncate(note.floor_char_boundary(EXPLANATION_MAX));
        let explains = self.explains;
        let notes = self.note("explain")?;
        notes.explanation = explains.then(|| note.into());
        Ok(())
    }

    fn token(&mut self, value: u64) -> Result<()> {
        self.note("token")?.token = value;
        Ok(())
    }

    fn prefer_next(&mut self, of: u32) -> Result<()> {
        let listed = self.members.len();
        if of as usize >= listed {
            bail!("prefers position {of}; the latest update listed {listed}");
        }
        let notes = self.note("prefer-next")?;
        if notes.next.len() == NEXT_MOST {
            bail!("prefers more than {NEXT_MOST} backends in one pick");
        }
        notes.next.push(of);
        Ok(())
    }

    fn rejection(&mut self, retry_after_s: Option<u32>, reason: String) -> Result<()> {
        if reason.len() > REASON_MAX || reason.contains(char::is_control) {
            bail!("a reason is one line of at most {REASON_MAX} bytes");
        }
        self.note("rejection")?.rejection = Some(Box::new(Rejection { retry_after_s, reason: reason.into() }));
        Ok(())
    }

    fn stick(&mut self, to: u32) -> Result<()> {
        let Some(id) = self.members.get(to).map(|member| member.id) else {
            bail!("sticks to position {to}; the latest update listed {}", self.members.len());
        };
        self.note("stick")?.stick = Some(Stick::To(id));
        Ok(())
    }

    fn stick_to_chosen(&mut self) -> Result<()> {
        self.note("stick-to-chosen")?.stick = Some(Stick::Chosen);
        Ok(())
    }
}

impl Data {
    /// What the pick that runs has said so far.
    fn note(&mut self, asked: &str) -> Result<&mut Notes> {
        if self.call != Call::Pick {
            bail!("called notes.{asked} in {}: only pick takes notes", self.call);
        }
        Ok(&mut self.notes)
    }
}
