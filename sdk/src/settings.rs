//! From the JSON object of a configuration to a plugin's own struct, or to a sentence for whoever wrote it.

use serde::{
    Deserialize,
    de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, value::MapAccessDeserializer},
};
use serde_json::{Map, Value, map::IntoIter};

/// The settings of a plugin that has none: whatever is set is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings; the error names the setting and what it may be.
pub(crate) fn parse<S: DeserializeOwned>(json: &str) -> Result<S, String> {
    let entries: Map<String, Value> =
        serde_json::from_str(json).map_err(|error| format!("settings are not one JSON object: {error}"))?;
    let mut at = String::new();
    let entries = Entries { left: entries.into_iter(), value: Value::Null, at: &mut at };
    S::deserialize(MapAccessDeserializer::new(entries)).map_err(|error| readable(&error.to_string(), &at))
}

/// serde's words, which speak of fields and Rust types to a programmer, in words for the user of a plugin.
fn readable(error: &str, at: &str) -> String {
    if let Some(rest) = error.strip_prefix("unknown field `") {
        let (name, known) = rest.split_once("`, ").unwrap_or((rest, ""));
        let known = known.trim_start_matches("expected ").trim_start_matches("one of ");
        let known =
            if known == "there are no fields" { "none".into() } else { known.replace(" or ", ", ").replace('`', "") };
        return format!("unknown setting `{name}` (known: {known})");
    }
    if let Some(name) = error.strip_prefix("missing field `") {
        return format!("setting `{} is missing", name);
    }
    let kinds = ["invalid type: ", "invalid value: ", "unknown variant "];
    let wrong = kinds.iter().find_map(|kind| error.strip_prefix(kind)).unwrap_or(error);
    match wrong.rsplit_once(", expected ") {
        Some((found, expected)) => format!("`{at}` must be {}, not {found}", in_words(expected)),
        None => format!("`{at}`: {wrong}"),
    }
}

fn in_words(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number, 0 to 255",
        "u16" => "a whole number, 0 to 65535",
        "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        other => other,
    }
}

/// The settings one by one; remembers which one is being read.
struct Entries<'a> {
    left: IntoIter,
    value: Value,
    at: &'a mut String,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let Some((name, value)) = self.left.next() else { return Ok(None) };
        self.value = value;
        self.at.clone_from(&name);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        seed.deserialize(self.value.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[serde(default)]
        size: u16,
        #[serde(default)]
        _share: f64,
        #[serde(default)]
        _mode: Mode,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Fast,
        Exact,
    }

    #[test]
    fn reads_what_is_there_and_defaults_the_rest() {
        let example: Example = parse(r#"{"name": "x", "size": 3, "_mode": "exact"}"#).unwrap();
        assert_eq!((example.name.as_str(), example.size), ("x", 3));
    }

    #[test]
    fn mistakes_read_well() {
        let cases = [
            (r#"{"name": "x", "sise": 3}"#, "unknown setting `sise` (known: name, size, _share, _mode)"),
            (r#"{}"#, "setting `name` is missing"),
            (r#"{"name": "x", "size": "3"}"#, "`size` must be a whole number, 0 to 65535, not string \"3\""),
            (r#"{"name": "x", "size": -3}"#, "`size` must be a whole number, 0 to 65535, not integer `-3`"),
            (r#"{"name": 5}"#, "`name` must be a string, not integer `5`"),
            (r#"{"name": "x", "_share": true}"#, "`_share` must be a number, not boolean `true`"),
            (r#"{"name": "x", "_mode": "slow"}"#, "`_mode` must be `fast` or `exact`, not `slow`"),
            ("7", "settings are not one JSON object: invalid type: integer `7`, expected a map at line 1 column 1"),
        ];
        for (json, message) in cases {
            assert_eq!(parse::<Example>(json).unwrap_err(), message, "{json}");
        }
        assert_eq!(parse::<NoSettings>(r#"{"k": 1}"#).unwrap_err(), "unknown setting `k` (known: none)");
    }
}
