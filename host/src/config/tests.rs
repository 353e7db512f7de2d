//! The reader of `pointsman.toml` against tables of right and wrong files.

use super::*;
use crate::net::{Address, NOBODY};
use crate::problem::{Style, render};
use model::{
    AccessLog, AdminAddress, BalancerChoice, ByteRate, Fallback, Forwarded, HashKey, HeadLimit, HostMatch, Lookup,
    OnFault, Resolver, SourceLimit, Verify,
};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::{fs, time::Duration};

/// Set it to anything to have what a test finds written where it is expected, then read the difference.
const REWRITE: &str = "POINTSMAN_REWRITE_GOLDEN";

fn golden(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden")).join(path)
}

/// The `*.toml` of a directory, by name.
fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(golden(directory)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|ext| ext == "toml")).collect();
    files.sort();
    assert!(files.len() >= 3, "the files of {directory} are found");
    files
}

fn assert_golden(found: &str, path: &Path) {
    if std::env::var_os(REWRITE).is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "{} differs; {REWRITE}=1 rewrites it. Found:\n{found}", path.display());
}

/// All messages about a text, as a person sees them.
fn messages(text: &str) -> String {
    let problems = parse(text, Path::new("pointsman.toml")).map(drop).unwrap_err();
    problems.iter().map(|problem| render(problem, Style::default()) + "\n").collect()
}

fn good(text: &str) -> Config {
    parse(text, Path::new("/etc/pointsman/pointsman.toml")).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A file that only lacks what a test is about.
fn with(rest: &str) -> String {
    format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.app]\nbackends = [\"10.0.0.1:80\"]\n{rest}")
}

#[test]
fn bad_files_earn_the_messages_beside_them() {
    for file in files("config/bad") {
        let found = messages(&fs::read_to_string(&file).unwrap());
        assert_golden(&found, &file.with_extension("txt"));
    }
}

#[test]
fn five_mistakes_are_told_at_once_each_with_a_place() {
    let text = fs::read_to_string(golden("config/bad/five-mistakes.toml")).unwrap();
    let problems = parse(&text, Path::new("pointsman.toml")).unwrap_err();
    assert_eq!(problems.len(), 5);
    assert!(problems.iter().all(|problem| problem.spot.is_some()));
    let lines: Vec<_> = problems.iter().map(|problem| problem.spot.as_ref().unwrap().line_and_column().0).collect();
    assert!(lines.is_sorted(), "{lines:?}");
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let problems = load(Path::new("/nowhere/pointsman.toml")).unwrap_err();
    assert_eq!(problems[0].code, Code::NO_CONFIGURATION);
    let directory = tempfile::tempdir().unwrap();
    let large = directory.path().join("large.toml");
    fs::write(&large, " ".repeat(1 + FILE_MOST as usize)).unwrap();
    assert!(load(&large).unwrap_err()[0].headline.contains("larger than 1 MiB"));
    assert!(load(Path::new("/dev/null")).unwrap_err()[0].headline.ends_with("it is not a file"));
    fs::write(&large, [0xff, 0xfe]).unwrap();
    assert_eq!(load(&large).unwrap_err()[0].code, Code::NO_CONFIGURATION);
}

#[test]
fn the_smallest_file_serves_everything_from_its_only_pool() {
    let config = good(&fs::read_to_string(golden("config/ok/smallest.toml")).unwrap());
    assert_eq!(config.routes.len(), 1);
    let route = &config.routes[0];
    assert_eq!((route.listener, &route.host, route.path.as_str(), route.pool), (None, &HostMatch::Any, "/", 0));
    assert_eq!(config.pools[0].balancer, BalancerChoice::Named("round-robin".into()));
    assert_eq!(config.pools[0].backends[0].address.to_string(), "127.0.0.1:3000");
    assert_eq!(config.pools[0].backends[0].host, "localhost");
    assert_eq!(config.pools[0].backends[0].name, "localhost:3000");
    assert_eq!(config.listeners[0].name, "127.0.0.1:0");
    assert_eq!(config.admin, default_admin());
}

