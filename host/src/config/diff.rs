//! What is other in another configuration, in words; and what of it has to wait for the next start.

use super::model::{Backend, Config, Listener, Named, Pool, Server};
use crate::problem::{Code, Problem};

/// What a reload says of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What is other, a line each, in the order of listeners, pools, routes and the rest.
    pub changes: Vec<String>,
    /// PM0105 for each table with keys that are read at the start only.
    pub warnings: Vec<Problem>,
}

/// The configuration that a process in which `now` is in force can serve of `next`: what is read at the start only stays.
pub fn changeable(now: &Config, next: Config) -> Config {
    let server = Server {
        drain: next.server.drain,
        tunnels: next.server.tunnels,
        resolver: next.server.resolver,
        ..now.server.clone()
    };
    Config { admin: now.admin.clone(), metrics: now.metrics, plugins: now.plugins.clone(), server, ..next }
}

/// The names of those of these fields that differ.
macro_rules! differing {
    ($one:expr, $other:expr; $($field:ident),+) => {{
        let mut names: Vec<&str> = Vec::new();
        $(if $one.$field != $other.$field {
            names.push(stringify!($field));
        })+
        names
    }};
}

/// What is other in `next`.
pub fn diff(now: &Config, next: &Config) -> Diff {
    let mut changes = listeners(&now.listeners, &next.listeners);
    changes.extend(pools(&now.pools, &next.pools));
    if routes(now) != routes(next) {
        let (before, after) = (now.routes.len(), next.routes.len());
        let count = if before == after { after.to_string() } else { format!("{before} → {after}") };
        changes.push(format!("routes changed ({count})"));
    }
    let server = differing!(now.server, next.server; drain, tunnels, resolver);
    if !server.is_empty() {
        changes.push(format!("server: {} changed", server.join(", ")));
    }
    Diff { changes, warnings: at_next_start(now, next) }
}

/// Routes refer to listeners and pools by index; what they mean is their names.
fn routes(config: &Config) -> Vec<impl PartialEq> {
    let name = |index: usize| config.listeners.get(index).map(|listener| listener.name.as_str());
    let pool = |index: usize| config.pools.get(index).map(|pool| pool.name.as_str());
    let routes = config.routes.iter().map(|r| (r.listener.and_then(name), &r.host, &r.path, pool(r.pool), &r.filters));
    routes.collect()
}

fn listeners(now: &[Listener], next: &[Listener]) -> Vec<String> {
    let by = |all: &[Listener], one: &Listener| all.iter().find(|l| l.name == one.name).cloned();
    let mut lines = Vec::new();
    for listener in next {
        match by(now, listener) {
            None => lines.push(format!("listener {} added", listener.name)),
            Some(before) if before != *listener => {
                let named = differing!(
                    before, listener; address, mode, tls, timeout, limit, proxy_protocol, trusted_proxies, forwarded,
                    redirect, request_id, explain_header
                );
                lines.push(format!("listener {}: {} changed", listener.name, listed(&named)));
            }
            Some(_) => {}
        }
    }
    let gone = now.iter().filter(|listener| by(next, listener).is_none());
    lines.extend(gone.map(|listener| format!("listener {} removed", listener.name)));
    lines
}

fn pools(now: &[Pool], next: &[Pool]) -> Vec<String> {
    // Both are in the order of their names.
    let by = |all: &[Pool], name: &str| all.binary_search_by(|pool| (*pool.name).cmp(name)).ok();
    let mut lines = Vec::new();
    for pool in next {
        match by(now, &pool.name).and_then(|at| now.get(at)) {
            None => lines.push(format!("pool {} added", pool.name)),
            Some(before) if before != pool => lines.push(format!("pool {}: {}", pool.name, of_pool(before, pool))),
            Some(_) => {}
        }
    }
    let gone = now.iter().filter(|pool| by(next, &pool.name).is_none());
    lines.extend(gone.map(|pool| format!("pool {} removed", pool.name)));
    lines
}

/// `10.0.0.3:8080 added; timeout, health changed`
fn of_pool(now: &Pool, next: &Pool) -> String {
    let mut parts = backends(&now.backends, &next.backends);
    let named = differing!(
        now, next; balancer, settings, fallback, hash, health, eject, panic, tiers, cookie, slow_start, timeout, retry, hedge, limit, share,
        reported, probe, tls, protocol, proxy_protocol
    );
    let named =
        if now.then == next.then || named.contains(&"balancer") { named } else { [vec!["balancer"], named].concat() };
    parts.extend(names(&now.names, &next.names));
    let backends_alone = Pool { backends: next.backends.clone(), names: next.names.clone(), ..now.clone() } == *next;
    if !backends_alone {
        parts.push(format!("{} changed", listed(&named)));
    }
    parts.join("; ")
}

/// By what stands in the file: what it stands for changes without a reload.
fn names(now: &[Named], next: &[Named]) -> Vec<String> {
    let each = |names: &[Named]| names.iter().map(|named| named.each.clone()).collect::<Vec<_>>();
    match backends(&each(now), &each(next)) {
        parts if parts.is_empty() && now != next => vec!["names changed".into()],
        parts => parts,
    }
}

