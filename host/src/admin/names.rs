//! Names in the paths of calls: whatever a pool or backend is called, it is one segment there.

/// A name as a path's segment has it (RFC 3986 §2.1).
pub fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().fold(String::new(), |text, byte| match is_plain(byte) {
        true => text + &char::from(byte).to_string(),
        false => text + &format!("%{byte:02X}"),
    })
}

/// The name that a segment stands for; none when it stands for none.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut parts = segment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        let is_hex = code.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(code, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        for name in ["a", "10.0.0.1:80", "unix:/run/a b.sock", "größe/50%", "", "%41"] {
            assert_eq!(decoded(&encoded(name)).as_deref(), Some(name));
            assert!(!encoded(name).contains(['/', ' ', ':']), "{name}");
        }
        for segment in ["%", "%4", "%+1", "%zz", "%ff", "%4é"] {
            assert_eq!(decoded(segment), None, "{segment}");
        }
    }
}
