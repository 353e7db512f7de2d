//! What became of a plugin's decisions, laid out as the contract has it.

use super::bindings::pointsman::plugin::types;
use crate::{figures::Row, plugin::Membership};

/// Where a backend stands that left the pool.
const GONE: u32 = u32::MAX;

/// Rows on their way to a guest. It keeps its room from one batch to the next.
pub(crate) struct Batch(types::Outcomes);

impl Default for Batch {
    fn default() -> Batch {
        let (at, token, what, ttfb_us) = Default::default();
        let (total_us, sent_bytes, received_bytes) = Default::default();
        Batch(types::Outcomes { at, token, what, ttfb_us, total_us, sent_bytes, received_bytes })
    }
}

impl Batch {
    pub(super) fn outcomes(&self) -> &types::Outcomes {
        &self.0
    }

    /// One more, for an instance of which these are the members.
    pub(crate) fn push(&mut self, row: &Row, members: &Membership) {
        let stays = members.get(row.position).is_some_and(|member| member.id == row.backend);
        let at = if stays { Some(row.position) } else { members.position(row.backend) };
        self.0.at.push(at.unwrap_or(GONE));
        self.0.token.push(row.token);
        self.0.what.push(row.what());
        self.0.ttfb_us.push(row.ttfb_us);
        self.0.total_us.push(row.total_us);
        self.0.sent_bytes.push(row.sent);
        self.0.received_bytes.push(row.received);
    }

    /// The next begins.
    pub(crate) fn clear(&mut self) {
        let types::Outcomes { at, token, what, ttfb_us, total_us, sent_bytes, received_bytes } = &mut self.0;
        at.clear();
        token.clear();
        what.clear();
        ttfb_us.clear();
        total_us.clear();
        sent_bytes.clear();
        received_bytes.clear();
    }
}
