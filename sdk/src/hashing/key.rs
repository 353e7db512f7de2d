//! What is hashed of a request.

use crate::{
    Turn,
    host::request::{self, Part},
};
use serde::Deserialize;
use std::fmt;

/// What is hashed of a request, as a plugin's setting: `"header:x-user"`, `"cookie:NAME"`, `"query:NAME"`, `"tag:NAME"`,
/// `"path"`, `"authority"` or `"client"`. Left out, it is the pool's own `hash` key, which costs nothing to read.
///
/// ```
/// use pointsman_sdk::hashing::Key;
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     #[serde(default)]
///     hash: Key,
/// }
/// # assert!("header:x-user".to_owned().try_into().map(|_: Key| ()).is_ok());
/// # assert!(Key::try_from("header".to_owned()).unwrap_err().contains("a name after a colon"));
/// # assert!(Key::try_from("body:x".to_owned()).is_err());
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(Option<(Part, String)>);

impl Key {
    /// Of a header of this name, in lower case.
    pub fn header(name: &str) -> Key {
        Key(Some((Part::Header, name.to_owned())))
    }

    /// The request's key; none when the request has none.
    pub fn find(&self, turn: &Turn) -> Option<u64> {
        match &self.0 {
            None => turn.key,
            Some((part, name)) => request::hash(*part, name, 0),
        }
    }

    /// The request's key. A request without one has a random key, so that those are spread instead of meeting on one
    /// backend.
    pub fn of(&self, turn: &Turn) -> u64 {
        self.find(turn).unwrap_or_else(|| turn.draw(KEYLESS))
    }
}

impl Key {
    /// What was hashed and to which number, for [`notes::explain`](crate::host::notes::explain): `header:x-user is
    /// 0b41beba40346ebe`.
    pub fn told(&self, turn: &Turn) -> String {
        match self.find(turn) {
            Some(key) => format!("{self} is {key:016x}"),
            None => format!("no {self}, so {:016x} by chance", self.of(turn)),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((part, name)) = &self.0 else { return f.write_str("the pool's key") };
        let (part, colon) = match part {
            Part::Header => ("header", ":"),
            Part::Cookie => ("cookie", ":"),
            Part::Query => ("query", ":"),
            Part::Tag => ("tag", ":"),
            Part::Path => ("path", ""),
            Part::Authority => ("authority", ""),
            Part::Client => ("client", ""),
        };
        write!(f, "{part}{colon}{name}")
    }
}

/// Which of a turn's draws stands in for a key.
const KEYLESS: u64 = 1 << 32;

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Key, String> {
        let (part, name) = text.split_once(':').unwrap_or((&text, ""));
        let (part, is_named) = match part {
            "header" => (Part::Header, true),
            "cookie" => (Part::Cookie, true),
            "query" => (Part::Query, true),
            "tag" => (Part::Tag, true),
            "path" => (Part::Path, false),
            "authority" => (Part::Authority, false),
            "client" => (Part::Client, false),
            _ => {
                return Err(format!(
                    "`{text}` is none of header:NAME, cookie:NAME, query:NAME, tag:NAME, path, authority, client"
                ));
            }
        };
        if is_named == name.is_empty() {
            let which = if is_named { "wants a name after a colon" } else { "takes no name" };
            return Err(format!("`{text}` {which}"));
        }
        // Headers' names are asked for in lower case.
        let name = if matches!(part, Part::Header) { name.to_ascii_lowercase() } else { name.to_owned() };
        Ok(Key(Some((part, name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Request};

    fn turn(key: Option<u64>, random: u64) -> Turn {
        Turn { now_us: 0, random, key, attempt: 0, explain: false }
    }

    #[test]
    fn the_pools_key_unless_another_is_set() {
        assert_eq!(Key::default().of(&turn(Some(7), 1)), 7);
        testing::host(|host| host.request = Request::get("/a?u=b").with_header("x-user", "ann"));
        let key = |text: &str| Key::try_from(text.to_owned()).unwrap().of(&turn(Some(7), 1));
        assert_eq!(key("header:X-User"), 0x0b41_beba_4034_6ebe);
        assert_ne!(key("query:u"), 7);
        assert_eq!(Key::header("x-user").find(&turn(Some(7), 1)), Some(0x0b41_beba_4034_6ebe));
        assert_eq!(Key::header("x-other").find(&turn(Some(7), 1)), None);
        assert_eq!(key("path"), request::hash(Part::Path, "", 0).unwrap());
    }

    #[test]
    fn requests_without_a_key_are_spread() {
        assert_ne!(Key::default().of(&turn(None, 1)), Key::default().of(&turn(None, 2)));
    }

    #[test]
    fn it_tells_what_was_hashed() {
        testing::host(|host| host.request = Request::get("/a").with_header("x-user", "ann"));
        let told = |text: &str| Key::try_from(text.to_owned()).unwrap().told(&turn(Some(7), 1));
        assert_eq!(told("header:X-User"), "header:x-user is 0b41beba40346ebe");
        assert!(told("path").starts_with("path is "));
        assert!(told("cookie:u").starts_with("no cookie:u, so ") && told("cookie:u").ends_with(" by chance"));
        assert_eq!(Key::default().told(&turn(Some(7), 1)), "the pool's key is 0000000000000007");
    }

    #[test]
    fn mistakes_read_well() {
        let refusal = |text: &str| Key::try_from(text.to_owned()).unwrap_err();
        assert_eq!(refusal("cookie"), "`cookie` wants a name after a colon");
        assert_eq!(refusal("path:x"), "`path:x` takes no name");
        assert!(refusal("ip").starts_with("`ip` is none of header:NAME"));
    }
}
