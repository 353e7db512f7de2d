//! Durations and sizes as people write them: a whole number and a unit, `"30s"`, `"250ms"`, `"16MiB"`.

use std::time::Duration;

/// What a duration looks like, for messages.
pub(super) const DURATION: &str = r#"a duration such as "30s" or "250ms""#;
/// What a size looks like, for messages.
pub(super) const SIZE: &str = r#"a size such as "16MiB" or "64KiB""#;

const DURATION_UNITS: &[(&str, u64)] =
    &[("us", 1), ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000)];
/// Powers of two first: those are shown.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];
const SHOWN_SIZE_UNITS: usize = 4;

/// Why a quantity was not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// A bare number.
    NoUnit,
    /// Anything else, a number too large to count included.
    NotOne,
}

/// `"30s"`, `"1h"`; units `us ms s m h d`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    quantity(text, DURATION_UNITS).map(Duration::from_micros)
}

/// `"16MiB"` in bytes; units `B kB MB GB KiB MiB GiB`.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    quantity(text, SIZE_UNITS)
}

/// A duration as it would be written: the largest unit that leaves a whole number.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), DURATION_UNITS)
}

/// A size as it would be written, in powers of two.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS[..SHOWN_SIZE_UNITS])
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, Wrong> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| Wrong::NotOne)?;
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(Wrong::NoUnit);
    }
    let (_, scale) = units.iter().find(|(name, _)| *name == unit).ok_or(Wrong::NotOne)?;
    number.checked_mul(*scale).ok_or(Wrong::NotOne)
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().find(|(_, scale)| number != 0 && number.is_multiple_of(*scale));
    let (name, scale) = whole.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{name}", number / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30s", Ok(Duration::from_secs(30))),
            ("250ms", Ok(Duration::from_millis(250))),
            ("500us", Ok(Duration::from_micros(500))),
            ("5 m", Ok(Duration::from_secs(300))),
            ("1h", Ok(Duration::from_secs(3600))),
            ("0s", Ok(Duration::ZERO)),
            ("30", Err(Wrong::NoUnit)),
            ("", Err(Wrong::NotOne)),
            ("s", Err(Wrong::NotOne)),
            ("-1s", Err(Wrong::NotOne)),
            ("1.5s", Err(Wrong::NotOne)),
            ("1sec", Err(Wrong::NotOne)),
            ("99999999999999999999s", Err(Wrong::NotOne)),
            ("9999999999999999d", Err(Wrong::NotOne)),
            ("٣s", Err(Wrong::NotOne)),
        ] {
            assert_eq!(duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("16MiB", Ok(16 << 20)),
            ("64 KiB", Ok(64 << 10)),
            ("1GB", Ok(1_000_000_000)),
            ("512B", Ok(512)),
            ("16", Err(Wrong::NoUnit)),
            ("16M", Err(Wrong::NotOne)),
            ("16mib", Err(Wrong::NotOne)),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for micros in [0, 1, 1_500, 5_000, 30_000_000, 90_000_000, 3_600_000_000, 86_400_000_000] {
            let value = Duration::from_micros(micros);
            assert_eq!(duration(&show_duration(value)), Ok(value), "{micros}");
        }
        assert_eq!(show_duration(Duration::from_secs(90)), "90s");
        for bytes in [0, 1, 1 << 10, 16 << 20, 3 << 30, 1_000_000] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes), "{bytes}");
        }
        assert_eq!(show_size(16 << 20), "16MiB");
    }
}
