//! ORCA, the Open Request Cost Aggregation of xDS: a load report in the head of an answer, as text, as JSON or as a protobuf
//! message (`xds.data.orca.v3.OrcaLoadReport`). Envoy's spelling of the headers, the older and the newer one.

use http::{HeaderName, HeaderValue};
use serde_json::Value;

static PLAIN: HeaderName = HeaderName::from_static("endpoint-load-metrics");
static JSON: HeaderName = HeaderName::from_static("endpoint-load-metrics-json");
static BINARY: HeaderName = HeaderName::from_static("endpoint-load-metrics-bin");

/// How many numbers of one report are looked at.
const NUMBERS_MOST: usize = 256;

/// The message's single numbers, and its maps.
const NUMBERS: [(u64, &str, &str); 5] = [
    (1, "cpu_utilization", "cpuUtilization"),
    (2, "mem_utilization", "memUtilization"),
    (6, "rps_fractional", "rpsFractional"),
    (7, "eps", "eps"),
    (9, "application_utilization", "applicationUtilization"),
];
const MAPS: [(u64, &str, &str); 3] =
    [(4, "request_cost", "requestCost"), (5, "utilization", "utilization"), (8, "named_metrics", "namedMetrics")];

/// Is told of numbers: their group, if they have one, their name, and what they are.
pub(super) type Note<'a> = dyn FnMut(&str, &str, f64) + 'a;

/// Tells of all numbers in the reports among these headers. What is left out of one that is known to be whole is zero.
pub(super) fn read<'h>(get: &impl Fn(&HeaderName) -> Option<&'h HeaderValue>, note: &mut Note<'_>) {
    let value = |name| get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| !value.is_empty());
    if let Some(report) = value(&PLAIN) {
        match report.split_once(' ') {
            Some(("TEXT", text)) => read_text(text, note),
            Some(("JSON", json)) => read_json(json, note),
            Some(("BIN", base64)) => read_base64(base64, note),
            _ if report.starts_with('{') => read_json(report, note),
            _ => read_text(report, note),
        }
    }
    if let Some(json) = value(&JSON) {
        read_json(json, note);
    }
    if let Some(base64) = value(&BINARY) {
        read_base64(base64, note);
    }
}

/// `cpu_utilization:0.3, named_metrics.queue:7`
fn read_text(text: &str, note: &mut Note<'_>) {
    for entry in text.split(',').take(NUMBERS_MOST) {
        let Some((name, number)) = entry.split_once([':', '=']) else { continue };
        if let Ok(number) = number.trim().parse() {
            note("", name.trim(), number);
        }
    }
}

fn read_json(json: &str, note: &mut Note<'_>) {
    let Ok(Value::Object(report)) = serde_json::from_str(json) else { return };
    let get = |name: &str, camel: &str| report.get(name).or_else(|| report.get(camel));
    for (_, name, camel) in NUMBERS {
        // JSON leaves zeros out, as protobuf does.
        if let Some(number) = get(name, camel).map_or(Some(0.0), Value::as_f64) {
            note("", name, number);
        }
    }
    for (_, group, camel) in MAPS {
        let Some(Value::Object(map)) = get(group, camel) else { continue };
        for (name, number) in map.iter().take(NUMBERS_MOST) {
            if let Some(number) = number.as_f64() {
                note(group, name, number);
            }
        }
    }
}

fn read_base64(base64: &str, note: &mut Note<'_>) {
    if let Some(message) = decoded(base64) {
        // What was read before it became none stands.
        let _ = read_message(&message, note);
    }
}

fn read_message(mut message: &[u8], note: &mut Note<'_>) -> Option<()> {
    let mut is_told = [false; NUMBERS.len()];
    for _ in 0..NUMBERS_MOST {
        if message.is_empty() {
            break;
        }
        match field(&mut message)? {
            (number, Field::Double(value)) => {
                if let Some(index) = NUMBERS.iter().position(|(of, ..)| *of == number) {
                    is_told[index] = true;
                    note("", NUMBERS[index].1, value);
                }
            }
            (number, Field::Bytes(entry)) => {
                if let Some((_, group, _)) = MAPS.iter().find(|(of, ..)| *of == number) {
                    let (name, value) = entry_of_a_map(entry)?;
                    note(group, name, value);
                }
            }
            (_, Field::Other) => {}
        }
    }
    // A zero is not written.
    let zeros = NUMBERS.iter().zip(is_told).filter(|(_, is_told)| !is_told);
    zeros.for_each(|((_, name, _), _)| note("", name, 0.0));
    Some(())
}

/// A map is a list of messages with the key as field 1 and the value as field 2; a zero may be left out.
fn entry_of_a_map(mut entry: &[u8]) -> Option<(&str, f64)> {
    let (mut name, mut value) = ("", 0.0);
    while !entry.is_empty() {
        match field(&mut entry)? {
            (1, Field::Bytes(bytes)) => name = std::str::from_utf8(bytes).ok()?,
            (2, Field::Double(number)) => value = number,
            _ => {}
        }
    }
    Some((name, value))
}

/// One field of a protobuf message, as much of it as reports have.
enum Field<'a> {
    Double(f64),
    Bytes(&'a [u8]),
    Other,
}

fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(message)?;
    let field = match tag & 7 {
        0 => varint(message).map(|_| Field::Other)?,
        1 => {
            let (bytes, rest) = message.split_first_chunk()?;
            *message = rest;
            Field::Double(f64::from_le_bytes(*bytes))
        }
        2 => {
            let length = usize::try_from(varint(message)?).ok()?;
            let (bytes, rest) = message.split_at_checked(length)?;
            *message = rest;
            Field::Bytes(bytes)
        }
        5 => {
            *message = message.get(4..)?;
            Field::Other
        }
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Of base64, with its padding or without; the bits that are over at the end say nothing.
fn decoded(base64: &str) -> Option<Vec<u8>> {
    let digits = base64.trim_end_matches('=').bytes();
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(digits.len() * 3 / 4), 0_u32, 0);
    for digit in digits {
        let six = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}
