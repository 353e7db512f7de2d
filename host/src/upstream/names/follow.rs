//! Names that are followed: each is looked up again when its answer has grown old.

use super::{Answer, Found, ask::ask};
use crate::{
    config::model::{Lookup, Resolver},
    drain::Drain,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep, sleep_until, timeout_at},
};

/// Until a name is looked up again that could not be looked up, or not all of it; twice as long after each further failure …
const RETRY: Duration = Duration::from_secs(1);
/// … and no longer than this.
const RETRY_MOST: Duration = Duration::from_secs(15);
/// Look-ups at the same time: a thousand names must not mean a thousand sockets.
const LOOK_UPS_MOST: usize = 64;

/// What a look-up brought. That it failed says nothing of the addresses known before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The name.
    pub lookup: Lookup,
    /// What it stands for, or why nobody can say.
    pub answer: Result<Answer, String>,
}

/// Follows names on the side runtime.
#[derive(Debug)]
pub struct Names {
    side: Handle,
    drain: Arc<Drain>,
    news: mpsc::Sender<News>,
    turns: Arc<Semaphore>,
    resolver: Resolver,
    followed: BTreeMap<Lookup, JoinHandle<()>>,
}

impl Names {
    /// Follows nothing yet, and nothing any more from the drain on.
    pub fn new(side: Handle, drain: Arc<Drain>, news: mpsc::Sender<News>) -> Names {
        let turns = Arc::new(Semaphore::new(LOOK_UPS_MOST));
        Names { side, drain, news, turns, resolver: Resolver::default(), followed: BTreeMap::new() }
    }

    /// Follows these and no others: what is known of each, and until when that may be believed. Where the resolver is the
    /// same, those that are followed already are left alone.
    pub fn follow(&mut self, names: impl Iterator<Item = (Lookup, Vec<Found>, Instant)>, resolver: Resolver) {
        let mut before = std::mem::take(&mut self.followed);
        let is_same = std::mem::replace(&mut self.resolver, resolver) == resolver;
        for (lookup, known, until) in names {
            let running = match before.remove(&lookup) {
                Some(running) if is_same => running,
                // Somebody else may say something else.
                Some(running) => {
                    running.abort();
                    self.start(lookup.clone(), known, Instant::now())
                }
                None => self.start(lookup.clone(), known, until),
            };
            self.followed.insert(lookup, running);
        }
        before.into_values().for_each(|task| task.abort());
    }

    fn start(&self, lookup: Lookup, known: Vec<Found>, until: Instant) -> JoinHandle<()> {
        let one = Followed { lookup, known, pause: RETRY, resolver: self.resolver, turns: self.turns.clone() };
        let (news, mut live) = (self.news.clone(), self.drain.enter());
        self.side.spawn(async move {
            tokio::select! {
                () = one.follow(until, news) => {}
                () = live.draining() => {}
            }
        })
    }
}

/// Looks all of them up once; of those that take longer than `most` nothing is known.
pub async fn first(lookups: BTreeSet<Lookup>, resolver: Resolver, most: Duration) -> Vec<News> {
    let (turns, end) = (Arc::new(Semaphore::new(LOOK_UPS_MOST)), Instant::now() + most);
    let mut asked = JoinSet::new();
    for lookup in lookups {
        let mut one = Followed { lookup, known: Vec::new(), pause: RETRY, resolver, turns: turns.clone() };
        asked.spawn(async move {
            let late = Err(format!("no answer within {most:?}"));
            let answer = timeout_at(end, one.look_up()).await.map_or(late, |(answer, _)| answer);
            News { lookup: one.lookup, answer }
        });
    }
    let mut news = Vec::new();
    while let Some(Ok(one)) = asked.join_next().await {
        news.push(one);
    }
    news
}

/// One name.
#[derive(Debug)]
struct Followed {
    lookup: Lookup,
    /// What it was found to stand for last.
    known: Vec<Found>,
    /// Until it is looked up again, should the next look-up fail.
    pause: Duration,
    resolver: Resolver,
    turns: Arc<Semaphore>,
}

impl Followed {
    /// Ends when nobody takes the news any more. Dropping this future ends the following.
    async fn follow(mut self, until: Instant, news: mpsc::Sender<News>) {
        sleep_until(until).await;
        loop {
            let (answer, wait) = self.look_up().await;
            // All of it is told, what is known already too: who takes it may have failed to make use of it.
            if news.send(News { lookup: self.lookup.clone(), answer }).await.is_err() {
                return;
            }
            sleep(wait).await;
        }
    }

    /// What it stands for, and until when it need not be looked up again.
    async fn look_up(&mut self) -> (Result<Answer, String>, Duration) {
        // The semaphore is never closed.
        let turn = self.turns.acquire().await;
        let mut answer = ask(self.resolver, &self.lookup, &self.known).await;
        drop(turn);
        let wait = self.wait(&answer);
        if let Ok(answer) = &mut answer {
            answer.ttl = wait;
            self.known.clone_from(&answer.found);
        }
        (answer, wait)
    }

    /// A part that nobody can say anything of is asked for again as soon as all of it would be.
    fn wait(&mut self, answer: &Result<Answer, String>) -> Duration {
        let most = match answer {
            Ok(answer) if !answer.is_partial => {
                self.pause = RETRY;
                return answer.ttl;
            }
            Ok(answer) => answer.ttl,
            Err(_) => RETRY_MOST,
        };
        let longer = (self.pause * 2).min(RETRY_MOST);
        std::mem::replace(&mut self.pause, longer).min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_all_answered_is_asked_for_again_soon() {
        let mut one = Followed {
            lookup: Lookup::Service("app.test".into()),
            known: Vec::new(),
            pause: RETRY,
            resolver: Resolver::System,
            turns: Arc::new(Semaphore::new(1)),
        };
        let answer = |ttl, is_partial| {
            Ok(Answer { found: Vec::new(), ttl: Duration::from_secs(ttl), is_partial, is_cut: false })
        };
        let said = [answer(300, true), Err(String::new()), answer(300, true), answer(2, true), answer(300, true)];
        let waits = said.map(|said| one.wait(&said).as_secs());
        assert_eq!(waits, [1, 2, 4, 2, 15]);
        assert_eq!([answer(300, false), answer(300, true)].map(|said| one.wait(&said).as_secs()), [300, 1]);
    }
}
