//! The end: what is under way ends as it should, nothing new begins. The numbers are those of the acceptance list.

use http::{Method, StatusCode};
use pointsman_tests::{
    client::{self, Client, Raw},
    edge,
    origin::{Gate, Origin, Reply},
    story::{PATIENCE, eventually},
};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn case_61_what_is_under_way_ends_well_and_nothing_new_begins() {
    let gate = Gate::default();
    let open = gate.clone();
    let origin = Origin::new(move |_| Reply::open_until(&open, Duration::from_millis(20)));
    let edge = edge::tls().listen("plain", None).pool("shop", &[&origin]).drain(PATIENCE).start();
    let (tls, plain) = (edge.listener("tls"), edge.listener("plain"));
    let mut h1 = Client::plain(plain).await;
    let mut h2 = Client::h2(tls).await;
    let mut first = h1.open(client::request(Method::GET, "/")).await.unwrap();
    let mut second = h2.open(client::request(Method::GET, "/")).await.unwrap();
    let mut idle = Raw::plain(plain).await;
    assert!(first.piece().await.unwrap().is_some() && second.piece().await.unwrap().is_some());

    let stopping = tokio::spawn(edge.stop());
    eventually("the listeners are closed", async || Raw::try_plain(plain).await.is_err()).await;
    assert!(idle.ends(PATIENCE).await, "who asks for nothing is let go");
    assert!(first.piece().await.unwrap().is_some() && second.piece().await.unwrap().is_some(), "bodies go on");
    gate.open();
    for answer in [first, second] {
        assert!(answer.rest().await.expect("it ends well").text().ends_with("last"));
    }
    let drained = tokio::time::timeout(PATIENCE, stopping).await.expect("it ends").unwrap();
    assert_eq!(drained.cut_off, 0);
    eventually("the connections are closed", async || h1.is_closed() && h2.is_closed()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_cut_off_and_counted() {
    let origin = Origin::new(|_| Reply::open_until(&Gate::default(), Duration::from_millis(20)));
    let edge = edge::plain().pool("shop", &[&origin]).drain(Duration::from_millis(300)).start();
    let mut client = Client::plain(edge.address()).await;
    let mut answer = client.open(client::request(Method::GET, "/")).await.unwrap();
    assert!(answer.piece().await.unwrap().is_some());
    let begun = Instant::now();
    let drained = edge.stop().await;
    assert!(drained.cut_off >= 1, "{drained:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300), "it was given its time");
    assert!(answer.rest().await.is_err(), "a body that was cut off does not look whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_with_the_signal_is_answered_or_never_begun() {
    let origin = Origin::named("a");
    let edge = edge::plain().pool("shop", &[&origin]).start();
    let address = edge.address();
    let mut kept = Client::plain(address).await;
    assert_eq!(kept.get("/").await.status, StatusCode::OK);
    let stopping = tokio::spawn(edge.stop());
    let mut answered = 1;
    // Until the connection is closed under it: each request that was sent whole is answered whole, or its connection
    // ends without the backend having heard of it.
    while let Ok(answer) = kept.send(client::request(Method::GET, "/")).await {
        assert_eq!(answer.text(), "a");
        answered += 1;
        assert!(answered < 100_000, "it never stops");
    }
    stopping.await.unwrap();
    assert_eq!(origin.requests(), answered);
}
