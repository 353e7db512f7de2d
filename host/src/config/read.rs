//! Reads values out of the parsed file. A value that is wrong is told of and left out, and reading goes on: an operator
//! sees everything that is wrong with a file in one go.

use crate::problem::{Code, Problem, Spot, did_you_mean};
use std::{ops::Range, path::PathBuf, sync::Arc};
use toml::de::{DeTable, DeValue};

/// A value that can stand in the file: how it is read, and how an editor is told of it.
pub(super) trait Shape: Sized {
    /// What stands behind "expected".
    const EXPECTED: &'static str;
    /// What one of several is called, as in `route 2`.
    const NOUN: &'static str = "item";
    /// What stands behind "expected" for several.
    const LIST: &'static str = "a list";

    /// The value, or none after it was told to `reader` what is wrong.
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self>;

    /// JSON Schema.
    fn schema() -> serde_json::Value;
}

/// What was read, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) it: T,
    pub(super) span: Range<usize>,
}

/// A value as it was parsed, and what to call it in a message.
pub(super) struct Value<'a> {
    /// `` `timeout` `` or `backend 2`.
    name: String,
    /// What it belongs to, such as `pool "cart"`; empty for what stands at the top level.
    owner: String,
    item: &'a DeValue<'a>,
    pub(super) span: Range<usize>,
}

impl<'a> Value<'a> {
    /// The whole file.
    pub(super) fn root(item: &'a DeValue<'a>) -> Value<'a> {
        Value { name: String::new(), owner: String::new(), item, span: 0..0 }
    }

    /// The same value under a name of its own, such as `pool "cart"`.
    pub(super) fn called_as(self, name: String) -> Value<'a> {
        Value { name, owner: String::new(), ..self }
    }

    /// The same value with another place to point at.
    pub(super) fn at(self, span: Range<usize>) -> Value<'a> {
        Value { span, ..self }
    }

    /// `` `timeout` ``, for messages that show where it stands.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `` `timeout` of pool "cart" ``.
    pub(super) fn called(&self) -> String {
        match (self.name.as_str(), self.owner.as_str()) {
            ("", _) => "the file".into(),
            (name, "") => name.into(),
            (name, owner) => format!("{name} of {owner}"),
        }
    }

    pub(super) fn is_table(&self) -> bool {
        self.item.is_table()
    }

    pub(super) fn str(&self) -> Option<&'a str> {
        self.item.as_str()
    }

    pub(super) fn bool(&self) -> Option<bool> {
        self.item.as_bool()
    }

    pub(super) fn items(&self) -> Option<impl Iterator<Item = (&'a DeValue<'a>, Range<usize>)> + use<'a>> {
        Some(self.item.as_array()?.iter().map(|item| (item.get_ref(), item.span())))
    }

    /// The value as JSON; none when it holds what JSON has no word for.
    pub(super) fn json(&self) -> Option<serde_json::Value> {
        json(self.item)
    }

    /// What a value of this kind is called.
    fn kind(&self) -> &'static str {
        match self.item {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    /// One of several values in this one.
    pub(super) fn element(&self, name: String, item: &'a DeValue<'a>, span: Range<usize>) -> Value<'a> {
        Value { name, owner: self.owner.clone(), item, span }
    }

    /// A value that belongs to this one.
    fn child(&self, key: &str, item: &'a DeValue<'a>, span: Range<usize>) -> Value<'a> {
        let owner = if self.name.is_empty() { String::new() } else { self.called() };
        Value { name: format!("`{key}`"), owner, item, span }
    }
}

/// Keys and values of a table, in the order of the file.
pub(super) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<(At<&'a str>, &'a DeValue<'a>, Range<usize>)> {
    let entries = table.iter().map(|(key, item)| {
        let name: &str = key.get_ref();
        (At { it: name, span: key.span() }, item.get_ref(), item.span())
    });
    let mut entries: Vec<_> = entries.collect();
    entries.sort_by_key(|(key, ..)| key.span.start);
    entries
}

