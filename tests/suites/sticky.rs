//! Clients that stay with a backend: by a cookie that nobody can forge, through drains, reloads and other secrets.

use super::reload::{File, is_in_force, shop};
use http::{Method, Request};
use http_body_util::Full;
use pointsman::config::model;
use pointsman_tests::{
    client::{self, Answer, Client},
    edge::{self, Edge},
    guests,
    origin::{self, Origin, Reply, spread},
    plugins::Plugins,
    story::eventually,
};
use std::collections::BTreeSet;

/// A `GET` on a connection of its own, with these cookies.
async fn get(edge: &Edge, cookies: &str) -> Answer {
    let mut client = Client::plain(edge.address()).await;
    let request = Request::get("/").header("cookie", cookies).body(Full::default()).unwrap();
    client.send(request).await.unwrap()
}

/// `NAME=VALUE` of the cookie that came, if one did.
fn cookie(answer: &Answer) -> Option<String> {
    Some(answer.header("set-cookie")?.split(';').next()?.to_owned())
}

fn sticky(pool: &mut model::Pool) {
    pool.cookie = Some(model::Cookie::new("at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stays_with_its_backend_and_new_ones_are_spread() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("sticky-cookie").with(sticky).start();
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        let first = get(&edge, "").await;
        let line = first.header("set-cookie").unwrap();
        assert!(line.starts_with("at=") && line.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{line}");
        let bound = cookie(&first).unwrap();
        for _ in 0..3 {
            let again = get(&edge, &format!("other=1; {bound}")).await;
            assert_eq!((again.text(), again.header("set-cookie")), (first.text(), None));
        }
        seen.insert(first.text());
    }
    assert_eq!(seen.len(), 3, "new clients are for the fallback to choose");
    assert_eq!(edge.plugin("sticky-cookie").faults, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_said_before_it_failed_binds_nobody() {
    let [a, b, c] = origin::three();
    let plugins = Plugins::new();
    plugins.put("ours", &guests::guest("misbehaves"));
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("ours").plugins(&plugins).with(sticky).start();
    let request = Request::get("/").header("x-misbehave", "bind-and-panic").body(Full::default()).unwrap();
    let answer = Client::plain(edge.address()).await.send(request).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie"), edge.plugin("ours").faults), (200, None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_or_foreign_cookie_is_no_cookie() {
    let [a, b, c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b, &c]).balancer("sticky-cookie").with(sticky);
    let edge = edge.pool("other", &[&a, &b, &c]).balancer("sticky-cookie").with(sticky);
    let edge = edge.route("/", "shop").route("/other", "other").start();
    let ours = cookie(&get(&edge, "").await).unwrap();
    let mut client = Client::plain(edge.address()).await;
    let others = cookie(&client.send(client::request(Method::GET, "/other")).await.unwrap()).unwrap();
    let mut forged = ours.clone().into_bytes();
    *forged.last_mut().unwrap() ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    for wrong in [forged.as_str(), &others, "at=", "at=7", &format!("{ours}0"), &format!("at=x; {ours}")] {
        let answer = get(&edge, wrong).await;
        assert!(cookie(&answer).is_some_and(|fresh| fresh != wrong), "{wrong}: bound anew");
    }
    assert!(get(&edge, &ours).await.header("set-cookie").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_drains_keeps_its_clients_and_one_that_is_gone_does_not() {
    let [a, b, _c] = origin::three();
    let edge = edge::plain().pool("shop", &[&a, &b]).balancer("sticky-cookie").with(sticky).start();
    let first = get(&edge, "").await;
    let (bound, name) = (cookie(&first).unwrap(), first.text());
    let (its, other) = if name == "a" { (&a, &b) } else { (&b, &a) };
    let path = format!("/v1/pools/shop/backends/{}/drain", its.address());
    let mut admin = Client::unix(&edge.admin_socket()).await;
    assert_eq!(admin.send(client::request(Method::POST, &path)).await.unwrap().status, 200);
    origin::Origin::forget(its);
    let before = its.requests();
    for _ in 0..4 {
        assert_eq!(get(&edge, &bound).await.text(), name, "it drains, and has its clients still");
        assert_ne!(get(&edge, "").await.text(), name, "and gets no new ones");
    }
    assert_eq!(its.requests(), before + 4);
    its.kill();
    // Also the request that finds it gone is answered, and its client is bound to who answers.
    let moved = get(&edge, &bound).await;
    assert_eq!(moved.status, 200);
    let bound = cookie(&moved).unwrap();
    assert_eq!(get(&edge, &bound).await.header("set-cookie"), None);
    assert!(other.requests() > 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_the_cookie_is_for_tls_alone() {
    let origin = Origin::new(|_| Reply::named("a"));
    let edge = edge::tls().pool("shop", &[&origin]).balancer("sticky-cookie").with(sticky).start();
    let answer = Client::h2(edge.address()).await.get("/").await;
    assert!(answer.header("set-cookie").unwrap().ends_with("; Secure"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_stay_over_reloads_and_until_their_secret_is_left_out() {
    let [a, b, c] = origin::three();
    let backends = [a.address(), b.address(), c.address()];
    let keys = |more: &str| shop(&backends, &format!("balancer = \"sticky-cookie\"\ncookie = {more}\n"));
    let file = File::new(&keys("true"));
    let edge = edge::from_unwatched_file(&file.path());
    let by_chance = get(&edge, "").await;
    let bound = cookie(&by_chance).unwrap();
    assert!(bound.starts_with("pointsman-shop="));
    file.write(&keys("{ ttl = \"1h\" }"));
    assert_eq!(edge.reload().await.changes, ["pool shop: cookie changed"]);
    let again = get(&edge, &bound).await;
    assert_eq!((again.text(), again.header("set-cookie")), (by_chance.text(), None), "the secret of this start stays");

    let (old, new) = ("old-old-old-old-", "new-new-new-new-");
    file.put("key", old);
    file.write(&keys("{ secret_file = \"key\" }"));
    assert_eq!(edge.reload().await.outcome, "applied");
    let first = get(&edge, &bound).await;
    let bound = cookie(&first).expect("another secret");
    for (secrets, stays) in [(format!("{new}\n{old}\n"), true), (format!("{new}\n"), false)] {
        file.put("key", &secrets);
        assert_eq!(edge.reload().await.outcome, "applied");
        let answer = get(&edge, &bound).await;
        assert_eq!(answer.header("set-cookie").is_none(), stays, "{secrets:?}");
        assert!(!stays || answer.text() == first.text());
    }
    let bound = cookie(&get(&edge, "").await).unwrap();
    // What cannot be read changes nothing.
    file.put("key", "short");
    edge.reload().await;
    assert!(get(&edge, &bound).await.header("set-cookie").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_file_is_watched() {
    let [a, b, c] = origin::three();
    let file = File::new("");
    file.put("key", "old-old-old-old-");
    let keys = "balancer = \"sticky-cookie\"\ncookie = { secret_file = \"key\" }\n";
    file.write(&shop(&[a.address(), b.address(), c.address()], keys));
    let edge = edge::from_file(&file.path());
    let bound = cookie(&get(&edge, "").await).unwrap();
    file.put("key", "new-new-new-new-");
    is_in_force(&edge, 1).await;
    eventually("the new secret is in force", async || get(&edge, &bound).await.header("set-cookie").is_some()).await;
    assert!(spread(&[&a, &b, &c]).iter().sum::<u64>() > 1);
}
