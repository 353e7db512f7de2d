//! serde speaks of fields and Rust types to a programmer; these words are for the user of a plugin.

use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// What is wrong with settings.
#[derive(Debug)]
pub(super) enum Mistake {
    /// Says all by itself.
    Whole(String),
    /// Speaks of the setting that is being read, whose name comes before it.
    OfSetting(String),
}

impl Mistake {
    /// Of the setting with this name, unless it was said already.
    pub(super) fn of(self, name: &str) -> Mistake {
        match self {
            Mistake::OfSetting(text) => Mistake::Whole(format!("`{name}` {text}")),
            whole => whole,
        }
    }

    pub(super) fn not_json() -> Mistake {
        Mistake::Whole("settings are not one JSON object".into())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Whole(text) => f.write_str(text),
            Mistake::OfSetting(text) => write!(f, "the value {text}"),
        }
    }
}

impl std::error::Error for Mistake {}

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(text: T) -> Mistake {
        Mistake::OfSetting(format!("is refused: {text}"))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        Mistake::OfSetting(format!("must be {}, not {}", in_words(&expected.to_string()), seen(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Mistake {
        Mistake::invalid_type(found, expected)
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Mistake {
        Mistake::OfSetting(format!("must be {}, not \"{found}\"", known.join(" or ")))
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Mistake {
        let known = if known.is_empty() { "none".into() } else { known.join(", ") };
        Mistake::Whole(format!("unknown setting `{name}` (known: {known})"))
    }

    fn missing_field(name: &'static str) -> Mistake {
        Mistake::Whole(format!("setting `{name}` is missing"))
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
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}

/// Without the formatting of fractions, which would be the largest function of a small plugin.
fn seen(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Str(value) => format!("\"{value}\""),
        Unexpected::Float(_) => "a fraction".into(),
        Unexpected::Unit => "null".into(),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "an object".into(),
        _ => "that".into(),
    }
}
