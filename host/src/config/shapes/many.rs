//! Several values, and values with a short form.

use super::{BackendAddress, PluginName, TEXT_MOST, Time};
use crate::config::{
    file::{Backend, Balancer, PoolTimeout},
    read::{At, Reader, Shape, Table, Value},
};
use serde_json::{Value as Json, json};

/// A pool's backends: addresses, or tables that say more.
#[derive(Debug)]
pub(in crate::config) struct Backends(pub(in crate::config) Vec<At<Backend>>);

impl Shape for Backends {
    const EXPECTED: &'static str = r#"a list such as ["10.0.0.1:8080"]"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(items) = value.items() else {
            reader.expected(value, Self::EXPECTED);
            return None;
        };
        let owner = value.called();
        let mut backends = Vec::new();
        for (index, (item, span)) in items.enumerate() {
            let element = value.element(format!("backend {}", index + 1), item, span.clone());
            let backend = if element.is_table() {
                Backend::read(&element, reader)
            } else {
                let address = BackendAddress::read(&element, reader);
                address.map(|address| Backend {
                    address: Some(At { it: address, span: span.clone() }),
                    ..Backend::default()
                })
            };
            backends.extend(backend.map(|it| At { it, span }));
        }
        if value.items().is_some_and(|mut items| items.next().is_none()) {
            reader.bad(value, format!("{owner} is empty"), format!("expected {}", Self::EXPECTED));
        }
        Some(Backends(backends))
    }

    fn schema() -> Json {
        json!({ "type": "array", "minItems": 1, "items": { "anyOf": [BackendAddress::schema(), Backend::schema()] } })
    }
}

/// A pool's balancer: its name, or several in the order in which they are asked.
#[derive(Debug)]
pub(in crate::config) enum Balancers {
    One(PluginName),
    /// Those that are wrong are left out.
    Chain(Vec<At<Balancer>>),
}

/// How many balancers a pool may have.
const CHAIN_MOST: usize = 4;

impl Shape for Balancers {
    const EXPECTED: &'static str =
        r#"the name of a plugin such as "round-robin", or a list such as ["zone-aware", "peak-ewma"]"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(items) = value.items() else { return PluginName::read(value, reader).map(Balancers::One) };
        let mut chain = Vec::new();
        for (index, (item, span)) in items.enumerate() {
            let element = value.element(format!("balancer {}", index + 1), item, span.clone());
            let link = if element.is_table() {
                Balancer::read(&element, reader)
            } else {
                let plugin = PluginName::read(&element, reader);
                plugin.map(|it| Balancer { plugin: Some(At { it, span: span.clone() }), ..Balancer::default() })
            };
            chain.extend(link.map(|it| At { it, span }));
        }
        let count = value.items().map_or(0, Iterator::count);
        if !(1..=CHAIN_MOST).contains(&count) {
            reader.bad(
                value,
                format!("bad value for {}", value.called()),
                format!("expected 1 to {CHAIN_MOST} balancers"),
            );
        }
        Some(Balancers::Chain(chain))
    }

    fn schema() -> Json {
        let link = json!({ "anyOf": [PluginName::schema(), Balancer::schema()] });
        let chain = json!({ "type": "array", "minItems": 1, "maxItems": CHAIN_MOST, "items": link });
        json!({ "anyOf": [PluginName::schema(), chain] })
    }
}

/// A pool's `timeout`: a duration is its `head`.
#[derive(Debug)]
pub(in crate::config) struct Timeouts(pub(in crate::config) PoolTimeout);

impl Shape for Timeouts {
    const EXPECTED: &'static str = r#"a duration such as "30s", or a table such as { connect = "1s", head = "30s" }"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if value.is_table() {
            return PoolTimeout::read(value, reader).map(Timeouts);
        }
        let head = Time::read(value, reader)?;
        Some(Timeouts(PoolTimeout { head: Some(At { it: head, span: value.span.clone() }), ..PoolTimeout::default() }))
    }

    fn schema() -> Json {
        json!({ "anyOf": [Time::schema(), PoolTimeout::schema()] })
    }
}

/// Something that is switched on by `true`, or by a table that says more.
#[derive(Debug)]
pub(in crate::config) struct Switch<T>(pub(in crate::config) Option<T>);

impl<T: Shape + Default> Shape for Switch<T> {
    const EXPECTED: &'static str = "true, or a table";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.bool() {
            Some(on) => Some(Switch(on.then(T::default))),
            None if value.is_table() => T::read(value, reader).map(|it| Switch(Some(it))),
            None => {
                reader.expected(value, Self::EXPECTED);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, T::schema()] })
    }
}

/// Several values; those that are wrong are left out, their places are not.
#[derive(Debug)]
pub(in crate::config) struct List<T>(pub(in crate::config) Vec<Option<At<T>>>);

impl<T: Shape> Shape for List<T> {
    const EXPECTED: &'static str = T::LIST;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(items) = value.items() else {
            reader.expected(value, Self::EXPECTED);
            return None;
        };
        let element = |(index, (item, span)): (usize, _)| {
            let element = value.element(format!("{} {}", T::NOUN, index + 1), item, span);
            T::read(&element, reader).map(|it| At { it, span: element.span.clone() })
        };
        Some(List(items.enumerate().map(element).collect()))
    }

    fn schema() -> Json {
        json!({ "type": "array", "items": T::schema() })
    }
}

/// One value, or a list of at least one.
#[derive(Debug)]
pub(in crate::config) struct OneOrMany<T>(pub(in crate::config) Vec<Option<At<T>>>);

impl<T: Shape> Shape for OneOrMany<T> {
    const EXPECTED: &'static str = "a table, or a list of tables";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let items = match value.items() {
            Some(_) => List::read(value, reader)?.0,
            None => vec![T::read(value, reader).map(|it| At { it, span: value.span.clone() })],
        };
        if items.is_empty() {
            reader.bad(value, format!("{} is empty", value.called()), format!("expected {}", Self::EXPECTED));
        }
        Some(OneOrMany(items))
    }

    fn schema() -> Json {
        json!({ "anyOf": [T::schema(), { "type": "array", "minItems": 1, "items": T::schema() }] })
    }
}

/// Values by names that the user chose; those that are wrong are left out, their names are not.
#[derive(Debug)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(At<String>, Option<T>)>);

impl<T: Shape> Shape for Named<T> {
    const EXPECTED: &'static str = "tables with names, such as [pool.cart]";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let table = Table::any(value, Self::EXPECTED, reader)?;
        let mut named = Vec::new();
        for (key, item) in table.entries() {
            let item = item.called_as(format!("{} {:?}", T::NOUN, key.it));
            if key.it.is_empty() || key.it.len() > TEXT_MOST || key.it.chars().any(char::is_control) {
                let wrong = item.at(key.span);
                reader.bad(&wrong, format!("{} has no usable name", wrong.called()), "expected a short name");
                continue;
            }
            named.push((At { it: key.it.to_string(), span: item.span.clone() }, T::read(&item, reader)));
        }
        Some(Named(named))
    }

    fn schema() -> Json {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}
