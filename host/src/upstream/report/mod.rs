//! The load that a backend reports with its answers, in their heads or trailers: by ORCA, or in headers of its own. Read for
//! pools that ask for it only; what cannot be read is left out, for it is not worth more than no report.

mod orca;

use crate::{
    config::model,
    figures::{BackendFigures, Reports},
};
use http::{HeaderName, HeaderValue};
use std::cell::OnceCell;
use tokio::time::Instant;

/// Notes what these headers say. `get`: the first of a name.
pub(super) fn read<'h>(
    asked: &model::Reported,
    reports: &Reports,
    figures: &BackendFigures,
    get: &impl Fn(&HeaderName) -> Option<&'h HeaderValue>,
) {
    let now = OnceCell::new();
    let mut note = |group: &str, name: &str, number: f64| {
        if let Some(place) = reports.known(group, name).filter(|_| number.is_finite()) {
            figures.reports(place, number, *now.get_or_init(Instant::now));
        }
    };
    if asked.orca {
        orca::read(get, &mut note);
    }
    for (name, header) in &asked.headers {
        let value = get(header).and_then(|value| value.to_str().ok());
        if let Some(number) = value.and_then(|value| value.trim().parse().ok()) {
            note("", name, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Headers;
    use std::time::Duration;

    /// What is known after answers with these headers, one each.
    fn told(asked: &model::Reported, answers: &[(&'static str, &str)], names: &[&str]) -> Vec<Option<f64>> {
        let (reports, figures) = (Reports::default(), BackendFigures::default());
        reports.hold_for(Duration::from_secs(10));
        let places: Vec<u32> = names.iter().map(|name| reports.place(name).unwrap()).collect();
        for &(name, value) in answers {
            let line = (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            let headers = Headers::from_iter([line]);
            read(asked, &reports, &figures, &|name| headers.get(name));
        }
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
    async fn what_a_whole_report_leaves_out_is_zero() {
        let asked = model::Reported::default();
        let before = ("endpoint-load-metrics", "cpu_utilization:0.9,rps_fractional:9,named_metrics.queue:4");
        // rps_fractional 100 alone, as a backend writes it whose processor is idle
        for (name, value) in
            [("endpoint-load-metrics-bin", "MQAAAAAAAFlA"), ("endpoint-load-metrics-json", r#"{"rpsFractional": 100}"#)]
        {
            let after = [Some(0.0), Some(4.0), None, Some(100.0)];
            assert_eq!(told(&asked, &[before, (name, value)], &NAMES), after, "{name}: the maps are open lists");
        }
        let text = ("endpoint-load-metrics", "rps_fractional:100");
        assert_eq!(told(&asked, &[before, text], &NAMES)[0], Some(0.9), "text says what it says");
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
