//! Generations that served well come back: by themselves when their successor is quarantined, or by an operator's word.

use http::{Method, Request, StatusCode};
use pointsman::{
    admin::api::{Generation, Steered},
    config::model::OnFault,
};
use pointsman_tests::{
    cli::Room,
    client::{self, Client},
    edge::{self, Edge},
    guests,
    load::{Load, Pace, Target},
    origin::{self, Origin},
    plugins::Plugins,
    story::eventually,
};
use serde_json::Value;

const RATE: u32 = 400;
/// What may fall back while a good generation takes over: as many requests as come in 10 ms, on a machine where a burst of
/// the load may come late and together.
const MISSED_MOST: u64 = RATE as u64 / 100 * 5;

fn good() -> Vec<u8> {
    guests::stock("round-robin")
}

/// Round robin that does what a request's `x-misbehave` header says.
fn bad() -> Vec<u8> {
    guests::guest("misbehaves")
}

async fn history(edge: &Edge, name: &str) -> Vec<Generation> {
    let answer = edge.admin().await.get(&format!("/v1/plugins/{name}/history")).await;
    serde_json::from_slice(&answer.body).expect("generations")
}

/// Has it done; what was said when it was not.
async fn steer(edge: &Edge, what: &str) -> Result<Steered, String> {
    let call = client::request(Method::POST, &format!("/v1/plugins/ours/{what}"));
    let answer = edge.admin().await.send(call).await.unwrap();
    match answer.status {
        StatusCode::OK => Ok(serde_json::from_slice(&answer.body).expect("what came of it")),
        _ => Err(answer.text()),
    }
}

