//! Which fields may stand behind a body.

use http::{HeaderMap, HeaderName};

/// Whether a field may stand in a trailer section (RFC 9110 §6.5.1): nothing that frames or routes a message, changes
/// how it is handled, tells who sent it, or says how to read what has already gone by. Whoever merges trailers into the
/// headers must not be fooled by them.
pub(super) fn is_legal(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Gateways to programs read both spellings as one.
    if name.contains('_') { may_follow(&name.replace('_', "-")) } else { may_follow(name) }
}

fn may_follow(name: &str) -> bool {
    !["proxy-", "x-forwarded-", "x-client-cert-"].iter().any(|prefix| name.starts_with(prefix))
        && !matches!(
            name,
            // framing and routing
            "content-length" | "transfer-encoding" | "host" | "trailer" | "te" | "connection" | "keep-alive" | "upgrade"
            | "forwarded" | "via" | "x-real-ip" | "x-request-id"
            // handling
            | "cache-control" | "expect" | "max-forwards" | "pragma" | "range" | "age" | "date" | "expires" | "location"
            | "retry-after" | "vary" | "warning"
            | "if-match" | "if-none-match" | "if-modified-since" | "if-unmodified-since" | "if-range"
            // who it is
            | "authorization" | "cookie" | "set-cookie" | "www-authenticate"
            // how to read it
            | "content-encoding" | "content-type" | "content-range"
        )
}

/// What may stand behind a body of these fields.
pub fn legal_trailers(fields: HeaderMap) -> HeaderMap {
    if fields.keys().all(is_legal) {
        return fields;
    }
    let mut last = None;
    let named = fields.into_iter().filter_map(|(name, value)| {
        // A map tells the name with the first of its values only.
        last = name.or(last.take());
        Some((last.clone()?, value))
    });
    let mut legal = HeaderMap::new();
    named.filter(|(name, _)| is_legal(name)).for_each(|(name, value)| _ = legal.append(name, value));
    legal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_routes_or_authenticates_is_not_legal() {
        for (name, legal) in [
            ("x-checksum", true),
            ("grpc-status", true),
            ("digest", true),
            ("etag", true),
            ("server-timing", true),
            ("content-length", false),
            ("transfer-encoding", false),
            ("host", false),
            ("x-forwarded-for", false),
            ("x_forwarded_for", false),
            ("x-client-cert-subject", false),
            ("x_client_cert_subject", false),
            ("content_length", false),
            ("x-request-id", false),
            ("x_checksum", true),
            ("proxy-authorization", false),
            ("set-cookie", false),
            ("trailer", false),
        ] {
            assert_eq!(is_legal(&HeaderName::from_static(name)), legal, "{name}");
        }
    }
}
