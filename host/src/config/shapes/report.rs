//! Where backends report their load.

use crate::config::read::{Reader, Shape, Table, Value};
use http::HeaderName;
use serde_json::{Value as Json, json};

/// How many headers of an answer are looked at; there are no more names to ask for.
const HEADERS_MOST: usize = 32;

/// Headers by the name of the number that they hold.
#[derive(Clone, Debug)]
pub(in crate::config) struct ReportHeaders(pub(in crate::config) Vec<(String, HeaderName)>);

impl Shape for ReportHeaders {
    const EXPECTED: &'static str = r#"a table of headers such as { queue = "x-queue-depth" }"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let table = Table::any(value, Self::EXPECTED, reader)?;
        let mut headers = Vec::new();
        for (key, item) in table.entries() {
            match item.str().and_then(|name| name.parse().ok()) {
                Some(header) => headers.push((key.it.to_string(), header)),
                None => reader.expected(&item, "a header's name such as \"x-queue-depth\""),
            }
        }
        if headers.len() > HEADERS_MOST {
            reader.bad(
                value,
                format!("{} are {}", value.called(), headers.len()),
                format!("expected at most {HEADERS_MOST}"),
            );
            return None;
        }
        Some(ReportHeaders(headers))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": { "type": "string" }, "maxProperties": HEADERS_MOST })
    }
}