/// One request in which the plugin panics, if it is asked.
async fn provoke(client: &mut Client) -> StatusCode {
    let request = Request::get("/").header("x-misbehave", "panic").body(Default::default()).unwrap();
    client.send(request).await.unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_generation_comes_back_by_itself_and_at_once() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &good());
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).start();
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    eventually("the first one picks", async || edge.plugin("ours").picks > 50).await;
    plugins.put("ours", &bad());
    eventually("the second one picks", async || {
        let ours = edge.plugin("ours");
        ours.generation == Some(2) && ours.picks > 50
    })
    .await;

    let mut client = Client::plain(edge.address()).await;
    eventually("it is rolled back", async || {
        assert_eq!(provoke(&mut client).await, StatusCode::OK);
        edge.plugin("ours").generation == Some(1)
    })
    .await;
    let picks = edge.plugin("ours").picks;
    eventually("the first one picks on", async || edge.plugin("ours").picks > picks + 100).await;

    let ours = edge.plugin("ours");
    assert_eq!((ours.state.as_str(), ours.faults), ("serving", 0));
    assert!(ours.fallbacks <= MISSED_MOST, "{} requests missed it", ours.fallbacks);
    let held = ours.held_back.clone().expect("its file is held back");
    assert_eq!(held.why, "quarantined");
    let problem = ours.problem.expect("it is told");
    assert_eq!(problem.code, "PM0404");
    assert!(problem.headline.contains("ours.wasm"), "{}", problem.headline);
    let kept = history(&edge, "ours").await;
    let told: Vec<_> = kept.iter().map(|g| (g.generation, g.state.as_str())).collect();
    assert_eq!(told, [(1, "serving"), (2, "quarantined")]);
    assert_eq!((kept[1].faults, &kept[1].hash), (5, &held.hash));
    let shop = edge.pool("shop");
    assert_eq!((shop.serving.as_str(), shop.balancer.unwrap().generation), ("plugin", 1));

    // The same bytes are not tried again, however they come; others are.
    plugins.remove("ours");
    eventually("the removal is seen", async || edge.plugin("ours").file.is_none()).await;
    plugins.put("ours", &bad());
    eventually("the file is seen", async || edge.plugin("ours").file.is_some()).await;
    assert_eq!(edge.plugin("ours").generation, Some(1));
    plugins.put("ours", &guests::stock("least-request"));
    eventually("others serve", async || edge.plugin("ours").generation == Some(3)).await;
    assert!(edge.plugin("ours").held_back.is_none() && edge.plugin("ours").problem.is_none());
    let report = load.stop().await;
    report.assert_all_answered();
    assert_eq!(edge.plugin("ours").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_comes_back_and_at_last_the_fallback() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    for generation in 1..=3 {
        plugins.put("ours", &guests::numbered(&bad(), generation));
        eventually("it serves", async || edge.plugin("ours").generation == Some(generation)).await;
    }
    let mut client = Client::plain(edge.address()).await;
    for generation in [2, 1] {
        eventually("an earlier one serves", async || {
            assert_eq!(provoke(&mut client).await, StatusCode::OK);
            edge.plugin("ours").generation == Some(generation)
        })
        .await;
    }
    eventually("nobody is left", async || {
        assert_eq!(provoke(&mut client).await, StatusCode::OK);
        edge.plugin("ours").state == "quarantined"
    })
    .await;
    assert_eq!(edge.pool("shop").serving, "fallback");
    let states: Vec<_> = history(&edge, "ours").await.into_iter().map(|g| (g.generation, g.state)).collect();
    assert_eq!(states, [1, 3, 2].map(|number| (number, "quarantined".to_owned())));
    assert!(steer(&edge, "rollback").await.unwrap_err().contains("PM0405"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_comes_back_too() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let edits = guests::guest("edits");
    plugins.put("ours", &edits);
    let edge = edge::plain().workers(1).pool("shop", &[&origin]).plugins(&plugins).route("/", "shop");
    // It fails in requests that say so.
    let edge = edge.filter("ours", r#"{"do":[["only-if","x-now"],["panic"]]}"#, OnFault::Reject).start();
    plugins.put("ours", &guests::numbered(&edits, 1));
    eventually("the second one serves", async || edge.plugin("ours").generation == Some(2)).await;
    let mut client = Client::plain(edge.address()).await;
    eventually("the first one is back", async || {
        let request = Request::get("/").header("x-now", "1").body(Default::default()).unwrap();
        client.send(request).await.unwrap();
        edge.plugin("ours").generation == Some(1)
    })
    .await;
    assert_eq!(client.get("/").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_goes_back_and_forth_and_pins() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    let edge = edge::plain().pool("shop", &[&origin]).balancer("ours").plugins(&plugins).start();
    assert!(steer(&edge, "rollback").await.unwrap_err().contains("no generation of ours was admitted"));
    let mut hashes = Vec::new();
    for number in 1..=8 {
        plugins.put("ours", &guests::numbered(&good(), number));
        eventually("it serves", async || edge.plugin("ours").generation == Some(number)).await;
        hashes.push(edge.plugin("ours").hash.unwrap());
    }
    let numbers = async || history(&edge, "ours").await.iter().map(|g| g.generation).collect::<Vec<_>>();
    assert_eq!(numbers().await, [8, 7, 6, 5, 4, 3], "five are kept");
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(100));

    let back = steer(&edge, "rollback").await.unwrap();
    assert_eq!((back.from.as_str(), back.to.as_str(), back.generation), (&*hashes[7], &*hashes[6], 7));
    assert_eq!(back.held_back.unwrap().why, "rolled-back");
    let back = steer(&edge, &format!("rollback/{}", hashes[3])).await.unwrap();
    assert_eq!((back.generation, back.held_back.unwrap().hash), (4, hashes[7].clone()));
    assert!(steer(&edge, &format!("rollback/{}", hashes[0])).await.unwrap_err().contains("kept: "));
    // What an operator went back from is followed again when he says so.
    let forth = steer(&edge, "unpin").await.unwrap();
    assert_eq!((forth.generation, forth.held_back), (8, None));

    let pinned = steer(&edge, "pin").await.unwrap();
    assert!(pinned.pinned && pinned.generation == 8);
    plugins.put("ours", &guests::stock("least-request"));
    eventually("the new file is held back", async || edge.plugin("ours").held_back.is_some()).await;
    let ours = edge.plugin("ours");
    assert_eq!((ours.generation, ours.pinned, ours.held_back.unwrap().why.as_str()), (Some(8), true, "pinned"));
    assert_eq!(ours.problem.unwrap().code, "PM0404");
    let free = steer(&edge, "unpin").await.unwrap();
    assert_eq!((free.generation, free.pinned, free.held_back), (9, false, None));
    assert!(edge.plugin("ours").problem.is_none());
    load.stop().await.assert_all_answered();
    let all = history(&edge, "ours").await;
    assert!(all.iter().all(|generation| generation.faults + generation.fallbacks == 0), "{all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_say_what_came_of_it() {
    let origin = Origin::named("a");
    let room = Room::new();
    let config = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.shop]\nbackends = [\"{}\"]\nbalancer = \"ours\"\n\
         [plugins]\ndirectory = \"plugins\"\n",
        origin.address()
    );
    std::fs::create_dir_all(room.path().join("plugins")).unwrap();
    room.write("pointsman.toml", &config);
    std::fs::write(room.path().join("ours.wasm"), good()).unwrap();
    std::fs::copy(room.path().join("ours.wasm"), room.path().join("plugins/ours.wasm")).unwrap();
    let running = room.start(&["run"]);
    running.logs("is live").await;
    std::fs::write(room.path().join("ours.wasm"), guests::numbered(&good(), 1)).unwrap();
    let run = async |arguments: &[&str]| {
        let said = room.run(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    };
    run(&["plugin", "install", "ours.wasm"]).await;

    let said = run(&["plugin", "rollback", "ours"]).await;
    assert!(said.contains(" → ") && said.contains("`pointsman plugin unpin ours` follows it again"), "{said}");
    running.logs("an operator says so").await;
    for command in ["status", "plugin ls"] {
        let said = run(&command.split(' ').collect::<Vec<_>>()).await;
        assert!(said.contains("PM0404") && said.contains("ours.wasm"), "{said}");
    }
    let kept: Value = serde_json::from_str(&run(&["plugin", "history", "ours", "--json"]).await).unwrap();
    assert_eq!((&kept[0]["state"], &kept[1]["state"]), (&"serving".into(), &"past".into()));
    let hash = kept[1]["hash"].as_str().unwrap();
    assert!(run(&["plugin", "history", "ours"]).await.contains(hash));
    let said = run(&["plugin", "pin", "ours", hash]).await;
    assert!(said.contains("generation 2, pinned"), "{said}");
    assert!(run(&["plugin", "ls"]).await.contains("serving,pinned"));
    let steered: Value = serde_json::from_str(&run(&["plugin", "unpin", "ours", "--json"]).await).unwrap();
    assert_eq!((&steered["pinned"], &steered["generation"]), (&false.into(), &2.into()));
    let refused = room.run(&["plugin", "rollback", "ours", "0000000"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("PM0405") && refused.stderr.contains(hash), "{}", refused.stderr);
}
