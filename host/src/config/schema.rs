//! JSON Schema of `pointsman.toml`, for editors; made of the same shapes that read the file.

use super::{file::File, read::Shape};
use serde_json::{Value, json};

/// JSON Schema of the whole file, draft 2020-12.
pub fn json_schema() -> Value {
    let mut schema = File::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("pointsman.toml");
    schema
}

/// A schema with the lines of a doc comment as its description, and its default.
pub(super) fn described(mut schema: Value, doc: &[&str], default: Option<&Value>) -> Value {
    let lines: Vec<_> = doc.iter().map(|line| line.trim()).collect();
    // A key's own words replace those of its type.
    schema["description"] = lines.join(" ").into();
    if let Some(default) = default {
        schema["default"] = default.clone();
    }
    schema
}
