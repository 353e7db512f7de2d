//! Backends by name: what a name server says becomes members of pools, and what it does not say changes nothing.

use http::{Method, StatusCode};
use pointsman_tests::{
    client::{Client, request},
    dns::{A, AAAA, NameServer, Zone},
    edge::{self, Edge},
    load::{Load, Pace, Target},
    origin::{Gate, Origin, Reply},
    story::eventually,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Requests a second while names change.
const RATE: u32 = 200;

/// Two backends with one port, at two addresses: 127.0.0.1 answers `a`, 127.0.0.2 what it is told to.
fn twins(reply: impl Fn(&pointsman_tests::origin::Seen) -> Reply + Send + Sync + 'static) -> (Origin, Origin) {
    loop {
        let one = Origin::named("a");
        let other = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), one.address().port()));
        // The port may be somebody else's there.
        if std::net::TcpListener::bind(other).is_ok() {
            return (one, Origin::at(other, reply));
        }
    }
}

fn named_twins() -> (Origin, Origin) {
    twins(|_| Reply::named("b"))
}

/// These of 127.0.0.0/24.
fn at(last: &[u8]) -> Zone {
    Zone::Addresses(last.iter().map(|&last| IpAddr::from([127, 0, 0, last])).collect())
}

/// A file with a pool `shop` of these backends, that are asked for at this server.
struct Place {
    home: tempfile::TempDir,
    server: NameServer,
}

impl Place {
    async fn new() -> Place {
        Place { home: tempfile::tempdir().unwrap(), server: NameServer::new().await }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("pointsman.toml")
    }

    fn write(&self, backends: &str) {
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[pool.shop]\nbackends = [{backends}]\n[server]\nresolver = \"{}\"\n",
            self.server.address()
        );
        std::fs::write(self.file(), text).unwrap();
    }

    fn edge(&self, backends: &str) -> Edge {
        self.write(backends);
        edge::from_file(&self.file())
    }
}

fn members(edge: &Edge) -> Vec<String> {
    let mut names: Vec<_> = edge.pool("shop").backends.into_iter().map(|backend| backend.name).collect();
    names.sort();
    names
}

fn amiss(edge: &Edge) -> Option<String> {
    edge.status().amiss.into_iter().find(|it| it.code == "PM0504").map(|it| it.headline)
}

#[tokio::test(flavor = "multi_thread")]
async fn case_60_a_name_that_moves_is_followed_within_its_time() {
    let (a, b) = named_twins();
    let place = Place::new().await;
    place.server.knows("app.test", at(&[1]), 1);
    let name = format!("app.test:{}", a.address().port());
    let edge = place.edge(&format!("\"{name}\""));
    assert_eq!(members(&edge), [format!("{name}/127.0.0.1")]);
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "a");

    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    place.server.knows("app.test", at(&[2]), 1);
    eventually("the new address serves", async || client.get("/").await.text() == "b").await;
    assert_eq!(members(&edge), [format!("{name}/127.0.0.2")]);
    let before = a.requests();
    for _ in 0..20 {
        assert_eq!(client.get("/").await.text(), "b");
    }
    // Both together: who stays keeps its figures, and who is back is checked before it serves.
    let attempts = edge.pool("shop").backends[0].attempts;
    place.server.knows("app.test", at(&[1, 2]), 1);
    eventually("both are members", async || members(&edge).len() == 2).await;
    eventually("the old one serves again", async || a.requests() > before).await;
    let stayed = edge.pool("shop").backends.into_iter().find(|backend| backend.name.ends_with(".2")).unwrap();
    assert!(stayed.attempts >= attempts && b.requests() >= attempts);
    load.stop().await.assert_all_answered();
}

#[tokio::test(flavor = "multi_thread")]
async fn case_60_an_address_that_does_not_answer_gets_no_request() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    place.server.knows("app.test", at(&[1]), 1);
    let edge = place.edge(&format!("\"app.test:{}\"", a.address().port()));
    let load = Load::start(Target::plain(edge.address()), Pace::PerSecond(RATE));
    place.server.knows("app.test", at(&[1, 3]), 1);
    eventually("it is a member", async || members(&edge).len() == 2).await;
    let new = edge.pool("shop").backends.into_iter().find(|backend| backend.name.ends_with(".3")).unwrap();
    assert_eq!((new.standing.as_str(), new.attempts), ("unhealthy", 0));
    load.stop().await.assert_all_answered();
}

