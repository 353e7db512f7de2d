//! Which headers pass on, in both directions: what belongs to one connection stays on it, what clients say about
//! themselves is believed only from trusted proxies, and each message tells that it came through here.

use crate::{
    config::model::Forwarded,
    net::{Head, Headers, NOBODY, h1::has_token},
    state::Policy,
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Version, header};
use std::{io::Write, net::IpAddr};

static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static X_CLIENT_CERT_SHA256: HeaderName = HeaderName::from_static("x-client-cert-sha256");
static X_CLIENT_CERT_SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
static X_CLIENT_CERT_NAMES: HeaderName = HeaderName::from_static("x-client-cert-names");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Before any filter sees the request: drops what `connection` names, so that a client cannot strike out what filters
/// and we add; finds the client's address; replaces what is not believed about the way here by what is known.
pub(super) fn believe(head: &mut Head, policy: &Policy) {
    if head.headers.contains(&header::CONNECTION) {
        remove_connection_options(&mut head.headers);
    }
    let peer_is_trusted = policy.believes(&head.connection);
    if peer_is_trusted {
        head.client = client(head, policy);
    }
    let is_believed = |name: &HeaderName| match policy.forwarded {
        Forwarded::X => *name != header::FORWARDED,
        Forwarded::Rfc7239 => *name == header::FORWARDED,
        Forwarded::None => false,
    };
    head.headers.retain(|name| match forwarding(name) {
        Forwarding::No => true,
        Forwarding::Yes => peer_is_trusted && is_believed(name),
        Forwarding::LooksLikeIt => false,
    });
    tell_the_way(head, policy.forwarded);
    if policy.certificates {
        tell_the_certificate(head, peer_is_trusted);
    }
}

/// Whose certificate the client has shown. What others say of it is believed where we know nothing ourselves, and only from
/// trusted proxies.
fn tell_the_certificate(head: &mut Head, peer_is_trusted: bool) {
    let connection = head.connection.clone();
    let shown = connection.tls.as_ref().and_then(|tls| tls.client.as_deref());
    let stays = peer_is_trusted && shown.is_none();
    head.headers.retain(|name| match likeness(name, b"x-client-cert-") {
        Likeness::None => true,
        Likeness::Same => stays,
        Likeness::Underscored => false,
    });
    let Some(shown) = shown else { return };
    let lines = [
        (&X_CLIENT_CERT_SHA256, Some(&shown.sha256)),
        (&X_CLIENT_CERT_SUBJECT, shown.subject.as_ref()),
        (&X_CLIENT_CERT_NAMES, shown.names.as_ref()),
    ];
    for (name, value) in lines.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        head.headers.append(name.clone(), value.clone());
    }
}

/// Whether a header tells the way a request came.
enum Forwarding {
    No,
    Yes,
    /// With `_` for `-`, which many a backend takes for the same name, and no proxy writes.
    LooksLikeIt,
}

fn forwarding(name: &HeaderName) -> Forwarding {
    if *name == header::FORWARDED {
        return Forwarding::Yes;
    }
    match likeness(name, b"x-forwarded-") {
        Likeness::None => Forwarding::No,
        Likeness::Same => Forwarding::Yes,
        Likeness::Underscored => Forwarding::LooksLikeIt,
    }
}

/// How the beginning of a name is like a prefix.
enum Likeness {
    None,
    Same,
    /// With `_` for `-` somewhere in the name.
    Underscored,
}

fn likeness(name: &HeaderName, prefix: &[u8]) -> Likeness {
    let mut start = name.as_str().as_bytes().iter().zip(prefix);
    if name.as_str().len() < prefix.len() || !start.all(|(a, b)| a == b || (*a == b'_' && *b == b'-')) {
        Likeness::None
    } else if name.as_str().contains('_') {
        Likeness::Underscored
    } else {
        Likeness::Same
    }
}

/// On the way to a backend, after the filters: no guest can bring back what is taken out here.
pub(super) fn towards_backend(headers: &mut Headers, version: Version) {
    let takes_trailers = version == Version::HTTP_2 && headers.all(&header::TE).any(|te| has_token(te, b"trailers"));
    // The wait for `100 Continue` is between the client and us.
    headers.retain(|name| !is_hop_by_hop(name) && *name != header::EXPECT);
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    if takes_trailers {
        // Whoever speaks HTTP/2 on both sides is told; our codec for HTTP/1.1 leaves it out.
        headers.append(header::TE, HeaderValue::from_static("trailers"));
    }
    append_via(headers, version);
}