fn backends(now: &[Backend], next: &[Backend]) -> Vec<String> {
    let by = |all: &'_ [Backend]| -> std::collections::HashMap<String, Backend> {
        all.iter().map(|backend| (backend.name.clone(), backend.clone())).collect()
    };
    let (before, after) = (by(now), by(next));
    let names = |all: Vec<&Backend>| all.iter().map(|backend| backend.name.as_str()).collect::<Vec<_>>().join(", ");
    let added: Vec<_> = next.iter().filter(|backend| !before.contains_key(&backend.name)).collect();
    let gone: Vec<_> = now.iter().filter(|backend| !after.contains_key(&backend.name)).collect();
    let other = next.iter().filter(|backend| before.get(&backend.name).is_some_and(|before| before != *backend));
    let other: Vec<_> = other.collect();
    let mut parts = Vec::new();
    for (which, what) in [(added, "added"), (gone, "removed"), (other, "changed")] {
        if !which.is_empty() {
            parts.push(format!("{} {what}", names(which)));
        }
    }
    if parts.is_empty() && now != next {
        parts.push("order of backends changed".into());
    }
    parts
}

/// Keys that no list here names are there all the same.
fn listed(names: &[&str]) -> String {
    if names.is_empty() { "other keys".into() } else { names.join(", ") }
}

fn at_next_start(now: &Config, next: &Config) -> Vec<Problem> {
    let plugins = differing!(now.plugins, next.plugins; directory, deadline, memory, size, faults);
    let server = differing!(now.server, next.server; workers, requests, zone, access_log);
    let tables = [("[plugins]", plugins), ("[server]", server)];
    let mut warnings: Vec<Problem> = tables
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(table, names)| at_start(format!("{} of {table} changed", names.join(", "))))
        .collect();
    if now.admin != next.admin {
        warnings.push(at_start("the admin address changed".into()));
    }
    if now.metrics != next.metrics {
        warnings.push(at_start("the address of metrics changed".into()));
    }
    warnings
}

fn at_start(what: String) -> Problem {
    Problem::warning(Code::AT_NEXT_START, what).note("takes effect at the next start; until then it stays as it was")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;
    use std::path::Path;

    const NOW: &str = r#"
[[listen]]
name = "public"
address = "127.0.0.1:8080"
[pool.cart]
backends = ["10.0.0.1:80", "10.0.0.2:80"]
[pool.shop]
backends = ["10.0.1.1:80"]
[[route]]
path = "/cart"
pool = "cart"
[[route]]
listen = "public"
pool = "shop"
"#;

    fn config(text: &str) -> Config {
        parse(text, Path::new("pointsman.toml")).unwrap_or_else(|problems| panic!("{problems:#?}"))
    }

    fn told(replace: &[(&str, &str)]) -> Vec<String> {
        let next = replace.iter().fold(NOW.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        });
        let Diff { changes, warnings } = diff(&config(NOW), &config(&next));
        changes.into_iter().chain(warnings.into_iter().map(|problem| format!("! {}", problem.headline))).collect()
    }

    #[test]
    fn each_change_is_told_in_words() {
        for (replace, expected) in [
            (&[("\n[pool.cart]", "\n# only a line more\n[pool.cart]")][..], &[][..]),
            (&[("10.0.0.2", "10.0.0.3")], &["pool cart: 10.0.0.3:80 added; 10.0.0.2:80 removed"]),
            (
                &[("\"10.0.0.1:80\", \"10.0.0.2:80\"", "\"10.0.0.2:80\", \"10.0.0.1:80\"")],
                &["pool cart: order of backends changed"],
            ),
            (
                &[("\"10.0.0.2:80\"]", "{ address = \"10.0.0.2:80\", weight = 3 }]\ntimeout = \"3s\"")],
                &["pool cart: 10.0.0.2:80 changed; timeout changed"],
            ),
            (&[("[pool.cart]", "[pool.a]\nbackends = [\"10.0.2.1:80\"]\n[pool.cart]")], &["pool a added"]),
            (
                &[
                    ("[pool.cart]\nbackends = [\"10.0.0.1:80\", \"10.0.0.2:80\"]", ""),
                    ("pool = \"cart\"", "pool = \"shop\""),
                ],
                &["pool cart removed", "routes changed (2)"],
            ),
            (
                &[("127.0.0.1:8080\"", "127.0.0.1:8080\"\ntimeout = { idle = \"5s\" }")],
                &["listener public: timeout changed"],
            ),
            (
                &[(
                    "[pool.cart]",
                    "[server]\nworkers = 77\ndrain = \"20s\"\n[admin]\naddress = \"127.0.0.1:9\"\n[pool.cart]",
                )],
                &["server: drain changed", "! workers of [server] changed", "! the admin address changed"],
            ),
        ] {
            assert_eq!(told(replace), expected, "{replace:?}");
        }
    }

    #[test]
    fn what_moved_in_the_file_or_in_a_list_is_the_same() {
        let moved = NOW.replace("name = \"public\"\n", "").replace("8080\"", "8080\"\nname = \"public\"");
        assert_eq!(diff(&config(NOW), &config(&moved)), Diff::default());
        assert_eq!(config(NOW), config(&moved));
    }
}
