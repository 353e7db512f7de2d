//! Bounds for the shares of backends, whatever the balancer does.

use pointsman::config::model::{HashKey, Share};
use pointsman_tests::{
    client::Client,
    edge::{self, Edge},
    origin::{self, Origin},
};

/// Picks of a worker of which shares are taken.
const WINDOW: usize = 500;

/// Three backends, of which one would get all requests, for they have the same key.
fn lopsided(origins: [&Origin; 3], share: Share) -> Edge {
    let [a, b, c] = origins;
    let edge = edge::plain().workers(1).pool("shop", &[a, b, c]).balancer("maglev");
    let edge = edge.with(|pool| {
        pool.hash = Some(HashKey::Path);
        pool.share = Some(share);
    });
    edge.start()
}

/// The shares of the window that follows `before` picks, in per cent, the greatest first.
async fn shares(edge: &Edge, origins: &[&Origin], before: usize) -> Vec<f64> {
    let mut client = Client::plain(edge.address()).await;
    for _ in 0..before {
        client.get("/").await;
    }
    let had = origin::spread(origins);
    for _ in 0..WINDOW {
        client.get("/").await;
    }
    let window = origin::spread(origins).into_iter().zip(had).map(|(now, had)| now - had);
    let mut shares: Vec<_> = window.map(|picks| picks as f64 * 100.0 / WINDOW as f64).collect();
    shares.sort_by(|a, b| b.total_cmp(a));
    shares
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greatest_share_is_kept_when_all_ask_with_one_key() {
    let [a, b, c] = origin::three();
    let edge = lopsided([&a, &b, &c], Share { least: None, most: Some(40) });
    let shares = shares(&edge, &[&a, &b, &c], WINDOW).await;
    assert!(shares.iter().all(|share| *share <= 40.0), "{shares:?}");
    assert!(shares[0] >= 39.0, "what was chosen keeps what it may have: {shares:?}");
    let shop = edge.pool("shop");
    assert!(shop.share_most > 0 && shop.share_least == 0, "{} {}", shop.share_most, shop.share_least);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_share_is_kept_when_all_ask_with_one_key() {
    let [a, b, c] = origin::three();
    let edge = lopsided([&a, &b, &c], Share { least: Some(10), most: None });
    // A window to see it, another until all have their share.
    let shares = shares(&edge, &[&a, &b, &c], 2 * WINDOW).await;
    assert!(shares[1..].iter().all(|share| (9.0..=11.0).contains(share)), "{shares:?}");
    assert!(edge.pool("shop").share_least > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_left_alone_may_have_all() {
    let origin = Origin::named("a");
    let edge = edge::plain().workers(1).pool("shop", &[&origin]);
    let edge = edge.with(|pool| pool.share = Some(Share { least: Some(20), most: Some(40) })).start();
    assert_eq!(shares(&edge, &[&origin], 0).await, [100.0]);
    let shop = edge.pool("shop");
    assert_eq!((shop.share_least, shop.share_most), (0, 0));
}
