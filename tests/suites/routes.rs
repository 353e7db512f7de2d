//! Which route a request takes: listener, host, path; and that all look at one and the same path.

use http::{Method, StatusCode};
use pointsman::config::model::OnFault;
use pointsman_tests::{
    certs,
    client::{self, Client, Raw},
    edge, guests,
    origin::Origin,
    plugins::Plugins,
    story::PATIENCE,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_path_and_the_closest_host_win() {
    let pools = ["any", "exact", "wild", "deep", "deeper"].map(|name| (name, Origin::named(name)));
    let mut builder = edge::plain();
    for (name, origin) in &pools {
        builder = builder.pool(name, &[origin]);
    }
    let edge = builder
        .route("/", "any")
        .route("/", "wild")
        .host("*.shop.test")
        .route("/", "exact")
        .host("eu.shop.test")
        .route("/cart", "deep")
        .host("eu.shop.test")
        .route("/cart/items", "deeper")
        .host("eu.shop.test")
        .start();
    for (host, target, pool) in [
        ("elsewhere.test", "/", "any"),
        ("shop.test", "/cart", "any"),
        ("us.shop.test", "/cart", "wild"),
        ("a.b.shop.test", "/", "wild"),
        ("eu.shop.test", "/", "exact"),
        ("EU.Shop.Test:8443", "/", "exact"),
        ("eu.shop.test", "/cart", "deep"),
        ("eu.shop.test", "/cart/", "deep"),
        ("eu.shop.test", "/cart?x=/cart/items", "deep"),
        ("eu.shop.test", "/cart/items/1", "deeper"),
    ] {
        let mut client = Client::plain(edge.address()).await.host(host);
        assert_eq!(client.get(target).await.text(), pool, "{host}{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_71_a_path_ends_with_a_segment() {
    let (root, cart, items) = (Origin::named("root"), Origin::named("cart"), Origin::named("items"));
    let edge = edge::plain().listen("tls", Some(certs::shop()));
    let edge = edge.pool("root", &[&root]).pool("cart", &[&cart]).pool("items", &[&items]);
    let edge = edge.route("/", "root").route("/cart", "cart").route("/cart/items/", "items").start();
    let clients = [Client::plain(edge.listener("plain")).await, Client::h2(edge.listener("tls")).await];
    for mut client in clients {
        for (target, pool) in [
            ("/cart", "cart"),
            ("/cart/", "cart"),
            ("/cart?oon", "cart"),
            ("/%63art", "cart"),
            ("/cart/oon", "cart"),
            ("/cartoon", "root"),
            ("/cart%6Fon", "root"),
            ("/cart.", "root"),
            ("/cart;a", "root"),
            ("/Cart", "root"),
            ("/cart/items/1", "items"),
            ("/cart/itemsandmore", "cart"),
        ] {
            assert_eq!(client.get(target).await.text(), pool, "{target}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_matches_is_not_found() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).route("/cart", "shop").host("shop.test").start();
    let mut client = Client::plain(edge.address()).await;
    for target in ["/", "/cartoon", "/other/cart"] {
        assert_eq!(client.get(target).await.status, StatusCode::NOT_FOUND, "{target}");
    }
    assert_eq!(client.get("/cart").await.text(), "a", "the connection goes on");
    assert_eq!(Client::plain(edge.address()).await.host("other.test").get("/cart").await.status, StatusCode::NOT_FOUND);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_be_for_one_listener_and_of_equals_the_first_wins() {
    let (inside, outside, never) = (Origin::named("inside"), Origin::named("outside"), Origin::named("never"));
    let edge = edge::plain()
        .listen("internal", None)
        .pool("inside", &[&inside])
        .pool("outside", &[&outside])
        .pool("never", &[&never])
        .route("/", "inside")
        .on("internal")
        .route("/", "outside")
        .route("/", "never")
        .start();
    assert_eq!(Client::plain(edge.listener("plain")).await.get("/").await.text(), "outside");
    assert_eq!(Client::plain(edge.listener("internal")).await.get("/").await.text(), "inside");
}

#[tokio::test(flavor = "multi_thread")]
async fn case_70_all_see_one_and_the_same_path() {
    let (admin, shop) = (Origin::named("admin"), Origin::named("shop"));
    let edge =
        edge::plain().pool("admin", &[&admin]).pool("shop", &[&shop]).route("/", "shop").route("/admin", "admin");
    let edge = edge.start();
    for target in ["/admin", "/a/../admin", "/%2e%2e/../admin", "//admin", "/%61dmin", "/./admin", "/a/%2E%2E/admin"] {
        admin.forget();
        let mut client = Raw::plain(edge.address()).await;
        client.say(format!("GET {target}?q=%61/../b HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
        let heard = client.hear(PATIENCE).await;
        if target.starts_with("/%2e%2e") {
            // Above the root.
            assert_eq!(heard.status(), Some(400), "{target}");
            continue;
        }
        assert_eq!(heard.answer().body, b"admin", "{target}");
        assert_eq!(admin.only().target, "/admin?q=%61/../b", "{target}");
    }
    for target in ["/..", "/a/../..", "/%2e%2e/admin", "/../admin"] {
        let mut client = Raw::plain(edge.address()).await;
        client.say(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n").as_bytes()).await;
        assert_eq!(client.hear(PATIENCE).await.status(), Some(400), "{target}");
    }
    assert_eq!(shop.requests(), 0);
}

/// Its filter would let the client into `/admin` only with a token; its balancer is asked for the path.
#[tokio::test(flavor = "multi_thread")]
async fn case_70_filters_and_balancers_see_that_path_too() {
    let origin = Origin::named("a");
    let plugins = Plugins::new();
    plugins.put("looks", &guests::guest("looks"));
    let edge = edge::plain().pool("shop", &[&origin]).balancer("looks").plugins(&plugins);
    let guarded = r#"{"header":"x-token","value":"secret","status":401}"#;
    let edge =
        edge.route("/", "shop").route("/admin", "shop").filter("require-token", guarded, OnFault::Reject).start();
    let mut open = 0;
    for target in
        ["/admin", "/a/../admin", "//admin", "/%61dmin", "/./admin", "/a/%2E%2E/admin", "/admin/.", "/elsewhere"]
    {
        let mut client = Raw::plain(edge.address()).await;
        client.say(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nX-Look: request\r\n\r\n").as_bytes()).await;
        let status = client.hear(PATIENCE).await.answer().status;
        assert_eq!(status, if target == "/elsewhere" { 200 } else { 401 }, "{target}");
        open += u64::from(status == 200);
        let token = "X-Token: secret";
        client
            .say(format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nX-Look: request\r\n{token}\r\n\r\n").as_bytes())
            .await;
        assert_eq!(client.hear(PATIENCE).await.answer().status, 200, "{target}");
        open += 1;
    }
    let log = edge.log("looks").await;
    let paths: Vec<_> = log.iter().filter(|line| line.starts_with("GET ")).collect();
    assert_eq!(paths.len() as u64, open);
    for line in paths {
        let one = ["Some(\"/admin\")", "Some(\"/admin/\")", "Some(\"/elsewhere\")"];
        assert!(one.iter().any(|path| line.contains(path)), "the balancer saw {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn case_70_the_same_over_http_2() {
    let (admin, shop) = (Origin::named("admin"), Origin::named("shop"));
    let edge = edge::tls().pool("admin", &[&admin]).pool("shop", &[&shop]).route("/", "shop").route("/admin", "admin");
    let edge = edge.start();
    let mut client = Client::h2(edge.address()).await;
    for target in ["/admin", "/a/../admin", "//admin", "/%61dmin"] {
        admin.forget();
        let answer = client.send(client::request(Method::GET, &format!("https://shop.test{target}"))).await.unwrap();
        assert_eq!((answer.text().as_str(), admin.only().target.as_str()), ("admin", "/admin"), "{target}");
    }
    let above = client.send(client::request(Method::GET, "https://shop.test/%2e%2e/admin")).await.unwrap();
    assert_eq!(above.status, StatusCode::BAD_REQUEST);
}