#[tokio::test(flavor = "multi_thread")]
async fn case_60_what_is_under_way_at_an_address_that_is_gone_ends_well() {
    let gate = Gate::default();
    let open = gate.clone();
    let (a, _b) = twins(move |_| Reply::open_until(&open, Duration::from_millis(20)));
    let place = Place::new().await;
    place.server.knows("app.test", at(&[2]), 1);
    let edge = place.edge(&format!("\"app.test:{}\"", a.address().port()));
    let mut client = Client::plain(edge.address()).await;
    let mut answer = client.open(request(Method::GET, "/")).await.unwrap();
    assert!(answer.piece().await.unwrap().is_some());
    place.server.knows("app.test", at(&[1]), 1);
    eventually("another address serves", async || members(&edge)[0].ends_with(".1")).await;
    assert_eq!(Client::plain(edge.address()).await.get("/").await.text(), "a");
    assert!(answer.piece().await.unwrap().is_some(), "it goes on");
    gate.open();
    while answer.piece().await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn case_60_a_server_that_knows_nothing_takes_no_backend_away() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    place.server.knows("app.test", at(&[1]), 0);
    let edge = place.edge(&format!("\"app.test:{}\"", a.address().port()));
    let mut client = Client::plain(edge.address()).await;
    for (zone, said) in [
        (Zone::Nothing, "there is no such name"),
        (at(&[]), "the name has no address"),
        (Zone::Failure, "Server Failure"),
    ] {
        place.server.knows("app.test", zone, 0);
        eventually(said, async || amiss(&edge).is_some_and(|told| told.contains(said))).await;
        assert_eq!((members(&edge).len(), client.get("/").await.text().as_str()), (1, "a"), "{said}");
        place.server.knows("app.test", at(&[1]), 0);
        eventually("all is well again", async || amiss(&edge).is_none()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_knows_is_no_outage_of_the_rest_and_serves_when_it_is_known() {
    let (a, _b) = named_twins();
    let rest = Origin::named("rest");
    let place = Place::new().await;
    let edge = place.edge(&format!("\"app.test:{}\", \"{}\"", a.address().port(), rest.address()));
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "rest");
    assert_eq!(amiss(&edge).as_deref(), Some("app.test cannot be looked up: there is no such name"));
    place.server.knows("app.test", at(&[1]), 60);
    eventually("it serves", async || client.get("/").await.text() == "a").await;
    eventually("that is told", async || amiss(&edge).is_none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_names_alone_begins_without_any() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    let edge = place.edge(&format!("\"app.test:{}\"", a.address().port()));
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.status, StatusCode::SERVICE_UNAVAILABLE);
    place.server.knows("app.test", at(&[1]), 60);
    eventually("it serves", async || client.get("/").await.text() == "a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_asks_for_new_names_alone_and_leaves_members_and_orders_as_they_are() {
    let (a, b) = named_twins();
    let place = Place::new().await;
    place.server.knows("app.test", at(&[1, 2]), 60);
    place.server.knows("more.test", at(&[1]), 60);
    let name = format!("app.test:{}", a.address().port());
    let edge = place.edge(&format!("\"{name}\""));
    let mut client = Client::plain(edge.address()).await;
    client.get("/").await;
    let order = format!("/v1/pools/shop/backends/{}%2F127.0.0.1/drain", name.replace(':', "%3A"));
    edge.admin().await.send(request(Method::POST, &order)).await.unwrap();
    let (asked, served) = (place.server.asked("app.test"), b.requests());

    place.write(&format!("\"{name}\", \"more.test:{}\"", a.address().port()));
    eventually("the file is in force", async || members(&edge).len() == 3).await;
    assert_eq!(place.server.asked("app.test"), asked, "what is known is not asked for again");
    let standing = |name: &str| {
        edge.pool("shop").backends.into_iter().find(|b| b.name.ends_with(name)).map(|b| b.standing).unwrap()
    };
    assert_eq!(standing(&format!("{name}/127.0.0.1")), "draining");
    eventually("who stays serves", async || client.get("/").await.text() == "b").await;
    assert!(b.requests() > served);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_server_is_asked_at_once_and_a_silent_one_takes_nothing_away() {
    let (a, _b) = named_twins();
    let mut place = Place::new().await;
    place.server.knows("app.test", at(&[1]), 300);
    let backend = format!("\"app.test:{}\"", a.address().port());
    let edge = place.edge(&backend);
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "a");
    for (zone, expected) in [(at(&[2]), "b"), (Zone::Silence, "b")] {
        place.server = NameServer::new().await;
        place.server.knows("app.test", zone.clone(), 300);
        place.write(&backend);
        eventually("it is asked", async || place.server.asked("app.test") > 0).await;
        match zone {
            Zone::Silence => eventually("that it is silent is told", async || amiss(&edge).is_some()).await,
            _ => eventually("it is believed", async || members(&edge)[0].ends_with(".2")).await,
        }
        assert_eq!(client.get("/").await.text(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_tells_ports_tiers_and_weights() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let (one, other) = (a.address().port(), b.address().port());
    let place = Place::new().await;
    let services = vec![(1, 0, one, "x.test"), (2, 60_000, other, "y.test")];
    place.server.knows("_http._tcp.app.test", Zone::Services(services), 1);
    place.server.knows("x.test", Zone::Alias("z.test"), 1);
    place.server.knows("z.test", at(&[1]), 1);
    place.server.knows("y.test", at(&[1]), 1);
    let edge = place.edge("{ address = \"srv:_http._tcp.app.test\", name = \"app\" }");
    let expected = [format!("app/127.0.0.1:{one}"), format!("app/127.0.0.1:{other}")];
    let found = members(&edge);
    assert!(expected.iter().all(|name| found.contains(name)) && found.len() == 2, "{found:?}");
    let weights: Vec<u32> = edge.pool("shop").backends.iter().map(|backend| backend.weight).collect();
    assert_eq!(weights, [1, 1000]);
    let mut client = Client::plain(edge.address()).await;
    assert_eq!(client.get("/").await.text(), "a", "the first tier serves");
    // A host that nobody can say anything of now is where it was.
    place.server.knows("x.test", Zone::Failure, 1);
    let asked = place.server.asked("x.test");
    eventually("it is asked for again", async || place.server.asked("x.test") > asked + 8).await;
    assert_eq!((members(&edge).len(), client.get("/").await.text().as_str()), (2, "a"));
    place.server.knows("_http._tcp.app.test", Zone::Services(vec![(2, 0, other, "y.test")]), 1);
    eventually("the service has moved", async || client.get("/").await.text() == "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_that_nobody_can_say_anything_of_stays_as_it_was() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    let both = || Zone::Addresses(vec![Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]);
    place.server.knows("app.test", both(), 1);
    let name = format!("app.test:{}", a.address().port());
    let edge = place.edge(&format!("\"{name}\""));
    let expected = [format!("{name}/127.0.0.1"), format!("{name}/::1")];
    assert_eq!(members(&edge), expected);
    // Its servers know the one family, and fail for the other.
    place.server.knows("app.test", Zone::Only(Box::new(both()), AAAA), 1);
    let asked = place.server.asked("app.test");
    eventually("it is asked for again", async || place.server.asked("app.test") > asked + 8).await;
    assert_eq!(members(&edge), expected);
    // That there is none is another thing.
    place.server.knows("app.test", Zone::Addresses(vec![std::net::Ipv6Addr::LOCALHOST.into()]), 1);
    eventually("one is gone", async || members(&edge) == expected[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_family_holds_up_nothing_and_is_asked_for_again_soon() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    place.server.knows("app.test", Zone::Silent(Box::new(at(&[1])), A), 300);
    let name = format!("app.test:{}", a.address().port());
    let edge = place.edge(&format!("\"{name}\""));
    let mut client = Client::plain(edge.address()).await;
    eventually("the other family serves", async || client.get("/").await.text() == "a").await;
    assert_eq!(amiss(&edge), None);
    let both = Zone::Addresses(vec![Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()]);
    place.server.knows("app.test", both, 300);
    eventually("it is heard", async || members(&edge) == [format!("{name}/127.0.0.1"), format!("{name}/::1")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_of_a_service_holds_up_no_other_and_is_asked_for_again_soon() {
    let [a, b] = ["a", "b"].map(Origin::named);
    let place = Place::new().await;
    let services = vec![(1, 0, b.address().port(), "silent.test"), (2, 0, a.address().port(), "x.test")];
    place.server.knows("_http._tcp.app.test", Zone::Services(services), 300);
    place.server.knows("silent.test", Zone::Silence, 300);
    place.server.knows("x.test", at(&[1]), 300);
    let edge = place.edge("\"srv:_http._tcp.app.test\"");
    let mut client = Client::plain(edge.address()).await;
    eventually("the other serves", async || client.get("/").await.text() == "a").await;
    place.server.knows("silent.test", at(&[1]), 300);
    eventually("it is heard", async || client.get("/").await.text() == "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_service_with_too_many_hosts_the_first_tiers_serve() {
    let place = Place::new().await;
    // By name the first tier is last.
    let hosts: Vec<&'static str> = (0..70).map(|n| &*format!("h{}.test", 99 - n).leak()).collect();
    hosts.iter().for_each(|host| place.server.knows(host, at(&[1]), 300));
    let services = (0u16..).zip(&hosts).map(|(n, host)| (n, 0, 1000 + n, *host));
    place.server.knows("_http._tcp.app.test", Zone::Services(services.collect()), 300);
    let edge = place.edge("{ address = \"srv:_http._tcp.app.test\", name = \"app\" }");
    let expected: Vec<String> = (0..64).map(|n| format!("app/127.0.0.1:{}", 1000 + n)).collect();
    eventually("they are members", async || members(&edge) == expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_addresses_than_fit_into_a_datagram_are_asked_for_over_a_connection() {
    let (a, _b) = named_twins();
    let place = Place::new().await;
    let many: Vec<u8> = (1..=40).collect();
    place.server.knows("app.test", at(&many), 60);
    let edge = place.edge(&format!("\"app.test:{}\"", a.address().port()));
    assert_eq!(members(&edge).len(), 40);
}
