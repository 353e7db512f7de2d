//! Numbers, durations and sizes, and what is either so or not.

use super::parsed;
use crate::config::{
    read::{Reader, Shape, Value},
    units,
};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Longer than any process waits for anything; far from where adding it to a clock could overflow.
const TIME_MOST: Duration = Duration::from_secs(365 * 86_400);

/// More is no limit.
const RATE_MOST: u32 = 1_000_000;

/// A duration that is not zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Time(pub(in crate::config) Duration);

impl Shape for Time {
    const EXPECTED: &'static str = units::DURATION;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let LongTime(time) = LongTime::read(value, reader)?;
        if time.is_zero() {
            reader.bad(value, format!("{} must be more than nothing", value.called()), "expected at least \"1us\"");
            return None;
        }
        Some(Time(time))
    }

    fn schema() -> Json {
        LongTime::schema()
    }
}

/// A duration that may be zero.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct LongTime(pub(in crate::config) Duration);

impl Shape for LongTime {
    const EXPECTED: &'static str = units::DURATION;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let time = quantity(value, reader, Self::EXPECTED, units::duration)?;
        if time > TIME_MOST {
            reader.bad(value, format!("{} is longer than a year", value.called()), "expected at most \"365d\"");
            return None;
        }
        Some(LongTime(time))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+ ?(us|ms|s|m|h|d)$" })
    }
}

/// A duration, or no end.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Total(pub(in crate::config) Option<Duration>);

impl Shape for Total {
    const EXPECTED: &'static str = r#"a duration such as "30s", or "off""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.str() {
            Some("off") => Some(Total(None)),
            _ => Time::read(value, reader).map(|Time(time)| Total(Some(time))),
        }
    }

    fn schema() -> Json {
        json!({ "anyOf": [Time::schema(), { "const": "off" }] })
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Shape for Size {
    const EXPECTED: &'static str = units::SIZE;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        quantity(value, reader, Self::EXPECTED, units::size).map(Size)
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+ ?(B|[kK]B|MB|GB|KiB|MiB|GiB)$" })
    }
}

/// The mode of a file, as `chmod` takes it.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Mode(pub(in crate::config) u32);

impl Shape for Mode {
    const EXPECTED: &'static str = r#"a mode in octal digits such as "0660""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
            let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
            mode.filter(|_| digits).map(Mode).ok_or_else(|| format!("expected {}", Self::EXPECTED))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^0?[0-7]{3}$" })
    }
}

/// A share, in per cent.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Percent(pub(in crate::config) u32);

impl Shape for Percent {
    const EXPECTED: &'static str = r#"a share such as "20%", at most "100%""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(value, reader, |text| {
            let number = text.strip_suffix('%').map(str::trim_end).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
            let share = number.and_then(|number| number.parse().ok()).filter(|share| *share <= 100);
            share.map(Percent).ok_or_else(|| format!("expected {}", Self::EXPECTED))
        })
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^(100|[0-9]{1,2}) ?%$" })
    }
}

/// So many in how long.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Rate(pub(in crate::config) (u32, Duration));

impl Shape for Rate {
    const EXPECTED: &'static str = r#"a rate such as "100/s", "600/m" or "1000/h""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let rate = |text: &str| {
            let (number, unit) = text.split_once('/')?;
            let seconds = match unit {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => return None,
            };
            let number = Some(number).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
            (1..=RATE_MOST).contains(&number).then_some(Rate((number, Duration::from_secs(seconds))))
        };
        parsed(value, reader, |text| rate(text).ok_or_else(|| format!("expected {}", Self::EXPECTED)))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+/[smh]$" })
    }
}

/// Bytes a second, or as few as there are.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct ByteRateOrOff(pub(in crate::config) Option<u32>);

impl Shape for ByteRateOrOff {
    const EXPECTED: &'static str = r#"bytes a second such as "240B/s" or "1KiB/s", or "off""#;

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let rate = |text: &str| {
            let bytes = u32::try_from(units::size(text.strip_suffix("/s")?).ok()?).ok()?;
            (bytes > 0).then_some(ByteRateOrOff(Some(bytes)))
        };
        match value.str() {
            Some("off") => Some(ByteRateOrOff(None)),
            _ => parsed(value, reader, |text| rate(text).ok_or_else(|| format!("expected {}", Self::EXPECTED))),
        }
    }

    fn schema() -> Json {
        let rate = json!({ "type": "string", "pattern": "^[0-9]+ ?(B|[kK]B|MB|GB|KiB|MiB|GiB)/s$" });
        json!({ "anyOf": [rate, { "const": "off" }] })
    }
}

/// A whole number in a range.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Integer<const LEAST: u32, const MOST: u32>(pub(in crate::config) u32);

impl<const LEAST: u32, const MOST: u32> Shape for Integer<LEAST, MOST> {
    const EXPECTED: &'static str = "a whole number";

    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        let given = value.json().filter(|json| json.is_i64());
        let number = given.as_ref().and_then(|json| u32::try_from(json.as_i64()?).ok());
        let number = number.filter(|number| (LEAST..=MOST).contains(number));
        let expected = format!("a whole number from {LEAST} to {MOST}");
        match number {
            Some(_) => {}
            None if given.is_some() => {
                reader.bad(value, format!("bad value for {}", value.called()), format!("expected {expected}"));
            }
            None => reader.expected(value, &expected),
        }
        number.map(Integer)
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// A number with a unit.
fn quantity<T>(
    value: &Value<'_>,
    reader: &mut Reader,
    expected: &str,
    parse: impl FnOnce(&str) -> Result<T, units::Wrong>,
) -> Option<T> {
    let bare = value.json().is_some_and(|json| json.is_number());
    let wrong = match value.str().map(parse) {
        Some(Ok(quantity)) => return Some(quantity),
        Some(Err(wrong)) => wrong,
        None if bare => units::Wrong::NoUnit,
        None => units::Wrong::NotOne,
    };
    match wrong {
        units::Wrong::NoUnit => {
            reader.bad(value, format!("{} needs a unit", value.name()), format!("expected {expected}"))
        }
        units::Wrong::NotOne => reader.expected(value, expected),
    }
    None
}
