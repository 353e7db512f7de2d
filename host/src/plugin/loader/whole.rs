//! Whether a file has all its bytes. A copy that is under way, or that died, ends early: inside a section whose head
//! promised more.

use std::fmt;
use wasmparser::BinaryReader;

/// What every WebAssembly file begins with.
const MAGIC: &[u8; 4] = b"\0asm";
/// Magic, version and layer.
const HEAD: usize = 8;
/// The largest number that a section may have, in a component or in a core module.
const SECTION_LAST: u8 = 13;
/// The bytes of a section's head at most: its number and its length.
const SECTION_HEAD_MOST: usize = 6;

/// Where a file ends too early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EarlyEnd {
    size: usize,
    /// The section's number, and the size that the file has when this section is whole.
    section: Option<(u8, usize)>,
}

/// Whether it cannot be WebAssembly, however many bytes were to follow.
pub(super) fn is_foreign(bytes: &[u8]) -> bool {
    let seen = bytes.len().min(MAGIC.len());
    bytes[..seen] != MAGIC[..seen]
}

/// Where the bytes end too early, if they do. Sections lie inside one another, so when those of the outermost level are
/// whole, all are. What is not a section at all is left for the compiler to refuse.
pub(super) fn early_end(bytes: &[u8]) -> Option<EarlyEnd> {
    let size = bytes.len();
    let cut_in_head = EarlyEnd { size, section: None };
    let Some(sections) = bytes.get(HEAD..) else { return Some(cut_in_head) };
    let mut reader = BinaryReader::new(sections, HEAD);
    while !reader.eof() {
        let left = reader.bytes_remaining();
        let Ok(number) = reader.read_u8() else { break };
        if number > SECTION_LAST {
            break;
        }
        match reader.read_var_u32() {
            Err(_) => return (left < SECTION_HEAD_MOST).then_some(cut_in_head),
            Ok(length) if reader.read_bytes(length as usize).is_err() => {
                let end = reader.original_position() + length as usize;
                return Some(EarlyEnd { size, section: Some((number, end)) });
            }
            Ok(_) => {}
        }
    }
    None
}

impl fmt::Display for EarlyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.section {
            Some((number, end)) => write!(f, "{} B, section {number} wants {end}", self.size),
            None => write!(f, "{} B, the head of a section is cut off", self.size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component of two sections: an empty custom one, and a core module that holds an empty custom one.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0\x00\x02\x01x\x01\x0c\0asm\x01\0\0\0\x00\x02\x01y";

    #[test]
    fn every_cut_within_a_section_is_an_early_end() {
        let boundaries = [HEAD, HEAD + 4, COMPONENT.len()];
        for size in 0..=COMPONENT.len() {
            let cut = &COMPONENT[..size];
            assert!(!is_foreign(cut), "{size}");
            assert_eq!(early_end(cut).is_none(), boundaries.contains(&size), "{size}: {:?}", early_end(cut));
        }
    }

    #[test]
    fn it_says_what_is_missing() {
        for (size, text) in [
            (3, "3 B, the head of a section is cut off"),
            (9, "9 B, the head of a section is cut off"),
            (20, "20 B, section 1 wants 26"),
        ] {
            assert_eq!(early_end(&COMPONENT[..size]).unwrap().to_string(), text);
        }
    }

    #[test]
    fn noise_is_foreign_or_left_to_the_compiler() {
        assert!(is_foreign(b"<!doctype html>"));
        assert!(is_foreign(b"\0\0"));
        assert_eq!(early_end(b"\0asm\x01\0\0\0\x7f\xff\xff"), None);
        assert_eq!(early_end(b"\0asm\x01\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
