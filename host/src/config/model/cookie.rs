//! The cookie that binds a client to a backend.

use crate::problem::Spot;
use std::{fmt, path::PathBuf, time::Duration};

/// What it is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// A token.
    pub name: String,
    /// For which paths clients send it.
    pub path: String,
    /// For requests from which other sites they do.
    pub same_site: SameSite,
    /// Over TLS alone; none: if they came so when they got it.
    pub secure: Option<bool>,
    /// How long they keep it; none: until they are closed.
    pub ttl: Option<Duration>,
    /// What signs it.
    pub secrets: Secrets,
}

impl Cookie {
    /// Of this name, signed by chance, and the default of everything else.
    pub fn new(name: impl Into<String>) -> Cookie {
        let (path, same_site) = ("/".into(), SameSite::Lax);
        Cookie { name: name.into(), path, same_site, secure: None, ttl: None, secrets: Secrets::Chance }
    }
}

/// For requests from which other sites clients send a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// None.
    Strict,
    /// Those that follow a link.
    Lax,
    /// All.
    None,
}

/// What signs cookies; of several the first signs, and all are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// One by chance, for as long as the process lives.
    Chance,
    /// These, at least one.
    Written(Vec<Secret>),
    /// Each line of a file.
    File {
        /// Absolute, or relative to where the process runs.
        path: PathBuf,
        /// Where it is named.
        spot: Option<Spot>,
    },
}

/// A secret, which no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Box<[u8]>);

impl Secret {
    /// Bytes that it has at least: a shorter one can be guessed.
    pub const LEAST: usize = 16;
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
