//! The load that a backend reports in the head of its answers: by ORCA, or in headers of its own. Read for pools that ask
//! for it only; what cannot be read is left out, for it is not worth more than no report.

mod orca;

use crate::{
    config::model,
    figures::{BackendFigures, Reports},
    net::Headers,
};
use std::cell::OnceCell;
use tokio::time::Instant;

/// Notes what these headers say.
pub(super) fn read(asked: &model::Reported, reports: &Reports, figures: &BackendFigures, headers: &Headers) {
    let now = OnceCell::new();
    let mut note = |group: &str, name: &str, number: f64| {
        if let Some(place) = reports.known(group, name).filter(|_| number.is_finite()) {
            figures.reports(place, number, *now.get_or_init(Instant::now));
        }
    };
    if asked.orca {
        orca::read(headers, &mut note);
    }
    for (name, header) in &asked.headers {
        let value = headers.get(header).and_then(|value| value.to_str().ok());
        if let Some(number) = value.and_then(|value| value.trim().parse().ok()) {
            note("", name, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use std::time::Duration;

    fn told(asked: &model::Reported, lines: &[(&'static str, &str)], names: &[&str]) -> Vec<Option<f64>> {
        let (reports, figures) = (Reports::default(), BackendFigures::default());
        reports.hold_for(Duration::from_secs(10));
        let places: Vec<u32> = names.iter().map(|name| reports.place(name).unwrap()).collect();
        let line = |&(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        read(asked, &reports, &figures, &lines.iter().map(line).collect());
        let number = |&place: &u32| Some(figures.reported(place, &reports, Instant::now())).filter(|n| !n.is_nan());
        places.iter().map(number).collect()
    }

    const NAMES: [&str; 4] = ["cpu_utilization", "named_metrics.queue", "utilization.disk", "rps_fractional"];

    #[tokio::test]
    async fn orca_is_read_in_all_its_forms() {
        let asked = model::Reported::default();
        // cpu_utilization 0.5; named_metrics {"queue": 3}; utilization {"disk": 0.25}; rps_fractional 100
        const BIN: &str = "CQAAAAAAAOA/QhAKBXF1ZXVlEQAAAAAAAAhAKg8KBGRpc2sRAAAAAAAA0D8xAAAAAAAAWUA=";
        let json = r#"{"cpu_utilization": 0.5, "namedMetrics": {"queue": 3}, "utilization": {"disk": 0.25}, "rps_fractional": 100}"#;
        let text = "cpu_utilization:0.5, named_metrics.queue:3,utilization.disk=0.25,rps_fractional:100";
        for (name, value) in [
            ("endpoint-load-metrics", text.to_owned()),
            ("endpoint-load-metrics", format!("TEXT {text}")),
            ("endpoint-load-metrics", format!("JSON {json}")),
            ("endpoint-load-metrics", json.to_owned()),
            ("endpoint-load-metrics-json", json.to_owned()),
            ("endpoint-load-metrics-bin", BIN.to_owned()),
            ("endpoint-load-metrics-bin", BIN.trim_end_matches('=').to_owned()),
            ("endpoint-load-metrics", format!("BIN {BIN}")),
        ] {
            let all = [Some(0.5), Some(3.0), Some(0.25), Some(100.0)];
            assert_eq!(told(&asked, &[(name, &value)], &NAMES), all, "{name}: {value}");
        }
        let off = model::Reported { orca: false, ..asked };
        assert_eq!(told(&off, &[("endpoint-load-metrics", text)], &NAMES), [None; 4]);
    }

    #[tokio::test]
    async fn what_is_no_report_says_nothing() {
        let asked = model::Reported::default();
        for (name, value) in [
            ("endpoint-load-metrics", ""),
            ("endpoint-load-metrics", "cpu_utilization"),
            ("endpoint-load-metrics", "cpu_utilization:NaN,rps_fractional:inf,named_metrics.:1"),
            ("endpoint-load-metrics", "JSON {\"cpu_utilization\": \"much\", \"named_metrics\": 3"),
            ("endpoint-load-metrics-json", "[[[[[1]]]]]"),
            ("endpoint-load-metrics-bin", "CQAAAAAAAO"),
            ("endpoint-load-metrics-bin", "!!!!"),
            ("endpoint-load-metrics-bin", "Qv////8P"),
        ] {
            assert_eq!(told(&asked, &[(name, value)], &NAMES), [None; 4], "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn headers_of_its_own_are_read_by_configuration() {
        let headers = vec![("queue".to_owned(), HeaderName::from_static("x-queue-depth"))];
        let asked = model::Reported { orca: false, headers, ..Default::default() };
        let told = |value: &str| told(&asked, &[("x-queue-depth", value)], &["queue"])[0];
        assert_eq!((told("7"), told(" 2.5 "), told("many"), told("inf")), (Some(7.0), Some(2.5), None, None));
    }
}
