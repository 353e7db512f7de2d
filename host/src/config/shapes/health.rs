//! What a pool's health is told with: shares, statuses, and what may be switched off.

use super::{Integer, Percent, parsed};
use crate::config::{
    file::Eject,
    read::{Reader, Shape, Value},
};
use serde_json::{Value as Json, json};
use std::ops::RangeInclusive;

/// A share, in per cent, or none.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct PercentOrOff(pub(in crate::config) Option<u32>);

impl Shape for PercentOrOff {
    const EXPECTED: &'static str = r#"a share such as "50%", or "off""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.str() {
            Some("off") => Some(PercentOrOff(None)),
            _ => Percent::read(value, reader).map(|Percent(share)| PercentOrOff(Some(share))),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Percent::schema(), { "const": "off" }] })
    }
}

/// A whole number in a range, or none.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct IntegerOrOff<const LEAST: u32, const MOST: u32>(pub(in crate::config) Option<u32>);

impl<const LEAST: u32, const MOST: u32> Shape for IntegerOrOff<LEAST, MOST> {
    const EXPECTED: &'static str = r#"a whole number, or "off""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.str() {
            Some("off") => Some(IntegerOrOff(None)),
            _ => Integer::<LEAST, MOST>::read(value, reader).map(|Integer(number)| IntegerOrOff(Some(number))),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Integer::<LEAST, MOST>::schema(), { "const": "off" }] })
    }
}

/// A service of gRPC, or all of a server, which is the empty one.
#[derive(Clone, Debug)]
pub(in crate::config) struct GrpcService(pub(in crate::config) String);

/// More is a mistake.
const SERVICE_MOST: usize = 256;

impl Shape for GrpcService {
    const EXPECTED: &'static str = r#"true, or a service such as "shop.Cart""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.json() {
            Some(Json::Bool(true)) => return Some(GrpcService(String::new())),
            Some(Json::String(_)) => {}
            _ => {
                reader.expected(value, Self::EXPECTED);
                return None;
            }
        }
        parsed(value, reader, |text| {
            let fits = text.len() <= SERVICE_MOST && !text.chars().any(char::is_control);
            let wrong = || format!("expected at most {SERVICE_MOST} bytes without control characters");
            fits.then(|| GrpcService(text.into())).ok_or_else(wrong)
        })
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "const": true }, { "type": "string", "maxLength": SERVICE_MOST }] })
    }
}

/// Statuses and ranges of them.
#[derive(Clone, Debug)]
pub(in crate::config) struct Statuses(pub(in crate::config) Vec<RangeInclusive<u16>>);

impl Shape for Statuses {
    const EXPECTED: &'static str = r#"statuses such as "200-399" or "200, 204""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let ranges: Option<Vec<_>> = text.split(',').map(|part| statuses(part.trim())).collect();
            ranges.map(Statuses).ok_or_else(|| format!("expected {}, from 200 to 599", Self::EXPECTED))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[2-5][0-9]{2}( ?- ?[2-5][0-9]{2})?( ?, ?[2-5][0-9]{2}( ?- ?[2-5][0-9]{2})?)*$" })
    }
}

/// `200` or `200-399`.
fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |digits: &str| digits.trim().parse().ok().filter(|status| (200..600).contains(status));
    let (first, last): (u16, u16) = (status(first)?, status(last)?);
    (first <= last).then_some(first..=last)
}

/// A pool's `eject`: its table, or `false`.
#[derive(Debug)]
pub(in crate::config) struct Ejection(pub(in crate::config) Option<Eject>);

impl Shape for Ejection {
    const EXPECTED: &'static str = r#"false, or a table such as { failures = 5, stall = "500ms" }"#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        if value.is_table() {
            return Eject::read(value, reader).map(|eject| Ejection(Some(eject)));
        }
        let is_off = value.json() == Some(Json::Bool(false));
        if !is_off {
            reader.expected(value, Self::EXPECTED);
        }
        is_off.then_some(Ejection(None))
    }

    fn schema() -> Json {
        json!({ "anyOf": [{ "const": false }, Eject::schema()] })
    }
}
