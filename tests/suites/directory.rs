//! How plugin files come and go: well, half, twice, unreadable, with their directory. Each story is told twice, with events
//! of the file system and without: looking every two seconds is enough for all of them.

use pointsman::{admin::api::Plugin, app::Options};
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    guests,
    origin::Origin,
    plugins::Plugins,
    story::{PATIENCE, eventually},
};

/// One story, with events and without.
macro_rules! told_twice {
    ($($story:ident)*) => {
        mod with_events {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(true).await;
            })*
        }
        mod without_events {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $story() {
                super::$story(false).await;
            })*
        }
    };
}

told_twice! {
    a_rename_makes_it_live
    a_half_copy_is_waited_for
    a_deleted_file_serves_on
    a_deleted_directory_serves_on_and_comes_back
    a_volume_is_swapped_by_its_link
    an_unreadable_file_is_told
    noise_is_refused_at_once
    the_newest_of_two_quick_ones_serves
    a_file_that_is_too_large_is_not_read
    other_files_are_left_alone
    a_file_at_start_that_is_refused_is_no_outage
}

/// A pool served by `ours`, from a directory.
struct Scene {
    origin: Origin,
    plugins: Plugins,
}

impl Scene {
    fn new() -> Scene {
        Scene { origin: Origin::named("a"), plugins: Plugins::new() }
    }

    fn start(&self, notify: bool) -> Edge {
        let edge = edge::plain().workers(1).pool("shop", &[&self.origin]).balancer("ours").plugins(&self.plugins);
        edge.options(|options| wake(options, notify)).start()
    }
}

/// With events they are all that has the directory looked at: a tick would hide that none came.
fn wake(options: &mut Options, notify: bool) {
    options.notify = notify;
    if notify {
        options.plugins_tick = 10 * PATIENCE;
    }
}

fn component(number: u64) -> Vec<u8> {
    guests::numbered(&guests::stock("random"), number)
}

/// Asks until the plugin is as wanted, and demands that each request is answered.
async fn asks_until(edge: &Edge, what: &str, name: &str, wanted: impl Fn(&Plugin) -> bool) {
    let mut client = Client::plain(edge.address()).await;
    eventually(what, async || {
        assert_eq!(client.get("/").await.text(), "a");
        edge.find_plugin(name).is_some_and(|plugin| wanted(&plugin))
    })
    .await;
}

async fn serves(edge: &Edge, generation: u64) {
    let wanted = |plugin: &Plugin| plugin.generation == Some(generation) && plugin.picks > 0;
    asks_until(edge, "the generation serves", "ours", wanted).await;
    assert_eq!(edge.pool("shop").serving, "plugin");
}

async fn told(edge: &Edge, name: &str, code: &str) {
    let wanted = |plugin: &Plugin| plugin.problem.as_ref().is_some_and(|problem| problem.code == code);
    asks_until(edge, &format!("{code} is told of {name}"), name, wanted).await;
}

async fn a_rename_makes_it_live(notify: bool) {
    let scene = Scene::new();
    let edge = scene.start(notify);
    assert_eq!(edge.pool("shop").serving, "fallback", "there is no plugin yet");
    assert_eq!(edge.plugin("ours").problem.unwrap().code, "PM0309");
    scene.plugins.put("ours", &component(1));
    serves(&edge, 1).await;
    assert!(edge.plugin("ours").problem.is_none());
    scene.plugins.put("ours", &component(2));
    serves(&edge, 2).await;
    // The same bytes again are nothing new.
    scene.plugins.put("ours", &component(2));
    scene.plugins.put("other", &component(9));
    asks_until(&edge, "a later file is seen", "other", |other| other.generation == Some(1)).await;
    assert_eq!(edge.plugin("ours").generation, Some(2));
}

async fn a_half_copy_is_waited_for(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &component(1));
    let edge = scene.start(notify);
    let next = component(2);
    let half = next.len() / 2;
    scene.plugins.remove("ours");
    scene.plugins.write_part("ours", &next, half);
    told(&edge, "ours", "PM0311").await;
    let waiting = edge.plugin("ours");
    assert_eq!((waiting.generation, waiting.problem.unwrap().severity.as_str()), (Some(1), "info"));
    serves(&edge, 1).await;
    scene.plugins.write_rest("ours", &next, half);
    serves(&edge, 2).await;
    assert!(edge.plugin("ours").problem.is_none());
}

async fn a_deleted_file_serves_on(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &component(1));
    let edge = scene.start(notify);
    scene.plugins.remove("ours");
    told(&edge, "ours", "PM0315").await;
    let before = edge.plugin("ours").picks;
    asks_until(&edge, "it picks on", "ours", |ours| ours.picks > before && ours.file.is_none()).await;
    scene.plugins.put("ours", &component(2));
    serves(&edge, 2).await;
}

