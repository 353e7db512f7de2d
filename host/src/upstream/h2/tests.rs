//! The line for a place, against a backend that takes one stream on each connection.

use crate::{
    config::model,
    figures::Figures,
    net::Head,
    upstream::{Connection, Connections, Error, ErrorKind, Pool, Purpose, tests::head},
};
use bytes::Bytes;
use std::{future::poll_fn, pin::Pin, rc::Rc, sync::Arc, task::Poll, time::Duration};
use tokio::{net::TcpListener, task::LocalSet, time::Instant};

type Asking<'a> = Pin<Box<dyn Future<Output = Result<Connection, Error>> + 'a>>;

/// A pool with one backend that takes one stream on each connection, and one worker's connections.
struct Scene {
    connections: Rc<Connections>,
    pool: Arc<Pool>,
    head: Head,
}

impl Scene {
    async fn new() -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = model::Backend::new("one", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    let mut connection = builder.max_concurrent_streams(1).handshake::<_, Bytes>(stream).await.unwrap();
                    while connection.accept().await.is_some() {}
                });
            }
        });
        let config = model::Pool::new("shop", vec![backend]);
        Scene::of(config)
    }

    /// The backend takes connections in, and says nothing in the handshake.
    async fn mute() -> (Scene, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let backend = model::Backend::new("mute", listener.local_addr().unwrap());
        let tls = model::BackendTls { dangerous_skip_verification: true, ..model::BackendTls::default() };
        (Scene::of(model::Pool { tls: Some(tls), ..model::Pool::new("shop", vec![backend]) }), listener)
    }

    fn of(mut config: model::Pool) -> Scene {
        config.protocol = model::Protocol::Http2;
        config.timeout.connect = Duration::from_secs(20);
        Scene { connections: Connections::new(), pool: Pool::new(&config, &Figures::default()).unwrap(), head: head() }
    }

    fn ask(&self) -> Asking<'_> {
        let backend = &self.pool.backends[0];
        Box::pin(self.connections.checkout(backend, &self.head, Purpose::Exchange, &self.pool.timeout))
    }

    /// All places on all connections.
    async fn fill(&self) -> Vec<Connection> {
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(self.ask().await.unwrap());
        }
        places
    }
}

/// Looks once.
async fn waits(asking: &mut Asking<'_>) -> bool {
    poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_pending())).await
}

#[tokio::test]
async fn who_waits_for_a_place_is_not_overtaken() {
    let story = async {
        let scene = Scene::new().await;
        let mut places = scene.fill().await;
        let mut first = scene.ask();
        assert!(waits(&mut first).await);
        drop(places.pop());
        // It is the first one's, which has not looked yet.
        let mut second = scene.ask();
        assert!(waits(&mut second).await);
        let place = first.await.unwrap();
        assert!(waits(&mut second).await);
        drop(place);
        assert!(second.await.is_ok());
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test]
async fn who_leaves_the_line_leaves_the_place_to_the_next() {
    let story = async {
        let scene = Scene::new().await;
        let mut places = scene.fill().await;
        let (mut first, mut second, mut third) = (scene.ask(), scene.ask(), scene.ask());
        for asking in [&mut first, &mut second, &mut third] {
            assert!(waits(asking).await);
        }
        // One before it is called, one after.
        drop(first);
        drop(places.pop());
        drop(second);
        assert!(third.await.is_ok());
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test]
async fn who_waits_for_a_place_was_not_asked_of_the_backend() {
    let story = async {
        let scene = Scene::new().await;
        let mut places = scene.fill().await;
        let backend = &scene.pool.backends[0];
        let _attempt = backend.begin(Instant::now()).unwrap();
        let mut asking = scene.ask();
        assert!(waits(&mut asking).await);
        assert_eq!((backend.figures.waiting(), backend.figures.in_flight()), (0, 1));
        drop(places.pop());
        let _place = asking.await.unwrap();
        assert_eq!((backend.figures.waiting(), backend.figures.in_flight()), (1, 1));
    };
    LocalSet::new().run_until(story).await;
}

#[tokio::test(start_paused = true)]
async fn behind_one_that_connects_in_vain_it_is_the_backend_that_is_waited_for() {
    let story = async {
        let (scene, _listener) = Scene::mute().await;
        let (mut first, mut second) = (scene.ask(), scene.ask());
        assert!(waits(&mut first).await && waits(&mut second).await);
        let error = second.await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::ConnectTimeout(_)) && !error.is_overload(), "{error}");
        assert!(matches!(first.await.unwrap_err().kind, ErrorKind::ConnectTimeout(_)));
    };
    LocalSet::new().run_until(story).await;
}
