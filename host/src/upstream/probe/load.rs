//! How busy a backend says that it is: as a number, or as JSON.

use crate::figures::Load;
use serde::Deserialize;

/// `{"in_flight": 7, "latency_us": 1200}`, with whatever else is there.
#[derive(Deserialize)]
struct Said {
    in_flight: f64,
    latency_us: Option<f64>,
}

/// What this says; none: nothing that could be read.
pub(super) fn read(text: &[u8]) -> Option<Load> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let said = match text.parse() {
        Ok(in_flight) => Said { in_flight, latency_us: None },
        Err(_) => serde_json::from_str(text).ok()?,
    };
    Some(Load { in_flight: whole(said.in_flight)?, latency_us: said.latency_us.and_then(whole) })
}

/// Below what stands for no number.
fn whole(number: f64) -> Option<u32> {
    (number.is_finite() && number >= 0.0).then(|| (number as u32).min(u32::MAX - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_json_says_how_busy_it_is() {
        let load = |in_flight, latency_us| Some(Load { in_flight, latency_us });
        for (text, expected) in [
            ("7", load(7, None)),
            (" 7\n", load(7, None)),
            ("2.5", load(2, None)),
            (r#"{"in_flight": 3}"#, load(3, None)),
            (r#"{"queue": [1], "latency_us": 1200.5, "in_flight": 3}"#, load(3, Some(1200))),
            (r#"{"in_flight": 3, "latency_us": -1}"#, load(3, None)),
            (r#"{"in_flight": 3, "latency_us": null}"#, load(3, None)),
            ("1e99", load(u32::MAX - 1, None)),
        ] {
            assert_eq!(read(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for text in ["", "busy", "-1", "NaN", "inf", "[7]", "{}", r#"{"in_flight": "7"}"#, r#"{"in_flight": 7"#, "7 8"]
        {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(read(b"\xff7"), None);
    }
}
