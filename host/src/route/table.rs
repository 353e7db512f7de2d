//! All routes, found by hash: one look-up for the host and one for each segment of the path, however many there are.

use crate::{
    config::model::{HostMatch, Route},
    net::path,
};
use std::collections::HashMap;

/// The routes of one revision.
#[derive(Debug, Default)]
pub struct Table {
    exact: HashMap<Box<str>, Paths>,
    /// By suffix, such as `.example.com`.
    wildcard: HashMap<Box<str>, Paths>,
    any: Paths,
}

/// The routes of one host.
#[derive(Debug, Default)]
struct Paths {
    /// By prefix, without the slash at its end; the root is empty.
    by_prefix: HashMap<Box<str>, Vec<Entry>>,
    /// Bytes of the longest prefix: nothing longer needs to be looked up.
    longest: usize,
}

#[derive(Debug)]
struct Entry {
    listener: Option<usize>,
    route: usize,
}

impl Table {
    /// Routes keep the index they have here.
    pub fn new(routes: &[Route]) -> Table {
        let mut table = Table::default();
        for (index, route) in routes.iter().enumerate() {
            let paths = match &route.host {
                HostMatch::Exact(host) => table.exact.entry(host.as_str().into()).or_default(),
                HostMatch::Wildcard(suffix) => table.wildcard.entry(suffix.as_str().into()).or_default(),
                HostMatch::Any => &mut table.any,
            };
            paths.add(&route.path, Entry { listener: route.listener, route: index });
        }
        table
    }

    /// The route that says most about the host, and among those the one with the longest path; of equals, the first in
    /// the file. `host` is in lower case and has no port, `path` is normalised.
    pub fn find(&self, listener: usize, host: &str, path: &str) -> Option<usize> {
        self.exact
            .get(host)
            .and_then(|paths| paths.find(listener, path))
            .or_else(|| self.find_wildcard(listener, host, path))
            .or_else(|| self.any.find(listener, path))
    }

    fn find_wildcard(&self, listener: usize, host: &str, path: &str) -> Option<usize> {
        if self.wildcard.is_empty() {
            return None;
        }
        // From left to right: the longest suffix first. A dot at the very start has no label before it.
        let dots = host.match_indices('.').map(|(at, _)| at).filter(|&at| at > 0);
        dots.filter_map(|at| self.wildcard.get(&host[at..])).find_map(|paths| paths.find(listener, path))
    }
}

impl Paths {
    fn add(&mut self, prefix: &str, entry: Entry) {
        // A prefix without a normal form matches nothing, as no request will have that path.
        let prefix = path::normalize(prefix).map_or_else(|_| prefix.to_owned(), |normal| normal.into_owned());
        let prefix = prefix.trim_end_matches('/');
        self.longest = self.longest.max(prefix.len());
        self.by_prefix.entry(prefix.into()).or_default().push(entry);
    }

    /// Tries the path's prefixes of whole segments, the longest first.
    fn find(&self, listener: usize, path: &str) -> Option<usize> {
        let mut end = path.len();
        loop {
            if end <= self.longest
                && let Some(entries) = self.by_prefix.get(&path[..end])
                && let Some(entry) = entries.iter().find(|entry| entry.listener.is_none_or(|only| only == listener))
            {
                return Some(entry.route);
            }
            if end == 0 {
                return None;
            }
            // `OPTIONS *` has no slash: it belongs to the root.
            end = path[..end].rfind('/').unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::one_by_one;
    use proptest::{collection::vec, prelude::*};

    fn route(listener: Option<usize>, host: HostMatch, path: &str) -> Route {
        Route { listener, host, path: path.into(), pool: 0, filters: Vec::new() }
    }

    #[test]
    fn case_71_a_prefix_ends_with_a_segment() {
        for prefix in ["/cart", "/cart/"] {
            let table = Table::new(&[route(None, HostMatch::Any, prefix)]);
            for (path, found) in
                [("/cart", true), ("/cart/", true), ("/cart/x/y", true), ("/cartoon", false), ("/", false)]
            {
                assert_eq!(table.find(0, "a", path).is_some(), found, "{prefix} {path}");
            }
        }
    }

    #[test]
    fn the_host_counts_before_the_path_and_the_path_before_the_order() {
        let table = Table::new(&[
            route(None, HostMatch::Any, "/a/b/c"),
            route(None, HostMatch::Wildcard(".example.com".into()), "/a"),
            route(None, HostMatch::Wildcard(".b.example.com".into()), "/"),
            route(None, HostMatch::Exact("x.example.com".into()), "/a/b"),
            route(None, HostMatch::Exact("x.example.com".into()), "/a/b"),
            route(Some(1), HostMatch::Any, "/"),
        ]);
        for (listener, host, path, found) in [
            (0, "x.example.com", "/a/b/c", Some(3)),
            (0, "x.example.com", "/a/c", Some(1)),
            (0, "a.b.example.com", "/a/b/c", Some(2)),
            (0, "example.com", "/a/b/c", Some(0)),
            (0, ".example.com", "/a", None),
            (0, "other", "/x", None),
            (1, "other", "/x", Some(5)),
            (1, "other", "*", Some(5)),
        ] {
            assert_eq!(table.find(listener, host, path), found, "{listener} {host} {path}");
        }
    }

    #[test]
    fn a_prefix_is_normalised_as_requests_are() {
        let table = Table::new(&[route(None, HostMatch::Any, "/caf%c3%a9//%61/")]);
        assert_eq!(table.find(0, "a", "/caf%C3%A9/a/menu"), Some(0));
    }

    fn any_host() -> impl Strategy<Value = HostMatch> {
        prop_oneof![
            Just(HostMatch::Any),
            "[ab](\\.[ab]){0,2}".prop_map(HostMatch::Exact),
            "(\\.[ab]){1,3}".prop_map(HostMatch::Wildcard),
        ]
    }

    fn any_route() -> impl Strategy<Value = Route> {
        (proptest::option::of(0..2_usize), any_host(), "(/[ab]{1,2}){0,3}/?")
            .prop_map(|(listener, host, path)| route(listener, host, if path.is_empty() { "/" } else { &path }))
    }

    proptest! {
        #[test]
        fn the_table_finds_what_one_finds_who_goes_through_all(
            routes in vec(any_route(), 0..12), listener in 0..2_usize, host in "[ab](\\.[ab]){0,3}", path in "(/[ab]{1,2}){0,4}/?"
        ) {
            let path = if path.is_empty() { "/" } else { &path };
            prop_assert_eq!(Table::new(&routes).find(listener, &host, path), one_by_one(&routes, listener, &host, path));
        }
    }
}