/// On the way to the client.
pub(super) fn towards_client(headers: &mut Headers, version: Version) {
    if headers.contains(&header::CONNECTION) {
        remove_connection_options(headers);
    }
    headers.retain(|name| !is_hop_by_hop(name));
    append_via(headers, version);
}

/// About one connection only, whether or not `connection` names them (RFC 9110 §7.6.1, what browsers and HTTP/2
/// upgrades add, and what passes for one of them where dashes become underscores).
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "keep-alive"
            | "proxy-connection"
            | "http2-settings"
            // Some servers read these as the headers that frame a message.
            | "content_length"
            | "transfer_encoding"
    )
}

/// Removes the headers that `connection` names, but for those that frame the message or say whom it is for.
fn remove_connection_options(headers: &mut Headers) {
    let lines: Vec<HeaderValue> = headers.all(&header::CONNECTION).cloned().collect();
    for option in lines.iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
        let option = option.trim_ascii();
        let is_framing = ["host", "content-length", "transfer-encoding", "connection", "expect", "upgrade"]
            .iter()
            .any(|name| option.eq_ignore_ascii_case(name));
        if !is_framing {
            headers.retain(|name| !name.as_str().eq_ignore_ascii_case(option));
        }
    }
}

/// The rightmost address that is no trusted proxy's. What stands left of it, or of something unreadable, was written by
/// strangers.
fn client(head: &Head, policy: &Policy) -> IpAddr {
    let (name, read): (_, fn(&str) -> Option<IpAddr>) = match policy.forwarded {
        Forwarded::Rfc7239 => (&header::FORWARDED, forwarded_for),
        Forwarded::X | Forwarded::None => (&X_FORWARDED_FOR, address),
    };
    let mut client = head.client;
    for line in head.headers.all(name).rev() {
        for element in line.to_str().unwrap_or_default().rsplit(',') {
            let Some(address) = read(element.trim_ascii()) else { return client };
            client = address.to_canonical();
            if !policy.trusts(client) {
                return client;
            }
        }
    }
    client
}

/// `for` of one element of `forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim_ascii().split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
}

/// An address, with or without a port; IPv6 also in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|with_port: std::net::SocketAddr| with_port.ip()))
}

/// Adds this hop to what the backends are told. The host is the one the client asked for, whatever filters make of it.
fn tell_the_way(head: &mut Head, forwarded: Forwarded) {
    let peer = head.connection.peer.ip().to_canonical();
    let scheme = head.connection.scheme().as_str();
    match forwarded {
        Forwarded::X => {
            let peer = &head.connection.peer_line;
            match head.headers.contains(&X_FORWARDED_FOR) {
                true => append_element(&mut head.headers, &X_FORWARDED_FOR, |line| line.write_all(peer.as_bytes())),
                false => head.headers.append(X_FORWARDED_FOR.clone(), peer.clone()),
            }
            if !head.headers.contains(&X_FORWARDED_PROTO) {
                head.headers.append(X_FORWARDED_PROTO.clone(), HeaderValue::from_static(scheme));
            }
            if !head.headers.contains(&X_FORWARDED_HOST) {
                head.headers.append(X_FORWARDED_HOST.clone(), head.authority.clone());
            }
        }
        Forwarded::Rfc7239 => {
            // Always quoted, as a port and an IPv6 address demand it; no host holds a quote.
            let host = head.authority.to_str().unwrap_or_default();
            append_element(&mut head.headers, &header::FORWARDED, |line| match peer {
                _ if head.connection.peer == NOBODY => write!(line, "for=unknown;host=\"{host}\";proto={scheme}"),
                IpAddr::V4(peer) => write!(line, "for={peer};host=\"{host}\";proto={scheme}"),
                IpAddr::V6(peer) => write!(line, "for=\"[{peer}]\";host=\"{host}\";proto={scheme}"),
            });
        }
        Forwarded::None => {}
    }
}

/// Adds an element to a list, on the list's one line: many a backend reads the first line only.
fn append_element(headers: &mut Headers, name: &HeaderName, write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) {
    let mut line = Vec::with_capacity(64);
    for before in headers.all(name) {
        line.extend_from_slice(before.as_bytes());
        line.extend_from_slice(b", ");
    }
    // Writing to memory does not fail, and what is written holds no byte that a value may not hold.
    if write(&mut line).is_ok()
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(line))
    {
        headers.set(name.clone(), value);
    }
}

