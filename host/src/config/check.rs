//! What the keys mean together: defaults, references between tables, names that must differ. Collects all problems.

mod cookie;
mod health;
mod listen;
mod pool;
mod probe;
mod process;
mod route;

use crate::{
    config::{
        file,
        model::Config,
        place::default_admin,
        read::{At, Reader},
        shapes::{List, Size, Time},
        units,
    },
    net::Address,
    problem::{Code, Problem},
};
use listen::listeners;
use pool::pools;
use process::{plugins, server};
use route::routes;
use std::{collections::HashMap, hash::Hash, ops::Range, path::Path, time::Duration};

/// The checked configuration. It may only be used when nothing was told to `reader`.
pub(super) fn check(file: file::File, base: &Path, reader: &mut Reader) -> Config {
    let listeners = listeners(file.listen, base, reader);
    let (pool_names, pools) = pools(file.pool, base, reader);
    let routes = routes(file.route, &listeners, &pool_names, reader);
    let admin = file.admin.map(|at| at.it).unwrap_or_default();
    Config {
        listeners,
        pools,
        routes,
        plugins: file.plugins.map(|at| plugins(at.it, base, reader)).unwrap_or_default(),
        admin: admin.address.map_or_else(default_admin, |at| at.it),
        metrics: admin.metrics.map(|at| at.it),
        server: server(file.server.map(|at| at.it).unwrap_or_default(), base, reader),
    }
}

/// A relative path starts at the directory of the file.
fn from_base(address: Address, base: &Path) -> Address {
    match address {
        Address::Unix(path) => Address::Unix(base.join(path).into()),
        address => address,
    }
}

/// Where something was named first.
struct Unique<T>(HashMap<T, Range<usize>>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Clone + Eq + Hash> Unique<T> {
    fn add(&mut self, it: &T, span: &Range<usize>, headline: impl FnOnce(&T) -> String, reader: &mut Reader) {
        let Some(first) = self.0.insert(it.clone(), span.clone()) else { return };
        let problem = Problem::error(Code::BAD_VALUE, headline(it)).at(reader.spot(span), "the second one");
        let problem = problem.note(format!("the first one: {}", reader.spot(&first).place()));
        reader.tell(problem);
    }
}

fn time(at: &Option<At<Time>>) -> Option<Duration> {
    at.as_ref().map(|at| at.it.0)
}

fn time_within(
    at: &Option<At<Time>>,
    key: &str,
    (least, most): (Duration, Duration),
    reader: &mut Reader,
) -> Option<Duration> {
    let at = at.as_ref()?;
    let range = (units::show_duration(least), units::show_duration(most));
    within(at.it.0, least..=most, key, &at.span, range, reader)
}

fn size_within(at: &Option<At<Size>>, key: &str, (least, most): (u64, u64), reader: &mut Reader) -> Option<u64> {
    let at = at.as_ref()?;
    within(at.it.0, least..=most, key, &at.span, (units::show_size(least), units::show_size(most)), reader)
}

fn within<T: PartialOrd>(
    value: T,
    range: std::ops::RangeInclusive<T>,
    key: &str,
    span: &Range<usize>,
    (least, most): (String, String),
    reader: &mut Reader,
) -> Option<T> {
    if range.contains(&value) {
        return Some(value);
    }
    let problem = Problem::error(Code::BAD_VALUE, format!("`{key}` is out of range"));
    let problem = problem.at(reader.spot(span), format!("expected \"{least}\" to \"{most}\""));
    reader.tell(problem);
    None
}

fn values<T>(list: List<T>) -> Vec<T> {
    list.0.into_iter().flatten().map(|at| at.it).collect()
}