async fn a_deleted_directory_serves_on_and_comes_back(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &component(1));
    let edge = scene.start(notify);
    scene.plugins.delete_directory();
    let before = edge.plugin("ours").picks;
    asks_until(&edge, "it picks on", "ours", |ours| ours.picks > before + 100).await;
    assert_eq!(edge.pool("shop").serving, "plugin");
    scene.plugins.make_directory();
    scene.plugins.put("ours", &component(2));
    serves(&edge, 2).await;
    // And again, in one breath: the directory is another one, and is watched like the first.
    scene.plugins.delete_directory();
    scene.plugins.make_directory();
    scene.plugins.put("ours", &component(3));
    serves(&edge, 3).await;
    scene.plugins.put("ours", &component(4));
    serves(&edge, 4).await;
}

async fn a_volume_is_swapped_by_its_link(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put_as_volume("1", "ours", &component(1));
    let edge = scene.start(notify);
    serves(&edge, 1).await;
    scene.plugins.put_as_volume("2", "ours", &component(2));
    serves(&edge, 2).await;
    scene.plugins.put_as_volume("3", "ours", &component(3));
    serves(&edge, 3).await;
}

async fn an_unreadable_file_is_told(notify: bool) {
    let scene = Scene::new();
    let edge = scene.start(notify);
    scene.plugins.put_unreadable("ours", &component(1));
    told(&edge, "ours", "PM0308").await;
    assert_eq!(edge.pool("shop").serving, "fallback");
}

async fn noise_is_refused_at_once(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &component(1));
    let edge = scene.start(notify);
    let noise: Vec<u8> = (0..50_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    scene.plugins.put("x", &noise);
    told(&edge, "x", "PM0301").await;
    assert!(edge.plugin("x").generation.is_none());
    scene.plugins.put("ours", &noise);
    told(&edge, "ours", "PM0301").await;
    let ours = edge.plugin("ours");
    assert_eq!((ours.generation, ours.state.as_str()), (Some(1), "serving"));
    assert!(ours.problem.unwrap().headline.contains("not WebAssembly"));
}

async fn the_newest_of_two_quick_ones_serves(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &component(1));
    let edge = scene.start(notify);
    let first = edge.plugin("ours").hash;
    for number in 2..6 {
        scene.plugins.put("ours", &component(number));
    }
    let last = pointsman::plugin::Hash::of(&component(5)).short();
    asks_until(&edge, "the last one serves", "ours", |ours| ours.hash.as_deref() == Some(&last) && ours.picks > 0)
        .await;
    assert_ne!(first.as_deref(), Some(last.as_str()));
}

async fn a_file_that_is_too_large_is_not_read(notify: bool) {
    let scene = Scene::new();
    let edge = edge::plain().pool("shop", &[&scene.origin]).balancer("ours").plugins(&scene.plugins);
    let edge = edge.limits(|limits| limits.size = 10_000).options(|options| wake(options, notify)).start();
    assert!(component(1).len() > 10_000);
    scene.plugins.put("ours", &component(1));
    told(&edge, "ours", "PM0308").await;
    assert!(edge.plugin("ours").problem.unwrap().headline.contains("plugins.size"));
}

async fn other_files_are_left_alone(notify: bool) {
    let scene = Scene::new();
    let edge = scene.start(notify);
    for name in ["notes.txt", ".ours.wasm.tmp", ".hidden.wasm", "ours.wasm.part"] {
        std::fs::write(scene.plugins.path().join(name), component(1)).unwrap();
    }
    std::fs::create_dir(scene.plugins.path().join("folder")).unwrap();
    scene.plugins.put("later", &component(2));
    asks_until(&edge, "a later file is seen", "later", |later| later.generation == Some(1)).await;
    let names: Vec<String> = edge.status().plugins.into_iter().map(|plugin| plugin.name).collect();
    for never in ["notes", "hidden", ".hidden", "folder", ".ours.wasm"] {
        assert!(!names.iter().any(|name| name == never), "{names:?}");
    }
    assert!(edge.plugin("ours").generation.is_none());
}

async fn a_file_at_start_that_is_refused_is_no_outage(notify: bool) {
    let scene = Scene::new();
    scene.plugins.put("ours", &guests::empty_component());
    scene.plugins.put("round-robin", &guests::core_module());
    let edge = edge::plain().pool("shop", &[&scene.origin]).balancer("ours").pool("other", &[&scene.origin]);
    let edge = edge.route("/", "shop").route("/other", "other").plugins(&scene.plugins);
    let edge = edge.options(|options| wake(options, notify)).start();
    told(&edge, "ours", "PM0303").await;
    assert_eq!(edge.pool("shop").serving, "fallback");
    // The refused file's name has an embedded plugin: that one serves.
    told(&edge, "round-robin", "PM0301").await;
    assert_eq!(edge.pool("other").serving, "plugin");
    assert_eq!(edge.plugin("round-robin").origin.as_deref(), Some("embedded"));
    scene.plugins.put("ours", &component(1));
    serves(&edge, 1).await;
}
