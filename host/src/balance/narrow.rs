//! What a link narrows to, on one worker: parts of the pool, and who finishes in each. That is the next link of the chain,
//! with an instance for each part, built aside; the host by weight where there is none, or none yet.

use super::{
    Assignment, Choice, Pick, Station,
    assignment::Prepared,
    fallback::{Turns, is_usable},
    link::{Asked, Link},
    roster::Part,
};
use crate::upstream::Backend;
use std::{rc::Rc, sync::Arc};

/// Links that a pool has on a worker, those in parts of it included: inside of more parts the host finishes.
const LINKS_MOST: usize = 72;

/// Where the links of one pool work, on one worker.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) at: Station,
    /// Each link has one.
    links: Rc<()>,
}

impl Site {
    pub(super) fn new(at: &Station) -> Site {
        Site { at: at.clone(), links: Rc::default() }
    }

    /// Whether there may be so many links more.
    fn has_room_for(&self, links: usize) -> bool {
        Rc::strong_count(&self.links) + links <= LINKS_MOST
    }
}

/// All that one link narrows to.
#[derive(Debug, Default)]
pub(super) struct Narrows {
    /// Another one whenever the handles may mean something else.
    edition: u64,
    /// By handle, as far as they were used.
    parts: Vec<Option<Narrowed>>,
    /// Parts that were made.
    made: u64,
}

/// A part of the pool.
#[derive(Debug)]
pub(super) struct Narrowed {
    /// When it was last compared with what the live instance defined.
    edition: u64,
    part: Arc<Part>,
    turns: Turns,
    /// The next link; none: the host finishes.
    next: Option<Box<Link>>,
}

impl Narrows {
    /// The live instance is another one, or was told of others.
    pub(super) fn renew(&mut self) {
        self.edition += 1;
    }

    /// What the live instance of a link means by this handle.
    pub(super) fn of(&mut self, subset: u32, live: &Prepared, link: &Assignment, site: &Site) -> Option<&mut Narrowed> {
        let at = subset as usize;
        if self.parts.get(at).and_then(Option::as_ref).is_none_or(|known| known.edition != self.edition) {
            self.look_again(at, live, link, site)?;
        }
        self.parts.get_mut(at)?.as_mut()
    }

    fn look_again(&mut self, at: usize, live: &Prepared, link: &Assignment, site: &Site) -> Option<()> {
        let subsets = live.instance.subsets();
        self.parts.resize_with(subsets.len(), || None);
        let named = |&(at, weight): &(u32, u32)| Some((live.roster.backends.get(at as usize)?.clone(), weight));
        let members: Vec<_> = subsets.get(at)?.members.iter().filter_map(named).collect();
        let known = self.parts.get_mut(at)?;
        if !known.as_ref().is_some_and(|known| known.is_of(&members)) {
            self.made += 1;
            let part = Arc::new(Part { number: self.made, members });
            match known {
                Some(known) => known.moves_to(part),
                None => *known = Some(Narrowed::new(part)),
            }
        }
        let known = known.as_mut()?;
        known.edition = self.edition;
        if let (None, Some(next)) = (&known.next, &link.next)
            && site.has_room_for(next.links().count())
        {
            let assignment = next.for_part(&known.part, None);
            known.next = Some(Box::new(Link::new(assignment, Some(known.part.clone()), site)));
        }
        Some(())
    }

    /// Who finishes in parts is another one from now on.
    pub(super) fn adopt(&mut self, next: Option<&Arc<Assignment>>) {
        self.renew();
        for narrowed in self.parts.iter_mut().flatten() {
            match (&mut narrowed.next, next) {
                (Some(kept), Some(next)) => kept.adopt(next.for_part(&narrowed.part, Some(kept.assignment()))),
                (kept, _) => *kept = None,
            }
        }
    }

    /// Those who finish in parts.
    pub(super) fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        self.parts.iter_mut().flatten().filter_map(|narrowed| narrowed.next.as_deref_mut())
    }
}

impl Narrowed {
    fn new(part: Arc<Part>) -> Narrowed {
        Narrowed { edition: 0, turns: Turns::new(part.members.len()), part, next: None }
    }

    /// Whether it is made of these, so that who finishes need not be told.
    fn is_of(&self, members: &[(Arc<Backend>, u32)]) -> bool {
        let same = |member: &(Arc<Backend>, u32)| (Arc::as_ptr(&member.0), member.1);
        self.part.members.iter().map(same).eq(members.iter().map(same))
    }

    /// It is made of others now.
    fn moves_to(&mut self, part: Arc<Part>) {
        self.turns = Turns::new(part.members.len());
        if let Some(next) = &mut self.next {
            next.moves_to(&part);
        }
        self.part = part;
    }

    /// One of the part; none: nobody of it is usable.
    pub(super) fn choose(&mut self, asked: &mut Asked<'_>) -> Option<Pick> {
        if let Some(pick) = self.next.as_mut().and_then(|next| next.decide(asked)) {
            return Some(pick);
        }
        let tried = asked.question.tried;
        let usable = self.part.members.iter().enumerate().filter(|(_, (b, weight))| *weight > 0 && is_usable(b, tried));
        let weighted = usable.map(|(at, (backend, weight))| (at, backend, *weight));
        let backend = self.turns.next(weighted, asked.pool, asked.question.now)?;
        if let Some(looked) = asked.looked {
            looked.ends_as("narrowed");
        }
        Some(Pick::Backend(Choice::of(backend)))
    }
}