/// A table that is being read.
pub(super) struct Table<'a> {
    value: &'a Value<'a>,
    table: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    /// The value as a table that has no other keys than these; others are told of.
    pub(super) fn open(value: &'a Value<'a>, keys: &[&str], expected: &str, reader: &mut Reader) -> Option<Table<'a>> {
        let table = Table::any(value, expected, reader)?;
        for (key, ..) in entries(table.table).into_iter().filter(|(key, ..)| !keys.contains(&key.it)) {
            let meant = did_you_mean(key.it, keys.iter().copied());
            let label = meant.map_or("nobody reads this".into(), |meant| format!("did you mean `{meant}`?"));
            let headline = format!("unknown key `{}` in {}", key.it, value.called());
            let problem = Problem::error(Code::UNKNOWN_KEY, headline).at(reader.spot(&key.span), label);
            reader.tell(problem.note(format!("valid keys here: {}", keys.join(", "))));
        }
        Some(table)
    }

    /// The value as a table with keys that the user chose.
    pub(super) fn any(value: &'a Value<'a>, expected: &str, reader: &mut Reader) -> Option<Table<'a>> {
        let Some(table) = value.item.as_table() else {
            reader.expected(value, expected);
            return None;
        };
        Some(Table { value, table })
    }

    pub(super) fn entries(&self) -> Vec<(At<&'a str>, Value<'a>)> {
        let entries = entries(self.table).into_iter();
        entries.map(|(key, item, span)| (key.clone(), self.value.child(key.it, item, span))).collect()
    }

    /// The value of a key that may be absent.
    pub(super) fn optional<T: Shape>(&self, key: &str, reader: &mut Reader) -> Option<At<T>> {
        let item = self.table.get(key)?;
        let value = self.value.child(key, item.get_ref(), item.span());
        Some(At { it: T::read(&value, reader)?, span: value.span })
    }

    /// The value of a key that must be there.
    pub(super) fn required<T: Shape>(&self, key: &str, reader: &mut Reader) -> Option<At<T>> {
        if !self.table.contains_key(key) {
            let headline = format!("{} needs `{key}`", self.value.called());
            let label = format!("expected `{key}`: {}", T::EXPECTED);
            let problem = Problem::error(Code::BAD_VALUE, headline).at(reader.spot(&self.value.span), label);
            reader.tell(problem);
        }
        self.optional(key, reader)
    }
}

/// The file that is read, and what is wrong with it so far.
pub(super) struct Reader {
    file: PathBuf,
    source: Arc<str>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(file: PathBuf, source: Arc<str>) -> Reader {
        Reader { file, source, problems: Vec::new() }
    }

    /// A place in the file.
    pub(super) fn spot(&self, span: &Range<usize>) -> Spot {
        Spot { file: self.file.clone(), source: self.source.clone(), span: span.clone() }
    }

    /// Whether nothing was wrong so far.
    pub(super) fn is_content(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn tell(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Tells that a value is not what it should be, with words of its own beside the carets.
    pub(super) fn bad(&mut self, value: &Value<'_>, headline: String, label: impl Into<String>) {
        let problem = Problem::error(Code::BAD_VALUE, headline).at(self.spot(&value.span), label);
        self.tell(problem);
    }

    /// Tells that a value is not what was expected.
    pub(super) fn expected(&mut self, value: &Value<'_>, expected: &str) {
        let found = value.str().map_or_else(|| format!(", found {}", value.kind()), |_| String::new());
        self.bad(value, format!("bad value for {}", value.called()), format!("expected {expected}{found}"));
    }

    /// All that is wrong, in the order of the file.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.spot.as_ref().map(|spot| spot.span.start));
        self.problems
    }
}

fn json(value: &DeValue<'_>) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(number) => Json::from(i64::from_str_radix(number.as_str(), number.radix()).ok()?),
        DeValue::Float(number) => serde_json::Number::from_f64(number.as_str().parse().ok()?)?.into(),
        DeValue::Boolean(yes) => Json::Bool(*yes),
        DeValue::Datetime(date) => Json::String(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect::<Option<_>>()?,
        DeValue::Table(table) => {
            let entries = entries(table).into_iter();
            Json::Object(entries.map(|(key, item, _)| Some((key.it.to_string(), json(item)?))).collect::<Option<_>>()?)
        }
    })
}