/// HTTP/2 clients may split their cookies over lines; HTTP/1.1 has one line for them (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut Headers) {
    let lines: Vec<&[u8]> = headers.all(&header::COOKIE).map(HeaderValue::as_bytes).collect();
    if lines.len() < 2 {
        return;
    }
    if let Ok(one) = HeaderValue::from_maybe_shared(Bytes::from(lines.join(&b"; "[..]))) {
        headers.set(header::COOKIE, one);
    }
}

/// What a message of each version that came this way is marked with.
static VIA: [HeaderValue; 3] = [
    HeaderValue::from_static("1.0 pointsman"),
    HeaderValue::from_static("1.1 pointsman"),
    HeaderValue::from_static("2.0 pointsman"),
];

fn append_via(headers: &mut Headers, version: Version) {
    let [old, usual, new] = &VIA;
    let via = match version {
        Version::HTTP_2 => new,
        Version::HTTP_11 => usual,
        _ => old,
    };
    headers.append(header::VIA, via.clone());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Network;
    use crate::net::{Connection, TlsFacts};
    use http::{Method, uri::PathAndQuery};
    use std::sync::Arc;

    const PEER: &str = "10.1.2.3";

    fn head(headers: &[(&str, &str)]) -> Head {
        let peer: IpAddr = PEER.parse().unwrap();
        let mut map = Headers::default();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Head {
            method: Method::GET,
            target: PathAndQuery::from_static("/"),
            authority: HeaderValue::from_static("shop.example:8443"),
            headers: map,
            client: peer,
            tags: Vec::new(),
            connection: Arc::new(Connection::new(0, (peer, 5000).into(), Some(TlsFacts::default()))),
        }
    }

    /// In the order of the names; repeats kept.
    fn lines(headers: &Headers) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    fn policy(trusted: bool, forwarded: Forwarded) -> Policy {
        let network = Network::new("10.0.0.0".parse().unwrap(), 8).unwrap();
        Policy { trusted: if trusted { vec![network] } else { Vec::new() }, forwarded, ..Policy::default() }
    }

    fn believed(policy: &Policy, headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let mut head = head(headers);
        believe(&mut head, policy);
        (head.client.to_string(), lines(&head.headers))
    }

    #[test]
    fn case_69_strangers_are_not_believed() {
        let forged = [
            ("X-Forwarded-For", "1.1.1.1"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil"),
            ("X-Forwarded-Port", "1"),
            ("Forwarded", "for=1.1.1.1"),
        ];
        let x = ["x-forwarded-for: 10.1.2.3", "x-forwarded-host: shop.example:8443", "x-forwarded-proto: https"];
        let rfc = ["forwarded: for=10.1.2.3;host=\"shop.example:8443\";proto=https"];
        for (forwarded, lines) in [(Forwarded::X, &x[..]), (Forwarded::Rfc7239, &rfc), (Forwarded::None, &[])] {
            let (client, got) = believed(&policy(false, forwarded), &forged);
            assert_eq!(
                (client.as_str(), got.as_slice()),
                (PEER, lines.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice())
            );
        }
    }

    #[test]
    fn a_trusted_proxy_tells_the_client_and_is_added() {
        let (client, lines) = believed(
            &policy(true, Forwarded::X),
            &[
                ("x-forwarded-for", "6.6.6.6, 192.0.2.9"),
                ("x-forwarded-for", "10.9.9.9"),
                ("x-forwarded-proto", "http"),
                ("forwarded", "for=1.1.1.1"),
            ],
        );
        assert_eq!(client, "192.0.2.9");
        assert_eq!(
            lines,
            [
                "x-forwarded-for: 6.6.6.6, 192.0.2.9, 10.9.9.9, 10.1.2.3",
                "x-forwarded-host: shop.example:8443",
                "x-forwarded-proto: http"
            ]
        );
        let (client, lines) = believed(
            &policy(true, Forwarded::Rfc7239),
            &[("forwarded", "for=6.6.6.6, FOR=\"[2001:db8::9]:4711\";proto=http"), ("x-forwarded-for", "1.1.1.1")],
        );
        assert_eq!(client, "2001:db8::9");
        assert_eq!(
            lines,
            [
                "forwarded: for=6.6.6.6, FOR=\"[2001:db8::9]:4711\";proto=http, for=10.1.2.3;host=\"shop.example:8443\";proto=https"
            ]
        );
    }

    #[test]
    fn the_client_is_the_rightmost_stranger() {
        for (list, client) in [
            ("192.0.2.9", "192.0.2.9"),
            ("192.0.2.9:1234", "192.0.2.9"),
            ("[2001:db8::1]:1234", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("::ffff:192.0.2.9", "192.0.2.9"),
            ("6.6.6.6, unknown, 10.0.0.1", "10.0.0.1"),
            ("10.0.0.1,10.0.0.2", "10.0.0.1"),
            ("rubbish", PEER),
            ("", PEER),
        ] {
            assert_eq!(believed(&policy(true, Forwarded::None), &[("x-forwarded-for", list)]).0, client, "{list}");
        }
        assert_eq!(believed(&policy(true, Forwarded::X), &[]).0, PEER);
    }

    #[test]
    fn case_33_connection_strikes_out_no_framing_and_nothing_that_comes_later() {
        let mut head = head(&[
            ("connection", "content-length, Transfer-Encoding, x-mine, host"),
            ("connection", "keep-alive, X-Forwarded-For, x-filtered"),
            ("content-length", "3"),
            ("x-mine", "1"),
            ("x-other", "1"),
        ]);
        believe(&mut head, &policy(false, Forwarded::X));
        head.headers.append(HeaderName::from_static("x-filtered"), HeaderValue::from_static("1"));
        towards_backend(&mut head.headers, Version::HTTP_11);
        assert_eq!(
            lines(&head.headers),
            [
                "content-length: 3",
                "via: 1.1 pointsman",
                "x-filtered: 1",
                "x-forwarded-for: 10.1.2.3",
                "x-forwarded-host: shop.example:8443",
                "x-forwarded-proto: https",
                "x-other: 1"
            ]
        );
    }

    #[test]
    fn case_34_what_belongs_to_one_connection_stays_on_it() {
        let mut headers = head(&[
            ("connection", "Upgrade, HTTP2-Settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("transfer_encoding", "chunked"),
            ("content_length", "3"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
            ("via", "1.1 edge"),
        ])
        .headers;
        let mut over_http1 = headers.clone();
        towards_backend(&mut over_http1, Version::HTTP_11);
        assert_eq!(lines(&over_http1), ["accept: */*", "via: 1.1 edge", "via: 1.1 pointsman"]);
        // What HTTP/2 may say of itself goes as far as HTTP/2 goes.
        towards_backend(&mut headers, Version::HTTP_2);
        assert_eq!(lines(&headers), ["accept: */*", "te: trailers", "via: 1.1 edge", "via: 2.0 pointsman"]);
    }

    #[test]
    fn an_underscore_is_no_way_around() {
        for trusted in [false, true] {
            let mut head = head(&[
                ("x_forwarded_for", "6.6.6.6"),
                ("x-forwarded_proto", "https"),
                ("x_forwarded", "1"),
                ("x_forwarder", "1"),
            ]);
            believe(&mut head, &policy(trusted, Forwarded::None));
            assert_eq!(lines(&head.headers), ["x_forwarded: 1", "x_forwarder: 1"]);
        }
    }

    #[test]
    fn cookies_that_http_2_split_become_one_line() {
        let split = head(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]).headers;
        for (version, cookies) in
            [(Version::HTTP_2, &["a=1; b=2; c=3"][..]), (Version::HTTP_11, &["a=1", "b=2", "c=3"])]
        {
            let mut headers = split.clone();
            towards_backend(&mut headers, version);
            assert!(headers.all(&header::COOKIE).eq(cookies), "{headers:?}");
        }
    }

    #[test]
    fn an_answer_is_stripped_too() {
        for (version, via) in [(Version::HTTP_11, "via: 1.1 pointsman"), (Version::HTTP_2, "via: 2.0 pointsman")] {
            let mut headers = head(&[
                ("connection", "close, x-hop"),
                ("x-hop", "1"),
                ("keep-alive", "timeout=5"),
                ("content-length", "2"),
                ("trailer", "x-sum"),
            ])
            .headers;
            towards_client(&mut headers, version);
            assert_eq!(lines(&headers), ["content-length: 2", "trailer: x-sum", via]);
        }
    }
}
