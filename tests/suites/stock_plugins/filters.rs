//! A case of a filter: one request, which passes with headers for the backend, or is answered.

use super::{Component, Turns, expect_refusal, head, json};
use http::{HeaderName, HeaderValue};
use pointsman::{
    net::Head,
    plugin::{FilterVerdict, Kind, Membership, Runtime, Use},
};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    name: String,
    #[serde(default)]
    settings: toml::Table,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// What comes of it: the request passes with these headers, in any order,
    passes_with: Option<Vec<(String, String)>>,
    /// or is answered with this status,
    answered: Option<u16>,
    /// or words against the settings.
    refused: Option<String>,
}

pub(super) fn run(runtime: &Arc<Runtime>, compiled: &Component, case: &Case) -> Result<(), String> {
    try_case(runtime, compiled, case).map_err(|difference| format!("{}: {difference}", case.name))
}

fn try_case(runtime: &Arc<Runtime>, compiled: &Component, case: &Case) -> Result<(), String> {
    let settings = json(&case.settings);
    let membership = Membership::default();
    let one = Use { pool: "".into(), settings: settings.clone(), membership, spot: None };
    let admitted = runtime.admit(compiled, Kind::Filter, &[one]);
    if let Some(words) = &case.refused {
        return expect_refusal(admitted, words);
    }
    let generation = admitted.map_err(|problem| format!("{problem:?}"))?;
    let mut filter = generation.filter(0, &settings).map_err(|fault| fault.to_string())?;

    let mut head = head();
    for (name, value) in &case.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        head.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let verdict = filter.on_request(&mut head, Turns::new().next(0)).map_err(|fault| fault.to_string())?;
    match (verdict, &case.passes_with, case.answered) {
        (FilterVerdict::Next, Some(expected), None) if sorted(expected.clone()) == seen(&head) => Ok(()),
        (FilterVerdict::Next, ..) => Err(format!("passes with {:?}", seen(&head))),
        (FilterVerdict::Respond(answer), None, Some(status)) if answer.status() == status => Ok(()),
        (FilterVerdict::Respond(answer), ..) => Err(format!("is answered {}", answer.status())),
    }
}

fn seen(head: &Head) -> Vec<(String, String)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
    sorted(head.headers.iter().map(pair).collect())
}

fn sorted(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.sort();
    headers
}
