//! Socket files on both sides: a listener, a backend, and one Pointsman behind another.

use pointsman::config::model::Network;
use pointsman_tests::{client::Client, edge, origin::Origin, story::eventually};
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn socket() -> (TempDir, PathBuf) {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("shop.sock");
    (room, path)
}

fn behind(path: &Path, origin: &Origin) -> edge::Builder {
    edge::plain().listener(|listener| listener.address = path.into()).pool("shop", &[origin])
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pointsman_serves_another_over_a_socket_file() {
    let (_room, path) = socket();
    let origin = Origin::named("a");
    let inner = behind(&path, &origin).start();
    let outer = edge::plain().pool("inner", &[&path]).start();
    let mut client = Client::plain(outer.address()).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.text(), "a");
    }
    assert_eq!(outer.pool("inner").backends[0].address, format!("unix:{}", path.display()));
    drop((outer, inner));
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_of_a_socket_file_have_no_address_and_are_believed_when_told_to() {
    for (trusted, told) in [(vec![], "unknown"), (vec![Network::UNIX], "192.0.2.7, unknown")] {
        let (_room, path) = socket();
        let origin = Origin::named("a");
        let _edge = behind(&path, &origin).listener(|listener| listener.trusted_proxies = trusted).start();
        let mut request = pointsman_tests::client::request(http::Method::GET, "/");
        request.headers_mut().insert("x-forwarded-for", "192.0.2.7".parse().unwrap());
        assert_eq!(Client::unix(&path).await.send(request).await.unwrap().status, 200);
        assert_eq!(origin.only().header("x-forwarded-for"), Some(told));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_file_has_its_mode_and_goes_at_the_end() {
    let (_room, path) = socket();
    let origin = Origin::named("a");
    // Its process died without removing it.
    drop(UnixListener::bind(&path).unwrap());
    let edge = behind(&path, &origin).listener(|listener| listener.mode = 0o640).start();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    // Somebody answers there now.
    let Err(refused) = behind(&path, &origin).try_start() else { panic!("two on one socket file") };
    assert!(refused[0].headline.contains("somebody answers there"), "{refused:?}");
    assert_eq!(Client::unix(&path).await.get("/").await.text(), "a");
    edge.stop().await;
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_comes_and_goes_is_found_by_its_file() {
    let (_room, path) = socket();
    let origin = Origin::named("a");
    let outer = edge::plain().pool("inner", &[&path]).start();
    assert_eq!(Client::plain(outer.address()).await.get("/").await.status, 503);
    let inner = behind(&path, &origin).start();
    eventually("it is ready", async || outer.pool("inner").backends[0].standing == "ready").await;
    assert_eq!(Client::plain(outer.address()).await.get("/").await.text(), "a");
    inner.stop().await;
    eventually("it is out", async || outer.pool("inner").backends[0].standing == "unhealthy").await;
}
