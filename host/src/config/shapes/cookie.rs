//! The parts of a cookie, and secrets.

use super::{TEXT_MOST, parsed};
use crate::config::{
    model::Secret,
    read::{Reader, Shape, Value},
};
use serde_json::{Value as Json, json};

/// How long its name may be.
pub(in crate::config) const COOKIE_NAME_MOST: usize = 64;
/// How many there may be: one that signs, and those it replaced.
const SECRETS_MOST: usize = 8;

/// What a cookie is called.
#[derive(Clone, Debug)]
pub(in crate::config) struct CookieName(pub(in crate::config) String);

impl Shape for CookieName {
    const EXPECTED: &'static str = r#"a name such as "shop-backend""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let fits = (1..=COOKIE_NAME_MOST).contains(&text.len()) && text.bytes().all(is_token);
            let wrong = || "expected 1 to 64 letters, digits, or any of !#$%&'*+-.^_`|~".into();
            fits.then(|| CookieName(text.into())).ok_or_else(wrong)
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", "maxLength": COOKIE_NAME_MOST })
    }
}

/// Whether a cookie's name may have it (RFC 6265, of RFC 9110 a token).
pub(in crate::config) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// For which paths clients send a cookie.
#[derive(Clone, Debug)]
pub(in crate::config) struct CookiePath(pub(in crate::config) String);

impl Shape for CookiePath {
    const EXPECTED: &'static str = r#"a path such as "/cart""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let plain = |byte: u8| byte.is_ascii_graphic() && byte != b';';
            let fits = text.starts_with('/') && text.len() <= TEXT_MOST && text.bytes().all(plain);
            fits.then(|| CookiePath(text.into()))
                .ok_or_else(|| "expected a path that begins with / and has no ;".into())
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^/" })
    }
}

/// Secrets: the first signs, all are believed.
#[derive(Clone, Debug)]
pub(in crate::config) struct Secrets(pub(in crate::config) Vec<Secret>);

impl Shape for Secrets {
    const EXPECTED: &'static str = "a secret in quotes, or a list of them";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let each: Vec<Value<'_>> = match value.items() {
            Some(items) => {
                items.map(|(item, span)| value.element(format!("a secret of {}", value.name()), item, span)).collect()
            }
            None => return secret(value, reader).map(|only| Secrets(vec![only])),
        };
        if !(1..=SECRETS_MOST).contains(&each.len()) {
            reader.bad(
                value,
                format!("bad value for {}", value.called()),
                format!("expected 1 to {SECRETS_MOST} secrets"),
            );
            return None;
        }
        let read: Vec<_> = each.iter().filter_map(|one| secret(one, reader)).collect();
        (read.len() == each.len()).then_some(Secrets(read))
    }

    fn schema() -> Json {
        let one = json!({ "type": "string", "minLength": Secret::LEAST, "maxLength": TEXT_MOST });
        json!({ "anyOf": [one, { "type": "array", "minItems": 1, "maxItems": SECRETS_MOST, "items": one }] })
    }
}

fn secret(value: &Value<'_>, reader: &mut Reader) -> Option<Secret> {
    let Some(text) = value.str() else {
        reader.expected(value, Secrets::EXPECTED);
        return None;
    };
    let fits = (Secret::LEAST..=TEXT_MOST).contains(&text.len());
    if !fits {
        let label = format!("expected at least {} bytes, such as `openssl rand -hex 32` prints", Secret::LEAST);
        reader.bad(value, format!("bad value for {}", value.called()), label);
    }
    fits.then(|| Secret(text.as_bytes().into()))
}
