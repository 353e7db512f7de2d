//! What both sides write: header lines, and bodies whose length nobody knows.

use super::trailers;
use http::HeaderMap;
use std::io::Write;

/// What stands behind a chunk's data.
pub(super) const CHUNK_END: &[u8] = b"\r\n";
/// What stands behind the last data of a body without trailers.
pub(super) const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Writes the line before a chunk.
pub(super) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{size:x}\r\n");
}

/// Writes the last chunk, and the trailers that may stand behind it.
pub fn last_chunk(out: &mut Vec<u8>, fields: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in fields {
        if trailers::is_legal(name) {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a header line.
pub fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};

    #[test]
    fn only_legal_trailers_follow_the_last_chunk() {
        let mut fields = HeaderMap::new();
        fields.insert("x-checksum", HeaderValue::from_static("abc"));
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("5"));
        fields.insert(header::HOST, HeaderValue::from_static("elsewhere"));
        let mut out = Vec::new();
        last_chunk(&mut out, &fields);
        assert_eq!(out, b"0\r\nx-checksum: abc\r\n\r\n");
    }
}
