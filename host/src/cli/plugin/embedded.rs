//! `pointsman plugin ls --stock`: the plugins that this binary carries, what may be set, and what they cost.

use super::ls::or_dash;
use crate::{
    cli::{Exit, Failure, table::Table},
    plugin::{Hash, stock},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::Write};

/// A stock plugin's `plugin.toml`.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    name: String,
    kind: String,
    summary: String,
    #[serde(default)]
    settings: BTreeMap<String, Setting>,
    /// Empty for a filter.
    #[serde(default)]
    cost: Vec<Cost>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    /// None where it must be given, or where nothing is taken instead.
    default: Option<toml::Value>,
    help: String,
}

/// What a pick takes at most: so many times what a plugin takes that does nothing, in a pool of so many backends.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    backends: u32,
    at_most: f64,
    #[serde(default)]
    settings: toml::Table,
}

/// Prints all of them.
pub(super) fn print(json: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let manifests = manifests()?;
    if json {
        let with_file = |manifest: &Manifest| {
            let bytes = stock::bytes(&manifest.name).unwrap_or_default();
            let mut object = serde_json::to_value(manifest)?;
            object["size"] = bytes.len().into();
            object["hash"] = Hash::of(bytes).to_string().into();
            Ok(object)
        };
        let all: Result<Vec<_>, serde_json::Error> = manifests.iter().map(with_file).collect();
        writeln!(out, "{:#}", serde_json::Value::from(all.map_err(anyhow::Error::from)?))?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&["NAME", "KIND", ">COST", "SETTINGS", "SUMMARY"]);
    for manifest in &manifests {
        let settings: Vec<&str> = manifest.settings.keys().map(String::as_str).collect();
        table.row([
            manifest.name.clone(),
            manifest.kind.clone(),
            or_dash(manifest.cost.first().map(|cost| format!("{}x@{}", cost.at_most, cost.backends))),
            or_dash((!settings.is_empty()).then(|| settings.join(","))),
            manifest.summary.clone(),
        ]);
    }
    write!(out, "{table}")?;
    writeln!(
        out,
        "\nCOST: a pick takes at most so many times what a plugin takes that does nothing @ a pool of so many backends"
    )?;
    Ok(Exit::Ok)
}

fn manifests() -> anyhow::Result<Vec<Manifest>> {
    let texts = stock::names().iter().filter_map(|name| stock::manifest(name));
    texts.map(|text| toml::from_str(text).map_err(anyhow::Error::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool) -> String {
        let mut out = Vec::new();
        assert!(matches!(print(json, &mut out), Ok(Exit::Ok)));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_stock_plugin_says_what_it_is_and_every_balancer_what_it_costs() {
        let text = printed(false);
        for name in stock::names() {
            assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{name}: {text}");
        }
        for manifest in manifests().unwrap() {
            assert!(manifest.kind == "filter" || !manifest.cost.is_empty(), "{} promises no cost", manifest.name);
        }
    }

    #[test]
    fn programs_are_told_defaults_and_hashes() {
        let all: serde_json::Value = serde_json::from_str(&printed(true)).unwrap();
        let ring = all.as_array().unwrap().iter().find(|plugin| plugin["name"] == "ring-hash").unwrap();
        assert_eq!(ring["settings"]["points"]["default"], "nginx");
        assert_eq!(ring["cost"][0]["backends"], 1000);
        assert_eq!(ring["hash"], Hash::of(stock::bytes("ring-hash").unwrap()).to_string());
    }
}
