//! What a filter does to the request at hand. Only inside [`Filter::on_request`](crate::Filter::on_request); at any other
//! time, or with an illegal name or value, the host stops the plugin. Later filters, the balancer and the backend see the
//! request as edited. One filter may add 64 KiB to one request, its headers, tags, paths and authorities together and 32
//! bytes for each edit.

use super::ask;
use crate::Verdict;
#[cfg(target_family = "wasm")]
use crate::bindings::filter::pointsman::plugin::edits as import;
#[cfg(not(target_family = "wasm"))]
use crate::testing::Answer;

/// Headers that no filter may touch, in a request or an answer: they frame a message, or speak of one connection.
pub const FORBIDDEN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Replaces all values of that name. The [`FORBIDDEN_HEADERS`] and pseudo headers are illegal.
pub fn set_header(name: &str, value: &[u8]) {
    ask!(import::set_header(name, value), |host| host.edit(name.len() + value.len()).set_header(name, value))
}

/// Adds a value behind those that are there.
pub fn append_header(name: &str, value: &[u8]) {
    ask!(import::append_header(name, value), |host| host.edit(name.len() + value.len()).append_header(name, value))
}

/// Removes all values of that name.
pub fn remove_header(name: &str) {
    ask!(import::remove_header(name), |host| host.edit(0).remove_header(name))
}

/// Path and query. Normalised as the client's was; the route stays.
pub fn set_path(target: &[u8]) {
    ask!(import::set_path(target), |host| host.edit(target.len()).set_target(target))
}

/// The host, and port if any, that the backend will see.
pub fn set_authority(value: &str) {
    ask!(import::set_authority(value), |host| host.edit(value.len()).authority = value.to_owned())
}

/// A word for later filters and the balancer; the backend never sees it. At most 64 tags of 4 KiB.
pub fn set_tag(name: &str, value: &str) {
    ask!(import::set_tag(name, value), |host| host.edit(name.len() + value.len()).set_tag(name, value))
}

/// Answers in place of a backend: return what this returns. `status` 200 to 599, the body at most 64 KiB.
///
/// ```
/// # use pointsman_sdk::prelude::*;
/// fn too_late() -> Verdict {
///     edits::respond(410, &[("content-type", b"text/plain")], b"gone since Monday\n")
/// }
/// # assert_eq!(too_late(), Verdict::Responded);
/// ```
pub fn respond(status: u16, headers: &[(&str, &[u8])], body: &[u8]) -> Verdict {
    let headers: Vec<(String, Vec<u8>)> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
    ask!(import::respond(status, &headers, body), |host| {
        host.edit(0);
        host.answer = Some(Answer::new(status, headers, body));
    });
    Verdict::Responded
}
