//! Texts: names, settings, notes for plugins.

use super::{TEXT_MOST, parsed};
use crate::config::read::{Reader, Shape, Table, Value};
use serde_json::{Value as Json, json};

/// A text that is not empty and has no control characters.
#[derive(Clone, Debug)]
pub(in crate::config) struct Text(pub(in crate::config) String);

impl Shape for Text {
    const EXPECTED: &'static str = "a text in quotes";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let fits = (1..=TEXT_MOST).contains(&text.len()) && !text.chars().any(char::is_control);
            fits.then(|| Text(text.into()))
                .ok_or_else(|| format!("expected 1 to {TEXT_MOST} bytes without control characters"))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1, "maxLength": TEXT_MOST })
    }
}

/// The name of a plugin: it becomes a file name.
#[derive(Clone, Debug)]
pub(in crate::config) struct PluginName(pub(in crate::config) String);

/// The longest name of a plugin.
pub const PLUGIN_NAME_MOST: usize = 64;

/// Whether a plugin may be called so, here and in its directory: lower-case letters, digits and dashes, a letter first.
pub fn is_plugin_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= PLUGIN_NAME_MOST && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(plain)
}

impl Shape for PluginName {
    const EXPECTED: &'static str = r#"the name of a plugin such as "round-robin""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let wrong = || match text.ends_with(".wasm") || text.contains('/') {
                true => "expected the file's name without directory and `.wasm`".into(),
                false => {
                    format!("expected 1 to {PLUGIN_NAME_MOST} lower-case letters, digits and dashes, a letter first")
                }
            };
            is_plugin_name(text).then(|| PluginName(text.into())).ok_or_else(wrong)
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": PLUGIN_NAME_MOST })
    }
}

/// A plugin's settings as one JSON object.
#[derive(Clone, Debug)]
pub(in crate::config) struct Settings(pub(in crate::config) String);

impl Shape for Settings {
    const EXPECTED: &'static str = "a table such as { header = \"x-token\" }";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if !value.is_table() {
            reader.expected(value, Self::EXPECTED);
            return None;
        }
        let Some(json) = value.json() else {
            reader.bad(value, format!("{} cannot be JSON", value.called()), "a number here is infinite or too large");
            return None;
        };
        Some(Settings(json.to_string()))
    }

    fn schema() -> Json {
        json!({ "type": "object" })
    }
}

/// Texts by name, in the order of the file.
#[derive(Clone, Debug)]
pub(in crate::config) struct Texts(pub(in crate::config) Vec<(String, String)>);

impl Shape for Texts {
    const EXPECTED: &'static str = "a table of texts such as { rack = \"7\" }";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let table = Table::any(value, Self::EXPECTED, reader)?;
        let mut texts = Vec::new();
        for (key, item) in table.entries() {
            match item.str() {
                Some(text) => texts.push((key.it.to_string(), text.to_string())),
                None => reader.expected(&item, "a text in quotes"),
            }
        }
        Some(Texts(texts))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}
