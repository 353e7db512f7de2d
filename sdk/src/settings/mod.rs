//! From the JSON object of a configuration to a plugin's own struct, or to a sentence for whoever wrote it. The reader is
//! ours and small: every plugin carries it, and a compiled byte less is a swap sooner.

mod mistake;
mod reader;

use reader::Reader;
use serde::{Deserialize, de::DeserializeOwned};

/// The settings of a plugin that has none: whatever is set is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings; the error names the setting and what it may be.
pub(crate) fn parse<S: DeserializeOwned>(json: &str) -> Result<S, String> {
    let mut reader = Reader::new(json);
    let settings = S::deserialize(&mut reader).map_err(|mistake| mistake.to_string())?;
    reader.end().map_err(|mistake| mistake.to_string())?;
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        #[serde(default)]
        size: u16,
        #[serde(default)]
        share: f64,
        #[serde(default)]
        mode: Mode,
        #[serde(default)]
        pairs: Vec<(String, i32)>,
        limit: Option<u64>,
        #[serde(default)]
        inner: Inner,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        #[default]
        Fast,
        Exact,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        on: bool,
    }

    #[test]
    fn reads_what_is_there_and_defaults_the_rest() {
        let json = r#" {"name" : "\"\u00e4\ud83d\ude00\n\\", "size": 3, "share": 0.25e1, "mode": "exact",
            "pairs": [["a", -1], ["b", 2]], "limit": null, "inner": {"on": true}} "#;
        let inner = Inner { on: true };
        let pairs = vec![("a".into(), -1), ("b".into(), 2)];
        let expected =
            Example { name: "\"ä😀\n\\".into(), size: 3, share: 2.5, mode: Mode::Exact, pairs, limit: None, inner };
        assert_eq!(parse::<Example>(json).unwrap(), expected);

        let example: Example = parse(r#"{"name": "", "limit": 18446744073709551615, "share": 2}"#).unwrap();
        assert_eq!((example.limit, example.share, example.size), (Some(u64::MAX), 2.0, 0));
    }

    #[test]
    fn mistakes_read_well() {
        let cases = [
            (r#"{"sise": 3}"#, "unknown setting `sise` (known: name, size, share, mode, pairs, limit, inner)"),
            (r#"{}"#, "setting `name` is missing"),
            (r#"{"size": "3"}"#, "`size` must be a whole number, 0 to 65535, not \"3\""),
            (r#"{"size": -3}"#, "`size` must be a whole number, 0 to 65535, not -3"),
            (r#"{"size": 1.5}"#, "`size` must be a whole number, 0 to 65535, not a fraction"),
            (r#"{"size": 65536}"#, "`size` must be a whole number, 0 to 65535, not 65536"),
            (r#"{"name": 5}"#, "`name` must be a string, not 5"),
            (r#"{"name": {}}"#, "`name` must be a string, not an object"),
            (r#"{"name": null}"#, "`name` must be a string, not null"),
            (r#"{"share": true}"#, "`share` must be a number, not true"),
            (r#"{"mode": "slow"}"#, "`mode` must be fast or exact, not \"slow\""),
            (r#"{"pairs": 1}"#, "`pairs` must be a list, not 1"),
            (r#"{"inner": {"on": 1}}"#, "`on` must be true or false, not 1"),
            (r#"{"inner": {"off": true}}"#, "unknown setting `off` (known: on)"),
        ];
        for (json, message) in cases {
            assert_eq!(parse::<Example>(json).unwrap_err(), message, "{json}");
        }
        assert_eq!(parse::<NoSettings>(r#"{"k": 1}"#).unwrap_err(), "unknown setting `k` (known: none)");
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for json in ["", "{", "7", "{}{}", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1,}"#, r#"{"a":"\x"}"#, r#"{"a":tru}"#] {
            assert!(parse::<std::collections::BTreeMap<String, u8>>(json).is_err(), "{json}");
        }
    }
}
