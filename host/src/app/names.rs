//! What is known of the names of backends, and pools with a backend for each address that a name stands for.

use crate::{
    config::model::{Backend, Config, Lookup, Named},
    problem::{Code, Problem},
    upstream::names::{self, ADDRESSES_MOST, Found, HOSTS_MOST, News},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};

/// How long a start, or a reload that brings names, waits for their addresses.
const FIRST_MOST: Duration = Duration::from_secs(2);

/// What is known of each name of a configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Answers(BTreeMap<Lookup, Known>);

#[derive(Clone, Debug)]
struct Known {
    /// By the last look-up that found any: a name that is gone for a moment, or a server that is, takes no backend away.
    found: Vec<Found>,
    /// Until when that may be believed.
    until: Instant,
    /// Why the last look-up found none.
    failure: Option<String>,
    /// There is more than is taken.
    is_cut: bool,
}

impl Answers {
    /// Those for this configuration. Of names that are new it waits a while for their addresses; blocking.
    pub(super) fn of(&self, config: &Config, side: &Handle) -> Answers {
        let wanted: BTreeSet<&Lookup> = config.pools.iter().flat_map(|pool| &pool.names).map(|n| &n.lookup).collect();
        let (known, new): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|lookup| self.0.contains_key(lookup));
        let known = known.into_iter().filter_map(|lookup| Some((lookup.clone(), self.0.get(lookup)?.clone())));
        let mut answers = Answers(known.collect());
        if !new.is_empty() {
            let now = Instant::now();
            let unknown = Known { found: Vec::new(), until: now, failure: None, is_cut: false };
            answers.0.extend(new.iter().map(|&lookup| (lookup.clone(), unknown.clone())));
            let new = new.into_iter().cloned().collect();
            let news = side.block_on(names::first(new, config.server.resolver, FIRST_MOST));
            for news in news {
                answers.learn(news);
            }
        }
        answers
    }

    /// Takes in what a look-up brought; whether there are other addresses now.
    pub(super) fn learn(&mut self, news: News) -> bool {
        // What is configured no more may still have been on its way.
        let Some(known) = self.0.get_mut(&news.lookup) else { return false };
        match news.answer {
            Ok(answer) => {
                known.failure = None;
                known.until = Instant::now() + answer.ttl;
                if answer.is_cut && !known.is_cut {
                    tracing::warn!(
                        "{} stands for more than {HOSTS_MOST} hosts or {ADDRESSES_MOST} addresses: the first of them serve",
                        news.lookup.name()
                    );
                }
                known.is_cut = answer.is_cut;
                std::mem::replace(&mut known.found, answer.found) != known.found
            }
            Err(why) => {
                known.failure = Some(why);
                false
            }
        }
    }

    /// What is to be followed, and from where on.
    pub(super) fn followed(&self) -> impl Iterator<Item = (Lookup, Vec<Found>, Instant)> {
        self.0.iter().map(|(lookup, known)| (lookup.clone(), known.found.clone(), known.until))
    }

    /// The configuration with a backend for each address.
    pub(super) fn expand(&self, config: &Config) -> Config {
        let mut config = config.clone();
        for pool in &mut config.pools {
            let mut taken: BTreeSet<String> = pool.backends.iter().map(|backend| backend.name.clone()).collect();
            for named in &pool.names {
                let found = self.0.get(&named.lookup).into_iter().flat_map(|known| &known.found);
                // Somebody may have called another backend just so: it stands in the file, and stays.
                let backends = found.map(|found| backend(named, found)).filter(|it| taken.insert(it.name.clone()));
                pool.backends.extend(backends);
            }
        }
        config
    }

    /// Which names were not found by the last look-up, and what serves meanwhile.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let failed = self.0.iter().filter_map(|(lookup, known)| Some((lookup, known, known.failure.as_ref()?)));
        let problem = |(lookup, known, why): (&Lookup, &Known, &String)| {
            let name = lookup.name();
            let problem = Problem::warning(Code::NAME_NOT_FOUND, format!("{name} cannot be looked up: {why}"));
            match known.found.len() {
                0 => problem.serving("no backend of that name serves until it is found"),
                1 => problem.serving("the address it had goes on serving"),
                some => problem.serving(format!("the {some} addresses it had go on serving")),
            }
        };
        failed.map(problem).collect()
    }
}

/// `app.example:8080/10.0.0.1`; a service's hosts have ports of their own, so there it is `srv:…/10.0.0.1:8080`.
fn backend(named: &Named, found: &Found) -> Backend {
    let at = match named.lookup {
        Lookup::Host { .. } => found.address.ip().to_string(),
        Lookup::Service(_) => found.address.to_string(),
    };
    Backend {
        name: format!("{}/{at}", named.each.name),
        address: found.address.into(),
        weight: match (named.each.weight, found.weight) {
            // No new work, whatever the service says.
            (0, _) => 0,
            (weight, found) => found.unwrap_or(weight),
        },
        priority: named.each.priority + found.priority,
        ..named.each.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::parse, upstream::names::Answer};
    use std::path::Path;

    const TEXT: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n\
                        [pool.a]\nbackends = [\"10.0.0.9:1\", \"A.invalid:80\"]\n\
                        [server]\nresolver = \"127.0.0.1:1\"\n";

    fn news(found: Result<&[&str], &str>) -> News {
        let one = |address: &&str| Found::of_host("a.invalid", address.parse().unwrap());
        let answer = found.map(|all| Answer {
            found: all.iter().map(one).collect(),
            ttl: Duration::from_secs(60),
            is_partial: false,
            is_cut: false,
        });
        let lookup = Lookup::Host { name: "a.invalid".into(), port: 80 };
        News { lookup, answer: answer.map_err(str::to_owned) }
    }

    #[test]
    fn a_failure_takes_no_address_away() {
        let side = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = parse(TEXT, Path::new("x.toml")).unwrap();
        let names = |answers: &Answers| {
            let pool = answers.expand(&config).pools.remove(0);
            pool.backends.into_iter().map(|backend| backend.name).collect::<Vec<_>>()
        };
        // A name that nobody has to be asked for.
        let mut answers = Answers::default().of(&config, side.handle());
        assert_eq!(names(&answers), ["10.0.0.9:1"]);
        let problem = answers.problems().remove(0);
        assert_eq!(problem.headline, "a.invalid cannot be looked up: there is no such name");
        assert_eq!(problem.serving.as_deref(), Some("no backend of that name serves until it is found"));

        assert!(answers.learn(news(Ok(&["10.0.0.1:80", "10.0.0.2:80"]))));
        let both = ["10.0.0.9:1", "A.invalid:80/10.0.0.1", "A.invalid:80/10.0.0.2"];
        assert_eq!((names(&answers), answers.problems()), (both.map(String::from).to_vec(), vec![]));
        assert!(!answers.learn(news(Err("there is no such name"))));
        assert_eq!(names(&answers), both);
        assert_eq!(answers.problems()[0].serving.as_deref(), Some("the 2 addresses it had go on serving"));
        // Another configuration with the same name asks nobody; one without it forgets it.
        assert_eq!(names(&answers.of(&config, side.handle())), both);
        let other = parse(&TEXT.replace("A.invalid:80", "10.0.0.8:1"), Path::new("x.toml")).unwrap();
        answers = answers.of(&other, side.handle());
        assert_eq!(answers.problems(), []);
        assert!(!answers.learn(news(Ok(&["10.0.0.1:80"]))));
    }
}
