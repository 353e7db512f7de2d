//! What routes refer to.

use super::Unique;
use crate::{
    config::{
        file,
        model::{FilterUse, HostMatch, Listener, Route},
        read::{At, Reader},
        shapes::{List, Text},
    },
    problem::{Code, Problem, did_you_mean},
};

pub(super) fn routes(
    list: Option<At<List<file::Route>>>,
    listeners: &[Listener],
    pools: &[String],
    reader: &mut Reader,
) -> Vec<Route> {
    let written = list.map_or_else(Vec::new, |list| list.it.0);
    if written.is_empty() {
        return the_only_route(pools, reader);
    }
    let mut matches = Unique::default();
    let mut routes = Vec::new();
    for (index, At { it: route, span }) in written.into_iter().enumerate().filter_map(|(i, at)| Some((i + 1, at?))) {
        let listener_names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
        let pool_names: Vec<_> = pools.iter().map(String::as_str).collect();
        let listener = route.listen.map(|name| reference(index, "listener", &name, &listener_names, reader));
        let pool = route.pool.and_then(|name| reference(index, "pool", &name, &pool_names, reader));
        let host = route.host.map_or(HostMatch::Any, |at| at.it.0);
        let path = route.path.map_or_else(|| "/".into(), |at| at.it.0);
        // Only of a file without other mistakes: a host or path that was left out matches what it was not meant to.
        if reader.is_content() {
            let key = (listener, host.clone(), path.clone());
            matches.add(&key, &span, |_| format!("route {index} matches the same requests as one before it"), reader);
        }
        routes.push(Route {
            listener: listener.flatten(),
            host,
            path,
            pool: pool.unwrap_or_default(),
            filters: route.filters.map_or_else(Vec::new, |at| filters(at.it, reader)),
        });
    }
    routes
}

/// Without a route, all requests go to the only pool: nothing else can be meant.
fn the_only_route(pools: &[String], reader: &mut Reader) -> Vec<Route> {
    // With other mistakes in the file the routes may be among them.
    if pools.len() > 1 && reader.is_content() {
        let headline = format!("{} pools and no `[[route]]`: nothing says which requests go where", pools.len());
        let example = format!("add one for each pool, such as [[route]] path = \"/\" pool = {:?}", pools[0]);
        reader.tell(Problem::error(Code::BAD_VALUE, headline).note(example));
    }
    vec![Route { listener: None, host: HostMatch::Any, path: "/".into(), pool: 0, filters: Vec::new() }]
}

fn filters(list: List<file::Filter>, reader: &Reader) -> Vec<FilterUse> {
    let filter = |At { it: filter, .. }: At<file::Filter>| {
        let plugin = filter.plugin?;
        Some(FilterUse {
            spot: Some(reader.spot(&plugin.span)),
            plugin: plugin.it.0,
            settings: filter.settings.map_or_else(|| "{}".into(), |at| at.it.0),
            on_fault: filter.on_fault.map(|at| at.it).unwrap_or_default(),
        })
    };
    list.0.into_iter().flatten().filter_map(filter).collect()
}

/// The index of what a route refers to by name.
fn reference(route: usize, noun: &str, name: &At<Text>, defined: &[&str], reader: &mut Reader) -> Option<usize> {
    let word = name.it.0.as_str();
    let index = defined.iter().position(|defined| *defined == word);
    if index.is_none() {
        let headline = format!("route {route} uses {noun} {word:?}, which is not defined");
        let meant = did_you_mean(word, defined.iter().copied());
        let label = meant.map_or_else(String::new, |meant| format!("did you mean {meant:?}?"));
        let problem = Problem::error(Code::UNDEFINED, headline).at(reader.spot(&name.span), label);
        reader.tell(problem.note(format!("{noun}s: {}", defined.join(", "))));
    }
    index
}
