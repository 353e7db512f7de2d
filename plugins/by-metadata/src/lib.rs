//! Only the backends whose metadata says what the request asks for: versions, tenants, hardware.

use pointsman_sdk::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Which of the backends' metadata.
    key: String,
    /// Where a request says what it wants.
    by: By,
    /// What one wants that does not say so.
    default: Option<String>,
    /// What becomes of one that wants what nobody has.
    #[serde(default)]
    otherwise: Otherwise,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
enum By {
    Header(String),
    Tag(String),
    Cookie(String),
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    #[default]
    Any,
    Default,
    Reject,
}

/// How many a host takes.
const SUBSETS_MOST: usize = 64;

struct ByMetadata {
    settings: Settings,
    groups: BTreeMap<String, Subset>,
}

impl TryFrom<String> for By {
    type Error = String;

    fn try_from(text: String) -> Result<By, String> {
        match text.split_once(':') {
            Some(("header", name)) if !name.is_empty() => Ok(By::Header(name.to_ascii_lowercase())),
            Some(("tag", name)) if !name.is_empty() => Ok(By::Tag(name.into())),
            Some(("cookie", name)) if !name.is_empty() => Ok(By::Cookie(name.into())),
            _ => Err(format!("`{text}` is none of header:NAME, tag:NAME, cookie:NAME")),
        }
    }
}

impl By {
    fn wanted(&self) -> Option<String> {
        let bytes = match self {
            By::Header(name) => request::header(name),
            By::Tag(name) => return request::tag(name),
            By::Cookie(name) => request::cookie(name),
        };
        bytes.and_then(|bytes| String::from_utf8(bytes).ok())
    }
}

impl Balancer for ByMetadata {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        if matches!(settings.otherwise, Otherwise::Default) && settings.default.is_none() {
            return Err("otherwise = \"default\" needs a default".into());
        }
        Ok(ByMetadata { settings, groups: BTreeMap::new() })
    }

    fn update(&mut self, pool: &Pool) {
        let mut groups = BTreeMap::<&str, (Vec<Position>, Vec<u32>)>::new();
        for (backend, at) in pool.ready().iter().zip(0..) {
            let said = backend.metadata.iter().find(|(key, _)| *key == self.settings.key);
            if let Some((_, value)) = said {
                let (members, weights) = groups.entry(value).or_default();
                members.push(at);
                weights.push(backend.weight);
            }
        }
        if groups.len() > SUBSETS_MOST {
            let (key, count) = (&self.settings.key, groups.len());
            log::warn(&format!("{count} values of {key}: the first {SUBSETS_MOST} in the order of the alphabet count"));
        }
        let define = |(value, (members, weights)): (&str, (Vec<Position>, Vec<u32>))| {
            (value.to_owned(), subsets::define(&members, &weights))
        };
        self.groups = groups.into_iter().take(SUBSETS_MOST).map(define).collect();
    }

    fn pick(&mut self, _: &Turn, _: &Pool) -> Decision {
        let Settings { by, default, otherwise, .. } = &self.settings;
        let Some(wanted) = by.wanted().or_else(|| default.clone()) else { return Decision::Pass };
        if let Some(group) = self.groups.get(&wanted) {
            return Decision::Narrow(*group);
        }
        let usual = default.as_ref().and_then(|usual| self.groups.get(usual));
        match (otherwise, usual) {
            (Otherwise::Default, Some(usual)) => Decision::Narrow(*usual),
            (Otherwise::Reject, _) => {
                notes::rejection(None, "nobody here has what this request asks for");
                Decision::Reject(503)
            }
            _ => Decision::Pass,
        }
    }
}

balancer!(ByMetadata: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench, Request};

    fn bench(more: &str) -> Bench<ByMetadata> {
        let settings = format!(r#"{{"key": "version", "by": "header:X-Version" {more}}}"#);
        let version = |at: usize, backend: &mut Backend| {
            backend.metadata = vec![("version".into(), ["v1", "v2"][at % 2].into())];
        };
        Bench::among(&settings, "", &[1, 2, 3, 4], version).unwrap()
    }

    fn ask(bench: &mut Bench<ByMetadata>, version: Option<&str>) -> Decision {
        let request = Request::get("/");
        testing::host(|host| {
            host.request = match version {
                Some(version) => request.with_header("x-version", version),
                None => request,
            }
        });
        bench.pick()
    }

    #[test]
    fn who_has_what_is_asked_for_serves() {
        let mut bench = bench("");
        assert_eq!(testing::host(|host| host.subsets.clone()), [[(0, 1), (2, 3)], [(1, 2), (3, 4)]]);
        assert_eq!(ask(&mut bench, Some("v1")), Decision::Narrow(0));
        assert_eq!(ask(&mut bench, Some("v2")), Decision::Narrow(1));
        assert_eq!([ask(&mut bench, None), ask(&mut bench, Some("v3"))], [Decision::Pass; 2]);
    }

    #[test]
    fn what_nobody_has_is_for_all_the_usual_ones_or_nobody() {
        let mut usual = bench(r#", "default": "v2", "otherwise": "default""#);
        assert_eq!([ask(&mut usual, None), ask(&mut usual, Some("v3"))], [Decision::Narrow(1); 2]);
        let mut strict = bench(r#", "otherwise": "reject""#);
        assert_eq!(ask(&mut strict, Some("v3")), Decision::Reject(503));
        assert_eq!(ask(&mut strict, None), Decision::Pass);
    }

    #[test]
    fn mistakes_read_well() {
        let refusal = |settings: &str| Bench::<ByMetadata>::with(settings, &[1], 1).err().unwrap();
        assert!(refusal(r#"{"key": "v", "by": "path"}"#).contains("none of header:NAME"));
        assert!(refusal(r#"{"key": "v", "by": "tag:x", "otherwise": "default"}"#).contains("needs a default"));
    }
}
