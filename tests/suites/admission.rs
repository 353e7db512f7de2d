//! Files that are refused at the door: each with its code, in words that tell what to do, while the pool goes on serving.

use pointsman::problem::Report;
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    guests,
    origin::Origin,
    plugins::Plugins,
    story::eventually,
};

/// A pool whose balancer is this file, with these settings.
fn with(bytes: &[u8], settings: &str) -> (Origin, Plugins, Edge) {
    let (origin, plugins) = (Origin::named("a"), Plugins::new());
    plugins.put("ours", bytes);
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins);
    let edge = edge.with(|pool| pool.settings = settings.into()).start();
    (origin, plugins, edge)
}

/// All its words.
fn words(problem: &Report) -> String {
    format!("{}\n{}\n{}", problem.headline, problem.label, problem.notes.join("\n"))
}

/// Demands that the file is refused with this code and these words, and that requests are answered all the same.
async fn refused(name: &str, bytes: &[u8], settings: &str, code: &str, expected: &[&str]) {
    let (_origin, _plugins, edge) = with(bytes, settings);
    let ours = edge.plugin("ours");
    let problem = ours.problem.as_ref().unwrap_or_else(|| panic!("{name}: no problem is told: {ours:?}"));
    let words = words(problem);
    assert_eq!(problem.code, code, "{name}: {words}");
    for word in expected {
        assert!(words.contains(word), "{name}: {word:?} is not in\n{words}");
    }
    assert_eq!((ours.generation, ours.state.as_str()), (None, "refused"), "{name}");
    assert_eq!(edge.pool("shop").serving, "fallback", "{name}");
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "a", "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plugin_is_refused_by_name() {
    let guest = guests::guest;
    let truncated_magic = b"\0as".to_vec();
    for (name, bytes, code, expected) in [
        ("a core module", guests::core_module(), "PM0301", &["core module", "wasm32-wasip2"][..]),
        ("noise", b"no WebAssembly at all, and long enough to see that".to_vec(), "PM0301", &["not WebAssembly"]),
        ("nothing to call", guests::empty_component(), "PM0303", &["pointsman:plugin/balancer@0.1.0"]),
        ("a command", guest("wrong-world"), "PM0303", &["wasi:cli/run", "balancer!"]),
        ("the next version", guest("version-next"), "PM0302", &["0.2.0", "0.1.0"]),
        ("one that speaks HTTP", guest("http-import"), "PM0304", &["wasi:http/outgoing-handler", "remove"]),
        ("a half not offered", guest("unknown-half"), "PM0307", &["foresight"]),
        ("two in one", guest("two-worlds"), "PM0307", &["balancer", "filter"]),
        ("a filter", guests::stock("require-token"), "PM0307", &["filter", "balancer"]),
    ] {
        refused(name, &bytes, "{}", code, expected).await;
    }
    // Three bytes may be the beginning of more: that is waited for, not refused.
    let (_origin, _plugins, edge) = with(&truncated_magic, "{}");
    assert_eq!(edge.plugin("ours").problem.unwrap().code, "PM0311");
}

/// One story for each way to misbehave at the door: the settings that have the guest do it, the code, and words that are told.
macro_rules! misbehaves_at_the_door {
    ($($story:ident: $settings:literal, $code:literal, $words:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $story() {
            refused($settings, &guests::guest("misbehaves"), $settings, $code, &$words).await;
        }
    )*};
}

misbehaves_at_the_door! {
    settings_it_says_no_to: r#"{"act":"refuse","at":"configure"}"#, "PM0305", ["k must be 1..=16"];
    settings_it_does_not_know: r#"{"nobody":"reads this"}"#, "PM0305", ["nobody"];
    a_panic_in_configure: r#"{"act":"panic","at":"configure"}"#, "PM0306", ["configure", "asked to panic in configure"];
    a_panic_in_update: r#"{"act":"panic","at":"update"}"#, "PM0306", ["update", "asked to panic in update"];
    a_panic_in_pick: r#"{"act":"panic","at":"pick"}"#, "PM0306", ["pick", "asked to panic in pick"];
    an_endless_configure: r#"{"act":"loop","at":"configure"}"#, "PM0306", ["configure"];
    an_endless_update: r#"{"act":"loop","at":"update"}"#, "PM0306", ["update"];
    an_endless_pick: r#"{"act":"loop","at":"pick"}"#, "PM0306", ["pick"];
    endless_growth: r#"{"act":"grow","at":"configure"}"#, "PM0306", ["memory"];
    endless_recursion: r#"{"act":"overflow","at":"pick"}"#, "PM0306", ["stack"];
    a_lie_in_pick: r#"{"act":"lie","at":"pick"}"#, "PM0306", ["pick"];
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_is_no_filter() {
    use pointsman::config::model::OnFault;
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).route("/", "shop").filter("random", "{}", OnFault::Reject);
    let edge = edge.start();
    assert_eq!(Client::plain(edge.address()).await.get("/").await.status, 503);
    let problem = edge.plugin("random").problem.expect("it is refused");
    assert!(problem.code == "PM0307" && words(&problem).contains("not a filter"), "{}", words(&problem));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_judged_for_each_pool() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let edge = edge::plain().pool("good", &[&origin]).balancer("ours").pool("bad", &[&origin]).balancer("ours");
    let edge = edge.with(|pool| pool.settings = r#"{"act":"refuse","at":"configure"}"#.into());
    let edge = edge.route("/", "good").route("/bad", "bad").plugins(&plugins).start();
    plugins.put("ours", &guests::guest("misbehaves"));
    eventually("the refusal is told", async || {
        edge.plugin("ours").problem.is_some_and(|problem| problem.code == "PM0305")
    })
    .await;
    let mut client = Client::plain(edge.address()).await;
    assert_eq!((client.get("/").await.text().as_str(), client.get("/bad").await.text().as_str()), ("a", "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_plugin_is_told_with_what_was_meant() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).balancer("least-requests").start();
    let problem = edge.plugin("least-requests").problem.expect("it is missing");
    assert_eq!(problem.code, "PM0309");
    assert!(words(&problem).contains("least-request\""), "{}", words(&problem));
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn strict_refuses_to_start_with_what_cannot_be_loaded() {
    let origin = Origin::named("a");
    let edge =
        edge::plain().pool("shop", &[&origin]).balancer("nobody-knows-it").options(|options| options.strict = true);
    let problems = edge.try_start().err().expect("it does not start");
    assert_eq!(problems.iter().map(|problem| problem.code.to_string()).collect::<Vec<_>>(), ["PM0309"]);
}
