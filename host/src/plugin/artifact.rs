//! A plugin file's bytes, with the name they serve under and the hash they are known by.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{fmt, path::PathBuf, sync::Arc};

/// How many hex digits people see of a hash.
const SHORT_DIGITS: usize = 7;

/// SHA-256 of a plugin's bytes; shown in hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// The first digits, enough for people to tell two builds apart.
    pub fn short(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(SHORT_DIGITS);
        digits
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Where a plugin's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file, as the user named it.
    File(PathBuf),
    /// This binary.
    Embedded,
}

/// A plugin's bytes before anything was asked of them.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// The plugin's name: that of the file without `.wasm`.
    pub name: Arc<str>,
    /// The whole file.
    pub bytes: Bytes,
    /// Of `bytes`.
    pub hash: Hash,
    /// Where `bytes` come from.
    pub origin: Origin,
}

impl Artifact {
    /// Hashes the bytes.
    pub fn new(name: impl Into<Arc<str>>, bytes: impl Into<Bytes>, origin: Origin) -> Artifact {
        let bytes = bytes.into();
        Artifact { name: name.into(), hash: Hash::of(&bytes), bytes, origin }
    }

    /// What messages call it: the file's path, or that it is embedded.
    pub fn place(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Embedded => format!("the embedded {}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_shown_in_hex_and_shortened_for_people() {
        let hash = Hash::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.short(), "ba7816b");
    }
}
