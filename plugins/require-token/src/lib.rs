//! Require token: a request passes when a header carries the right token, and is answered otherwise.

use pointsman_sdk::prelude::*;
use serde::Deserialize;
use std::hint::black_box;

/// What its user may set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The header that carries the token.
    header: String,
    /// The token.
    value: String,
    /// The answer without the right token.
    #[serde(default = "forbidden")]
    status: u16,
    /// What the backend sees on requests that passed, as `name: value`; empty for nothing.
    #[serde(default = "filtered")]
    add: String,
}

fn forbidden() -> u16 {
    403
}

fn filtered() -> String {
    "x-filtered: 1".into()
}

struct RequireToken {
    header: String,
    token: String,
    status: u16,
    add: Option<(String, String)>,
}

impl Filter for RequireToken {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if !is_name(&settings.header) {
            return Err(format!("`header`: `{}` is not the name of a header", settings.header));
        }
        if settings.value.is_empty() {
            return Err("`value` must not be empty: every request would pass".into());
        }
        if !(400..=599).contains(&settings.status) {
            return Err(format!("`status` must be 400..=599, not {}", settings.status));
        }
        Ok(RequireToken {
            header: settings.header.to_ascii_lowercase(),
            token: settings.value,
            status: settings.status,
            add: if settings.add.is_empty() { None } else { Some(header_line(&settings.add)?) },
        })
    }

    fn on_request(&mut self, _: &Turn) -> Verdict {
        let token = request::header(&self.header).unwrap_or_default();
        if !same(&token, self.token.as_bytes()) {
            return edits::respond(self.status, &[("content-type", b"text/plain")], b"a valid token is required\n");
        }
        if let Some((name, value)) = &self.add {
            // Set, not appended: what the client sent under this name must not be taken for ours.
            edits::set_header(name, value.as_bytes());
        }
        Verdict::Next
    }
}

filter!(RequireToken: about);

/// Takes the same time wherever the first difference is, so that a token cannot be guessed byte by byte.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    one.len() == other.len() && difference == 0
}

/// Splits `name: value`.
fn header_line(line: &str) -> Result<(String, String), String> {
    let mistake = || format!("`add`: `{line}` is not a header line such as `x-filtered: 1`");
    let (name, value) = line.split_once(':').ok_or_else(mistake)?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    if !is_name(&name) || value.bytes().any(|byte| byte.is_ascii_control()) {
        return Err(mistake());
    }
    if edits::FORBIDDEN_HEADERS.contains(&name.as_str()) {
        return Err(format!("`add`: `{name}` belongs to the connection, choose another header"));
    }
    Ok((name, value.to_owned()))
}

/// A token, as HTTP calls it.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{FilterBench, Request};

    const SETTINGS: &str = r#"{"header": "X-Token", "value": "secret"}"#;

    fn filter(settings: &str) -> Result<FilterBench<RequireToken>, String> {
        FilterBench::new(settings)
    }

    #[test]
    fn the_right_token_passes_and_is_marked() {
        let sent = filter(SETTINGS).unwrap().send(Request::get("/").with_header("x-token", "secret"));
        assert_eq!(sent.answer, None);
        assert_eq!(sent.request.header("x-filtered"), Some("1"));
    }

    #[test]
    fn a_missing_or_wrong_token_is_answered() {
        let mut filter = filter(SETTINGS).unwrap();
        assert_eq!(filter.send(Request::get("/")).answer.unwrap().status, 403);
        for wrong in ["", "secre", "secrets", "Secret"] {
            let sent = filter.send(Request::get("/").with_header("x-token", wrong));
            assert_eq!(sent.answer.unwrap().status, 403, "`{wrong}`");
        }
    }

    #[test]
    fn the_mark_cannot_be_forged() {
        let request = Request::get("/").with_header("x-token", "secret").with_header("x-filtered", "9");
        let sent = filter(SETTINGS).unwrap().send(request);
        let marks: Vec<_> = sent.request.headers.iter().filter(|(name, _)| name == "x-filtered").collect();
        assert_eq!(marks.len(), 1);
        assert_eq!(sent.request.header("x-filtered"), Some("1"));
    }

    #[test]
    fn settings_are_obeyed() {
        let settings = r#"{"header": "authorization", "value": "Bearer x", "status": 401, "add": ""}"#;
        let mut filter = filter(settings).unwrap();
        assert_eq!(filter.send(Request::get("/")).answer.unwrap().status, 401);
        let sent = filter.send(Request::get("/").with_header("authorization", "Bearer x"));
        assert_eq!((sent.answer, sent.request.headers.len()), (None, 1));
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("{}", "setting `header` is missing"),
            (r#"{"header": "x token", "value": "s"}"#, "`header`: `x token` is not the name of a header"),
            (r#"{"header": "x", "value": ""}"#, "`value` must not be empty: every request would pass"),
            (r#"{"header": "x", "value": "s", "status": 200}"#, "`status` must be 400..=599, not 200"),
            (r#"{"header": "x", "value": "s", "add": "y"}"#, "`add`: `y` is not a header line such as `x-filtered: 1`"),
            (
                r#"{"header": "x", "value": "s", "add": "Host: y"}"#,
                "`add`: `host` belongs to the connection, choose another header",
            ),
            (r#"{"header": "x", "valeu": "s"}"#, "unknown setting `valeu` (known: header, value, status, add)"),
        ];
        for (settings, message) in cases {
            assert_eq!(filter(settings).err().as_deref(), Some(message), "{settings}");
        }
    }
}
