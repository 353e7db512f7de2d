//! A backend that was chosen, with what the plugin added.

use super::{fallback::is_usable, guard::Bound};
use crate::{
    figures::{Attempt, Picker, Reservation},
    plugin::Generation,
    upstream::Backend,
};
use std::{rc::Rc, sync::Arc};
use tokio::time::Instant;

/// A backend, and what was said beside.
#[derive(Debug)]
pub struct Choice {
    /// Who gets the request.
    pub backend: Arc<Backend>,
    /// The attempt counts already.
    pub(super) reserved: Option<Reservation>,
    /// The id of the backend that the client is to be bound to.
    pub stick: Option<u64>,
    /// None: nobody wants to hear of it, or knows better than others what to do next.
    pub(super) said: Option<Said>,
    /// It is one of those that bounds for shares hold for, and was made for the sake of one, or not.
    pub(super) guarded: Option<Option<Bound>>,
}

/// What a plugin said with its choice.
#[derive(Debug)]
pub(super) struct Said {
    /// Who wants to hear what becomes of it.
    pub picker: Option<Rc<Picker>>,
    pub position: u32,
    pub token: u64,
    /// Whom to ask next, in order, with their positions.
    pub next: Vec<(u32, Arc<Backend>)>,
    /// Who says so; none: nobody is to be asked next.
    pub by: Option<Arc<Generation>>,
}

impl Choice {
    /// This one, and nothing more.
    pub(super) fn of(backend: Arc<Backend>) -> Choice {
        Choice { backend, reserved: None, stick: None, said: None, guarded: None }
    }

    /// Counts an attempt; none when there is no room for it. Who chose hears what becomes of it.
    pub fn begin(&mut self, attempt: u32, now: Instant) -> Option<Attempt> {
        let mut ticket = match self.reserved.take() {
            Some(reserved) => reserved.begin(now),
            None => self.backend.begin(now),
        }?;
        if let Some(said) = &self.said
            && let Some(picker) = &said.picker
        {
            ticket.reports_on(Some(picker.slip(self.backend.id, said.position, said.token, attempt, now)));
        }
        Some(ticket)
    }

    /// Whether the plugin said whom to ask next.
    pub fn is_ranked(&self) -> bool {
        self.said.as_ref().is_some_and(|said| !said.next.is_empty())
    }

    /// The next of those that the plugin prefers, if any can be used now.
    pub fn next(self, tried: &[Arc<Backend>]) -> Option<Choice> {
        let said = self.said?;
        let mut next = said.next.into_iter().skip_while(|(_, backend)| !is_usable(backend, tried));
        let (position, backend) = next.next()?;
        // Who was to be bound to the one that was chosen is bound to this one.
        let stick = self.stick.map(|id| if id == self.backend.id { backend.id } else { id });
        let said = Some(Said { position, next: next.collect(), ..said });
        Some(Choice { stick, said, ..Choice::of(backend) })
    }
}