#[test]
fn who_comes_in_and_where_that_is_told() {
    let config = good(
        r#"
        [[listen]]
        address = "0.0.0.0:443"
        tls = [
          { cert = "a.pem", key = "a.key" },
          { cert = "b.pem", key = "b.key", client = { ca = "ca.pem", verify = "request" } },
        ]
        limit = { connections = 9, connections_per_source = 3, requests_per_source = "600/m", least_rate = "1KiB/s" }
        request_id = true
        explain_header = "X-Explain"
        [[listen]]
        address = "0.0.0.0:80"
        redirect = "https:8443"
        [pool.app]
        backends = ["10.0.0.1:80"]
        [admin]
        metrics = "0.0.0.0:9464"
        [server]
        access_log = "log/access.log"
        "#,
    );
    let [tls, plain] = config.listeners.as_slice() else { panic!("two listeners") };
    let clients = &tls.tls.as_ref().unwrap().clients;
    assert_eq!(clients.keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!((clients[&1].ca.as_path(), clients[&1].verify), (Path::new("/etc/pointsman/ca.pem"), Verify::Request));
    let requests_per_source = Some((600, Duration::from_secs(60)));
    let limit = SourceLimit { connections: Some(9), connections_per_source: Some(3), requests_per_source };
    assert_eq!((tls.limit, tls.request_id, tls.redirect), (limit, true, None));
    assert_eq!((tls.explain_header.as_deref(), &plain.explain_header), (Some("x-explain"), &None));
    assert_eq!((plain.limit, plain.request_id, plain.redirect), (SourceLimit::default(), false, Some(8443)));
    let rates = [tls.timeout.least_rate, plain.timeout.least_rate];
    assert_eq!(rates, [ByteRate(Some(1024)), ByteRate(Some(240))]);
    assert_eq!(rates[0].within(Duration::from_millis(2500)), 2560);
    assert_eq!(ByteRate(None).within(Duration::from_secs(60)), 1, "any byte will do");
    assert_eq!(config.metrics, Some("0.0.0.0:9464".parse().unwrap()));
    let Some(AccessLog::File { path, .. }) = &config.server.access_log else { panic!("a file") };
    assert_eq!(path, Path::new("/etc/pointsman/log/access.log"));
    assert_eq!(good(&with("[server]\naccess_log = \"stdout\"")).server.access_log, Some(AccessLog::Stdout));
}

#[test]
fn everything_that_can_be_written_is_understood() {
    let config = good(&fs::read_to_string(golden("config/ok/everything.toml")).unwrap());
    let [public, plain, file] = config.listeners.as_slice() else { panic!("three listeners") };
    let in_directory = |file: &str| Address::from(Path::new("/etc/pointsman").join(file).as_path());
    assert_eq!((&file.address, file.mode), (&in_directory("run/shop.sock"), 0o600));
    assert_eq!(public.tls.as_ref().unwrap().certificates.len(), 2);
    let model::CertificateSource::Files { cert, key, spot } = &public.tls.as_ref().unwrap().certificates[0] else {
        panic!("files")
    };
    assert_eq!((cert.as_path(), key.as_path()), (Path::new("/etc/pointsman/a.pem"), Path::new("/etc/pointsman/a.key")));
    assert_eq!(spot.as_ref().unwrap().line_and_column().0, 4);
    assert_eq!((public.timeout.handshake, public.timeout.idle), (Duration::from_secs(5), Duration::from_secs(7)));
    assert_eq!(public.head, HeadLimit { head: 16 << 10, headers: 64, target: 1 << 10 });
    assert!(public.trusted_proxies[1].contains("192.0.2.7".parse().unwrap()));
    assert!(!public.trusted_proxies[1].contains("192.0.2.8".parse().unwrap()));
    assert_eq!((public.forwarded, plain.forwarded), (Forwarded::Rfc7239, Forwarded::None));
    assert!(public.trusted_proxies[3].contains(NOBODY.ip()) && !public.trusted_proxies[0].contains(NOBODY.ip()));

    let [other, two] = config.pools.as_slice() else { panic!("two pools") };
    assert_eq!((other.name.as_str(), two.name.as_str()), ("other", "two words"), "in the order of their names");
    assert_eq!(other.timeout.head, Duration::from_secs(3));
    assert_eq!((two.timeout.connect, two.timeout.total), (Duration::from_millis(100), Some(Duration::from_secs(7200))));
    assert_eq!(two.timeout.per_try, Some(Duration::from_secs(5)));
    assert_eq!((two.timeout.ping, other.timeout.ping), (Some(Duration::from_secs(20)), Some(Duration::from_secs(5))));
    let retry = model::Retry { most: 3, budget: 50, replay: 1 << 20, backoff: Duration::ZERO };
    assert_eq!((two.retry, other.retry), (retry, model::Retry::default()));
    assert_eq!((two.hedge, other.hedge), (Some(Duration::from_millis(200)), None));
    let (requests, backend_requests, wait) = (Some(100), Some(40), Duration::from_millis(250));
    let limit = model::PoolLimit { requests, backend_requests, backend_connections: Some(50), queue: 0, wait };
    assert_eq!((two.limit, other.limit), (Some(limit), None));
    let headers = vec![("queue".to_owned(), http::HeaderName::from_static("x-queue-depth"))];
    let reported = model::Reported { orca: false, headers, fresh: Duration::from_secs(2) };
    assert_eq!((&two.reported, &other.reported), (&Some(reported), &None));
    let by = model::ProbeBy::Get("/load?plain".into());
    let (timeout, per_pool) = (Duration::from_millis(50), (6000, Duration::from_secs(60)));
    let probe = model::Probe { by, timeout, per_backend: (10, Duration::from_secs(1)), per_pool };
    let by_header = model::Probe::by(model::ProbeBy::Header(http::HeaderName::from_static("x-load")));
    assert_eq!((&two.probe, &other.probe), (&Some(probe), &Some(by_header)));
    assert_eq!(two.fallback, Fallback::Reject);
    assert_eq!(two.hash, Some(HashKey::Header("x-user".into())));
    assert_eq!(two.settings, r#"{"deep":{"list":[1,2.5,true,"x"],"when":"2026-11-22T08:00:00Z"},"k":16}"#);
    let tls = two.tls.as_ref().unwrap();
    assert!(matches!(&tls.roots, model::Roots::File { path, .. } if path == Path::new("/etc/pointsman/roots.pem")));
    assert_eq!((tls.sni.as_deref(), tls.dangerous_skip_verification), (Some("shop.internal"), true));
    assert!(tls.identity.is_some() && two.protocol == model::Protocol::Http2);
    assert!(matches!(other.tls.as_ref().unwrap().roots, model::Roots::System));
    assert_eq!(other.protocol, model::Protocol::Http1, "a connection that is one client's is not shared");
    assert_eq!(other.proxy_protocol, Some(crate::net::proxy_protocol::Version::V2));
    assert!(file.proxy_protocol && !plain.proxy_protocol);
    let app = &other.backends[1];
    assert_eq!((&app.address, app.name.as_str()), (&in_directory("app.sock"), "unix:app.sock"));
    let model::HealthCheck::Get(asked) = &two.health.check else { panic!("a path") };
    assert_eq!((asked.path.as_str(), asked.body.as_deref()), ("/healthz?full=1", Some("ok")));
    assert_eq!(asked.status, [200..=200, 204..=204, 300..=399]);
    assert_eq!((two.health.rise, two.health.fall, two.health.timeout), (2, 3, Duration::from_secs(2)));
    let eject = two.eject.as_ref().unwrap();
    assert_eq!((eject.failures, eject.stall, eject.latency), (None, Some(Duration::from_secs(1)), Some(3)));
    assert_eq!(
        (eject.success_rate, eject.time, eject.time_most),
        (false, Duration::from_secs(5), Duration::from_secs(60))
    );
    assert_eq!((eject.share, two.panic, two.slow_start), (30, Some(40), Some(Duration::from_secs(30))));
    assert_eq!((&other.eject, other.panic, other.slow_start), (&None, None, None));
    assert_eq!((two.tiers, other.tiers), (model::Tiers::Plugin, model::Tiers::Host));
    let cookie = model::Cookie {
        path: "/cart".into(),
        same_site: model::SameSite::None,
        secure: Some(true),
        ttl: Some(Duration::from_secs(3600)),
        secrets: model::Secrets::Written(
            [b"0123456789abcdef", b"fedcba9876543210"].map(|s| model::Secret((*s).into())).into(),
        ),
        ..model::Cookie::new("at")
    };
    assert_eq!(two.cookie, Some(cookie));
    let cookie = other.cookie.as_ref().unwrap();
    assert!(
        matches!(&cookie.secrets, model::Secrets::File { path, .. } if path == Path::new("/etc/pointsman/cookie.key"))
    );
    assert_eq!((cookie.name.as_str(), cookie.secure), ("pointsman-other", None));
    let six = &two.backends[2];
    assert_eq!((six.name.as_str(), six.weight, six.priority, six.zone.as_str()), ("six", 0, 1, "b"));
    assert_eq!(six.metadata, [("rack".into(), "7".into()), ("gen".into(), "2".into())], "in the order of the file");

    let [shop, rest] = config.routes.as_slice() else { panic!("two routes") };
    assert_eq!((shop.listener, shop.pool), (Some(0), 1));
    assert_eq!((&shop.host, shop.path.as_str()), (&HostMatch::Wildcard(".shop.example".into()), "/cart"));
    assert_eq!(shop.filters[1].on_fault, OnFault::Continue);
    assert_eq!((rest.listener, &rest.host), (Some(1), &HostMatch::Exact("[::1]".into())));

    assert_eq!(config.plugins.faults.window, Duration::from_secs(60));
    assert_eq!(config.admin, AdminAddress::Tcp("127.0.0.1:9000".parse().unwrap()));
    assert_eq!((config.server.workers, config.server.drain), (2, Duration::ZERO));
    assert_eq!((config.server.tunnels, two.timeout.tunnel), (Duration::ZERO, Duration::from_secs(600)));
    assert_eq!(config.server.requests, Some(10_000));
}

#[test]
fn the_schema_is_the_one_that_is_published() {
    assert_golden(&format!("{:#}\n", json_schema()), &golden("schema.json"));
}

#[test]
fn good_files_obey_the_schema_and_unknown_keys_do_not() {
    let schema = json_schema();
    for file in files("config/ok") {
        let text = fs::read_to_string(&file).unwrap();
        good(&text);
        assert_eq!(disobeys(&schema, &toml_as_json(&text)), None, "{}", file.display());
    }
    for name in ["unknown-keys", "missing-keys", "wrong-kinds", "words", "out-of-range", "no-backends"] {
        let text = fs::read_to_string(golden(&format!("config/bad/{name}.toml"))).unwrap();
        assert!(disobeys(&schema, &toml_as_json(&text)).is_some(), "{name}");
    }
}

#[test]
fn defaults_in_the_schema_are_those_in_force() {
    let schema = json_schema();
    let table = |at: &str| {
        let properties = schema.pointer(at).and_then(Json::as_object).unwrap_or_else(|| panic!("{at}"));
        let default = |(key, schema): (&String, &Json)| Some(format!("{key} = {}\n", schema.get("default")?));
        properties.iter().filter_map(default).collect::<String>()
    };
    let listen = "/properties/listen/items/properties";
    let pool = "/properties/pool/additionalProperties/properties";
    let spelled_out = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n{}[listen.timeout]\n{}\
         [pool.app]\n{}[pool.app.timeout]\n{}[pool.app.health]\npath = \"/\"\n{}[pool.app.eject]\n{}[pool.app.retry]\n{}\
         [pool.app.reported]\n{}[pool.app.probe]\npath = \"/\"\n{}\
         [[pool.app.backends]]\naddress = \"10.0.0.1:80\"\n{}\
         [[route]]\npool = \"app\"\n{}[[route.filters]]\nplugin = \"x\"\n{}\
         [plugins]\n{}[plugins.faults]\n{}[server]\n{}",
        table(listen),
        table(&format!("{listen}/timeout/properties")),
        table(pool),
        table(&format!("{pool}/timeout/anyOf/1/properties")),
        table(&format!("{pool}/health/properties")),
        table(&format!("{pool}/eject/anyOf/1/properties")),
        table(&format!("{pool}/retry/properties")),
        table(&format!("{pool}/reported/anyOf/1/properties")),
        table(&format!("{pool}/probe/properties")),
        table(&format!("{pool}/backends/items/anyOf/1/properties")),
        table("/properties/route/items/properties"),
        table("/properties/route/items/properties/filters/items/properties"),
        table("/properties/plugins/properties"),
        table("/properties/plugins/properties/faults/properties"),
        table("/properties/server/properties"),
    );
    let left_out = with(
        "[pool.app.health]\npath = \"/\"\n[pool.app.reported]\n[pool.app.probe]\npath = \"/\"\n[[route]]\npool = \"app\"\nfilters = [{ plugin = \"x\" }]\n",
    );
    assert_eq!(without_spots(good(&spelled_out)), without_spots(good(&left_out)), "{spelled_out}");
}

#[test]
fn a_check_by_grpc_is_for_a_service_or_for_the_whole_server() {
    for (written, service) in [("true", ""), ("\"\"", ""), ("\"shop.Cart\"", "shop.Cart")] {
        let pool = &good(&with(&format!("protocol = \"h2\"\nhealth = {{ grpc = {written} }}\n"))).pools[0];
        assert_eq!(pool.health.check, model::HealthCheck::Grpc(service.into()));
    }
}

#[test]
fn reports_are_read_by_orca_unless_more_is_said() {
    for written in ["true", "{}"] {
        let pool = &good(&with(&format!("reported = {written}\n"))).pools[0];
        assert_eq!(pool.reported, Some(model::Reported::default()), "{written}");
    }
    assert_eq!(good(&with("reported = false\n")).pools[0].reported, None);
}

#[test]
fn a_limit_that_says_little_has_the_defaults() {
    let limit = good(&with("limit = {}\n")).pools[0].limit;
    assert_eq!(limit, Some(model::PoolLimit::default()));
}

fn without_spots(mut config: Config) -> String {
    config.listeners.iter_mut().for_each(|listener| listener.spot = None);
    config.pools.iter_mut().for_each(|pool| pool.spot = None);
    config.routes.iter_mut().flat_map(|route| &mut route.filters).for_each(|filter| filter.spot = None);
    format!("{config:#?}")
}

fn toml_as_json(text: &str) -> Json {
    let table = DeTable::parse(text).unwrap().into_inner();
    let root = DeValue::Table(table);
    Value::root(&root).json().unwrap()
}

/// Where a value breaks a schema: as much of JSON Schema as ours uses, patterns excepted.
fn disobeys(schema: &Json, value: &Json) -> Option<String> {
    let broken = |what: &str| Some(format!("{value} is not {what}"));
    if let Some(choices) = schema.get("anyOf").and_then(Json::as_array) {
        let all_broken = choices.iter().all(|choice| disobeys(choice, value).is_some());
        return all_broken.then(|| format!("{value} is none of {}", schema["anyOf"]));
    }
    if schema.get("enum").is_some_and(|words| !words.as_array().unwrap().contains(value)) {
        return broken(&schema["enum"].to_string());
    }
    if schema.get("const").is_some_and(|word| word != value) {
        return broken(&schema["const"].to_string());
    }
    let number = |key: &str| schema.get(key).and_then(Json::as_i64);
    match (schema.get("type").and_then(Json::as_str), value) {
        (None, _) | (Some("string"), Json::String(_)) | (Some("boolean"), Json::Bool(_)) => None,
        (Some("integer"), Json::Number(_)) => {
            let inside = (number("minimum")..=number("maximum")).contains(&value.as_i64());
            if inside { None } else { broken("in range") }
        }
        (Some("array"), Json::Array(items)) if (items.len() as i64) < number("minItems").unwrap_or(0) => {
            broken("long enough")
        }
        (Some("array"), Json::Array(items)) => items.iter().find_map(|item| disobeys(&schema["items"], item)),
        (Some("object"), Json::Object(entries)) => {
            let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
            let missing = required.filter_map(Json::as_str).find(|key| !entries.contains_key(*key));
            missing.map(|key| format!("{key} is missing")).or_else(|| {
                entries.iter().find_map(|(key, value)| {
                    match (&schema["properties"][key], &schema["additionalProperties"]) {
                        (Json::Null, Json::Bool(false)) => Some(format!("{key} is unknown")),
                        (Json::Null, Json::Null) => None,
                        (Json::Null, other) => disobeys(other, value),
                        (known, _) => disobeys(known, value),
                    }
                })
            })
        }
        (Some(kind), _) => broken(kind),
    }
}

/// What a file is made of, put together by chance: deeper into the reader than noise ever comes.
fn pieces() -> impl Strategy<Value = String> {
    let keys = prop::sample::select(vec![
        "[[listen]]\n",
        "[pool.a]\n",
        "[[route]]\n",
        "[plugins]\n",
        "[admin]\n",
        "[server]\n",
        "[pool.\"\"]\n",
        "address",
        "tls",
        "timeout",
        "backends",
        "settings",
        "health",
        "filters",
        "faults",
        "hash",
        "pool",
        "host",
        "path",
        "metadata",
        "deadline",
        "memory",
        "workers",
        "trusted_proxies",
        "\"ü\"",
    ]);
    let values = prop::sample::select(vec![
        "30",
        "-1",
        "1e999",
        "nan",
        "\"30s\"",
        "\"\"",
        "\"ü\"",
        "\"127.0.0.1:80\"",
        "[]",
        "{}",
        "true",
        "1979-05-27",
        "[\"127.0.0.1:80\"]",
        "{ address = \"x\" }",
        "[[[]]]",
        "\"\\u0000\"",
        "99999999999999999999",
        "\"unix:/x\"",
        "\"a\"",
    ]);
    let piece = (keys, values).prop_map(|(key, value)| match key.ends_with('\n') {
        true => key.to_owned(),
        false => format!("{key} = {value}\n"),
    });
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic_and_every_refusal_can_be_shown(text in prop_oneof![pieces(), ".*", "[\\[\\]{}=\"a-z.\n ]*"]) {
        if let Err(problems) = parse(&text, Path::new("pointsman.toml")) {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                prop_assert!(render(problem, Style::default()).contains(&problem.code.to_string()));
                prop_assert!(!problem.line().contains('\n'));
                // `get` also minds where a character begins.
                let inside = problem.spot.as_ref().is_none_or(|spot| spot.source.get(spot.span.clone()).is_some());
                prop_assert!(inside, "{problem:?}");
            }
        }
    }
}

#[test]
fn names_are_kept_apart_from_addresses() {
    let config = good(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.a]\nbackends = [\"10.0.0.1:80\", \"App.example:8080\", \
         { address = \"srv:_http._tcp.app.example\", name = \"app\", weight = 3 }, \"localhost:1\"]\n\
         [server]\nresolver = \"10.0.0.2\"\n",
    );
    let pool = &config.pools[0];
    let names: Vec<_> = pool.backends.iter().map(|backend| backend.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.1:80", "localhost:1"]);
    let named: Vec<_> =
        pool.names.iter().map(|it| (it.lookup.clone(), it.each.name.as_str(), it.each.weight)).collect();
    let host = Lookup::Host { name: "app.example".into(), port: 8080 };
    let service = Lookup::Service("_http._tcp.app.example".into());
    assert_eq!(named, [(host, "App.example:8080", 1), (service, "app", 3)]);
    assert_eq!(pool.names[1].each.host, "app.example", "no certificate is asked for by what a name server says");
    assert_eq!(config.server.resolver, Resolver::Server("10.0.0.2:53".parse().unwrap()));
}
