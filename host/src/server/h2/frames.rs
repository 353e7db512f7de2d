//! Where frames begin in a stream of bytes that comes in pieces: nothing is copied, and what frames hold is skipped.

/// Bytes before the payload of a frame.
const HEAD_BYTES: usize = 9;
/// Bytes of the one payload that is read.
const CODE_BYTES: usize = 4;
/// Bytes of what a client says before its first frame.
const PREFACE_BYTES: usize = 24;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What is known of a frame before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    length: usize,
    /// Why a stream is reset; none: it is not.
    pub(super) code: Option<u32>,
}

impl Frame {
    /// A piece of a body without a byte that is not its end.
    pub(super) fn is_empty_data(self) -> bool {
        self.kind == DATA && self.length == 0 && self.flags & END_STREAM == 0
    }

    /// Whether it only says that another frame came. Of SETTINGS and PING alone.
    pub(super) fn is_ack(self) -> bool {
        self.flags & ACK != 0
    }

    fn from_head(head: &[u8; HEAD_BYTES + CODE_BYTES]) -> Frame {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        Frame { kind: head[3], flags: head[4], length, code: None }
    }
}

/// Follows one direction of a connection.
#[derive(Debug)]
pub(super) struct Scanner {
    /// The head of the next frame as far as it has come, and the code behind it.
    head: [u8; HEAD_BYTES + CODE_BYTES],
    filled: usize,
    /// Bytes up to the next frame.
    skip: usize,
    /// A head of a message has begun and not ended.
    in_block: bool,
}

impl Scanner {
    /// Of what a client sends.
    pub(super) fn of_client() -> Scanner {
        Scanner { skip: PREFACE_BYTES, ..Scanner::of_server() }
    }

    /// Of what a server sends.
    pub(super) fn of_server() -> Scanner {
        Scanner { head: [0; HEAD_BYTES + CODE_BYTES], filled: 0, skip: 0, in_block: false }
    }

    /// Whether nothing is begun: no frame, and no head of a message.
    pub(super) fn is_between(&self) -> bool {
        self.filled == 0 && self.skip == 0 && !self.in_block
    }

    /// Goes on over these bytes, and calls with each frame whose beginning is complete.
    pub(super) fn scan(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            while self.skip == 0
                && let Some((&byte, rest)) = bytes.split_first()
            {
                bytes = rest;
                self.head[self.filled] = byte;
                self.filled += 1;
                if let Some(frame) = self.complete() {
                    self.filled = 0;
                    found(frame);
                }
            }
        }
    }

    fn complete(&mut self) -> Option<Frame> {
        if self.filled < HEAD_BYTES {
            return None;
        }
        let mut frame = Frame::from_head(&self.head);
        let has_code = frame.kind == RST_STREAM && frame.length == CODE_BYTES;
        if has_code && self.filled < HEAD_BYTES + CODE_BYTES {
            return None;
        }
        if has_code {
            let [.., a, b, c, d] = self.head;
            frame.code = Some(u32::from_be_bytes([a, b, c, d]));
        } else {
            self.skip = frame.length;
        }
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            self.in_block = frame.flags & END_HEADERS == 0;
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// A preface, a head in two frames, a reset, a piece of a body, and an empty one.
    fn bytes() -> Vec<u8> {
        [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            b"\0\0\x02\x01\0\0\0\0\x01ab",
            b"\0\0\x01\x09\x04\0\0\0\x01c",
            b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08",
            b"\0\0\x03\0\0\0\0\0\x03def",
            b"\0\0\0\0\0\0\0\0\x03",
        ]
        .concat()
    }

    #[test]
    fn frames_are_found_however_the_bytes_come() {
        for piece in 1..=bytes().len() {
            let (mut scanner, mut kinds) = (Scanner::of_client(), Vec::new());
            for piece in bytes().chunks(piece) {
                scanner.scan(piece, |frame| kinds.push((frame.kind, frame.code, frame.is_empty_data())));
            }
            assert_eq!(
                kinds,
                [
                    (HEADERS, None, false),
                    (CONTINUATION, None, false),
                    (RST_STREAM, Some(8), false),
                    (DATA, None, false),
                    (DATA, None, true)
                ],
                "in pieces of {piece}"
            );
            assert!(scanner.is_between());
        }
    }

    #[test]
    fn what_is_begun_is_known() {
        let bytes = bytes();
        for (end, is_between) in
            [(1, false), (24, true), (25, false), (34, false), (35, false), (45, true), (50, false)]
        {
            let mut scanner = Scanner::of_client();
            scanner.scan(&bytes[..end], |_| {});
            assert_eq!(scanner.is_between(), is_between, "after {end} bytes");
        }
    }

    /// Frames of the kinds that are told apart, and of any other.
    fn frames() -> impl Strategy<Value = Vec<(u8, u8, Vec<u8>)>> {
        let kind = prop_oneof![3 => 0_u8..10, 1 => any::<u8>()];
        let payload = prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 4), vec(any::<u8>(), 300)];
        vec((kind, any::<u8>(), payload), 0..20)
    }

    proptest! {
        #[test]
        fn any_frames_are_found_however_they_are_cut(frames in frames(), cuts in vec(1_usize..60, 1..20)) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let (mut expected, mut in_block) = (Vec::new(), false);
            for (kind, flags, payload) in &frames {
                bytes.extend([0, (payload.len() >> 8) as u8, payload.len() as u8, *kind, *flags, 0, 0, 0, 1]);
                bytes.extend(payload);
                let code = <[u8; 4]>::try_from(&payload[..]).ok().filter(|_| *kind == RST_STREAM);
                expected.push((*kind, *flags, payload.len(), code.map(u32::from_be_bytes)));
                if [HEADERS, CONTINUATION].contains(kind) {
                    in_block = flags & END_HEADERS == 0;
                }
            }
            let (mut scanner, mut found) = (Scanner::of_client(), Vec::new());
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at(rest.len().min(*cut));
                scanner.scan(piece, |frame| found.push((frame.kind, frame.flags, frame.length, frame.code)));
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(scanner.is_between(), !in_block);
        }
    }
}
