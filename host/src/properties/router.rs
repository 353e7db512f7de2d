//! Paths and routes: a path has one form, and the table finds what one would find who goes through all routes one by one.

use crate::{
    config::model::{HostMatch, Route},
    net::path::normalize,
    route::Table,
};
use std::{borrow::Cow, cmp::Reverse};

/// Text: listener, host and path of a request on the first line, of a route on each further one. A route's listener may be
/// `-`, its host `*` or begin with it.
pub fn router(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.lines().filter_map(words);
    let Some((listener, host, path)) = lines.next() else { return };
    let Some(path) = one_form(path) else { return };
    let routes: Vec<Route> = lines.map(|(listener, host, path)| route(listener, host, path)).collect();
    let listener = listener.unwrap_or_default();
    let found = Table::new(&routes).find(listener, host, &path);
    assert_eq!(found, one_by_one(&routes, listener, host, &path), "{listener} {host} {path} in {routes:?}");
}

fn words(line: &str) -> Option<(Option<usize>, &str, &str)> {
    let mut words = line.splitn(3, ' ');
    let (listener, host, path) = (words.next()?, words.next()?, words.next()?);
    Some((listener.parse().ok(), host, path))
}

fn route(listener: Option<usize>, host: &str, path: &str) -> Route {
    let host = match host.strip_prefix('*') {
        Some("") => HostMatch::Any,
        Some(suffix) if suffix.starts_with('.') => HostMatch::Wildcard(suffix.into()),
        _ => HostMatch::Exact(host.into()),
    };
    Route { listener, host, path: path.into(), pool: 0, filters: Vec::new() }
}

/// The path's one form, which holds nothing that anybody could take for another path; none: it has none.
fn one_form(path: &str) -> Option<Cow<'_, str>> {
    let form = normalize(path).ok()?;
    assert!(form.starts_with('/') && !form.contains("//") && form.is_ascii(), "{form}");
    assert!(!form.split('/').any(|segment| segment == "." || segment == ".."), "{form}");
    assert!(matches!(normalize(&form), Ok(Cow::Borrowed(_))), "{form} has another form");
    // Whoever looks at each byte of it comes to the same.
    assert_eq!(normalize(&format!("/.{form}")).as_deref(), Ok(&*form));
    Some(form)
}

/// The rule as one would say it: of all that match, the one that says most about the host, and then about the path.
pub(crate) fn one_by_one(routes: &[Route], listener: usize, host: &str, path: &str) -> Option<usize> {
    let rank = |(index, route): (usize, &Route)| {
        let host_rank = match &route.host {
            HostMatch::Exact(exact) => (exact == host).then_some(usize::MAX),
            HostMatch::Wildcard(suffix) => {
                (host.len() > suffix.len() && host.ends_with(suffix.as_str())).then_some(suffix.len())
            }
            HostMatch::Any => Some(0),
        }?;
        let prefix = normalize(&route.path).map_or(route.path.clone(), Cow::into_owned);
        let prefix = prefix.trim_end_matches('/');
        let rest = path.strip_prefix(prefix)?;
        let is_whole = rest.is_empty() || rest.starts_with('/') || prefix.is_empty();
        let is_its_listener = route.listener.is_none_or(|only| only == listener);
        (is_whole && is_its_listener).then_some((host_rank, prefix.len(), Reverse(index)))
    };
    routes.iter().enumerate().filter_map(rank).max().map(|(_, _, Reverse(index))| index)
}
