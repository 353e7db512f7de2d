//! The request at hand. Only inside [`Balancer::pick`](crate::Balancer::pick) and
//! [`Filter::on_request`](crate::Filter::on_request); asked at any other time, the host stops the plugin.

use super::ask;
use crate::Position;
#[cfg(target_family = "wasm")]
use crate::bindings::platform::pointsman::plugin::request as import;

pub use crate::bindings::platform::pointsman::plugin::request::Part;

/// As the client sent it: `GET`.
pub fn method() -> String {
    ask!(import::method(), |host| host.request.method.clone())
}

/// `http` or `https`, as the client came.
pub fn scheme() -> String {
    ask!(import::scheme(), |host| host.request.scheme.clone())
}

/// Host and, if given, port, as the client sent it.
pub fn authority() -> String {
    ask!(import::authority(), |host| host.request.authority.clone())
}

/// Percent-encoded and normalised: what the routes saw and the backend will see. Without the query.
pub fn path() -> Vec<u8> {
    ask!(import::path(), |host| host.request.path.clone())
}

/// Without the question mark; none when there is no question mark.
pub fn query() -> Option<Vec<u8>> {
    ask!(import::query(), |host| host.request.query.clone())
}

/// The first value of that name; names in lower case.
pub fn header(name: &str) -> Option<Vec<u8>> {
    ask!(import::header(name), |host| host.request.bytes(name).map(<[u8]>::to_vec))
}

/// All of them, in order, repeats kept.
pub fn headers() -> Vec<(String, Vec<u8>)> {
    ask!(import::headers(), |host| host.request.headers.clone())
}

/// The first cookie of that name.
pub fn cookie(name: &str) -> Option<Vec<u8>> {
    ask!(import::cookie(name), |host| host.request.part(Part::Cookie, name))
}

/// What an earlier filter said with [`edits::set_tag`](super::edits::set_tag).
pub fn tag(name: &str) -> Option<String> {
    ask!(import::tag(name), |host| host.request.tags.get(name).cloned())
}

/// The client's IP address, as trusted proxies tell it.
pub fn client_address() -> String {
    ask!(import::client_address(), |host| host.request.client_address.clone())
}

/// The name the client asked for in its TLS hello.
pub fn sni() -> Option<String> {
    ask!(import::sni(), |host| host.request.sni.clone())
}

/// The protocol agreed on in the TLS handshake: `h2` or `http/1.1`.
pub fn alpn() -> Option<String> {
    ask!(import::alpn(), |host| host.request.alpn.clone())
}

/// SHA-256 of the certificate that the client showed in the handshake, 32 bytes; it was verified.
pub fn peer_certificate_sha256() -> Option<Vec<u8>> {
    ask!(import::peer_certificate_sha256(), |host| host.request.peer_certificate_sha256.clone())
}

/// xxh64 with this seed over the bytes of the part; none when it is absent. For `query` it is the value of the first
/// parameter of that name. `name` is ignored by path, authority and client. A third of the price of reading the part.
///
/// ```
/// # use pointsman_sdk::{host::request::{self, Part}, testing};
/// testing::host(|host| host.request = testing::Request::get("/").with_header("x-user", "ann"));
/// assert_eq!(request::hash(Part::Header, "x-user", 0), Some(0x0b41_beba_4034_6ebe));
/// assert_eq!(request::hash(Part::Cookie, "user", 0), None);
/// ```
pub fn hash(part: Part, name: &str, seed: u64) -> Option<u64> {
    ask!(import::hash(part, name, seed), |host| {
        host.request.part(part, name).map(|bytes| xxhash_rust::xxh64::xxh64(&bytes, seed))
    })
}

/// Where this request has been, oldest first; backends that left the pool are missing. Ask only when
/// [`Turn::attempt`](crate::Turn::attempt) is not 0; [`Turn::untried`](crate::Turn::untried) does.
pub fn tried() -> Vec<Position> {
    ask!(import::tried(), |host| host.tried.clone())
}

/// The backend that the client is bound to by the pool's cookie, which the host signed and verified; it may be one of the
/// [others](crate::Pool::others), draining for instance. None without such a cookie, and where the backend left the pool.
pub fn stuck() -> Option<Position> {
    ask!(import::stuck(), |host| host.stuck)
}
