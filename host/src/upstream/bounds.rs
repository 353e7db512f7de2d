//! How many requests a pool has at the same time, and each of its backends. What is beyond waits in the pool's [`Queue`].

use crate::{config::model::PoolLimit, figures::Queue};
use std::sync::{
    Arc,
    atomic::{
        AtomicU32,
        Ordering::{Relaxed, SeqCst},
    },
};

/// One pool's limits, and who is under way. A pool has the same ones for its life: who came, or waits, under other limits
/// counts under these.
#[derive(Debug)]
pub struct Bounds {
    /// Where its requests wait.
    pub queue: Arc<Queue>,
    /// The largest number: no limit.
    requests: AtomicU32,
    backend_requests: AtomicU32,
    backend_connections: AtomicU32,
    under_way: AtomicU32,
}

/// The right to be one of the pool's requests, until it is dropped.
#[derive(Debug)]
pub struct Permit(Arc<Bounds>);

impl Bounds {
    pub(super) fn new(queue: Arc<Queue>, limit: Option<&PoolLimit>) -> Bounds {
        let none = || AtomicU32::new(u32::MAX);
        let bounds = Bounds {
            queue,
            requests: none(),
            backend_requests: none(),
            backend_connections: none(),
            under_way: AtomicU32::new(0),
        };
        bounds.set(limit);
        bounds
    }

    /// These hold from now on; who waits looks whether there is room.
    pub(super) fn set(&self, limit: Option<&PoolLimit>) {
        let set = |to: &AtomicU32, most: Option<u32>| to.store(most.unwrap_or(u32::MAX), Relaxed);
        set(&self.requests, limit.and_then(|limit| limit.requests));
        set(&self.backend_requests, limit.and_then(|limit| limit.backend_requests));
        set(&self.backend_connections, limit.and_then(|limit| limit.backend_connections));
        self.queue.freed();
    }

    /// One more, if there may be one.
    pub fn admit(self: &Arc<Self>) -> Option<Permit> {
        let most = self.requests.load(Relaxed);
        let one_more = |under_way| (under_way < most).then_some(under_way + 1);
        self.under_way.fetch_update(SeqCst, SeqCst, one_more).ok()?;
        Some(Permit(self.clone()))
    }

    /// How many requests each backend may have.
    pub(super) fn backend_requests(&self) -> u32 {
        self.backend_requests.load(Relaxed)
    }

    /// How many connections each backend may have.
    pub(super) fn backend_connections(&self) -> u32 {
        self.backend_connections.load(Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // In one order with the length of the line: see `Queue`.
        self.0.under_way.fetch_sub(1, SeqCst);
        self.0.queue.freed();
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::model::{self, PoolLimit},
        figures::{Figures, Place, Standing},
        upstream::Pool,
    };
    use std::{
        future::Future,
        net::SocketAddr,
        pin::pin,
        sync::Arc,
        task::{Context, Waker},
    };
    use tokio::time::Instant;

    /// A pool of two, of which the first is ready, through its reloads.
    struct Scene {
        figures: Figures,
        config: model::Pool,
        pool: Arc<Pool>,
    }

    impl Scene {
        fn new(limit: Option<PoolLimit>) -> Scene {
            let backend = |number: u16| {
                model::Backend::new(format!("b{number}"), SocketAddr::from(([127, 0, 0, 1], 9000 + number)))
            };
            let config = model::Pool { limit, ..model::Pool::new("shop", vec![backend(0), backend(1)]) };
            let figures = Figures::default();
            let pool = Pool::new(&config, &figures).unwrap();
            pool.stands(&pool.backends[0], Standing::Ready, "said the test");
            Scene { figures, config, pool }
        }

        fn reload(&mut self, limit: Option<PoolLimit>) {
            let config = model::Pool { limit, ..self.config.clone() };
            self.pool = self.pool.successor(&self.config, &config, &self.figures).unwrap().0;
            self.config = config;
            self.pool.take_over();
        }

        fn waits(&self) -> Place {
            self.pool.bounds.queue.join(10).unwrap()
        }
    }

    fn backend_requests(most: u32) -> Option<PoolLimit> {
        Some(PoolLimit { backend_requests: Some(most), ..PoolLimit::default() })
    }

    fn requests(most: u32) -> Option<PoolLimit> {
        Some(PoolLimit { requests: Some(most), ..PoolLimit::default() })
    }

    fn is_called(place: &Place) -> bool {
        pin!(place.called()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn what_began_before_a_limit_calls_who_waits_for_its_end() {
        let mut scene = Scene::new(None);
        let before = scene.pool.backends[0].begin(Instant::now()).unwrap();
        scene.reload(backend_requests(1));
        let backend = scene.pool.backends[0].clone();
        assert!(!backend.has_room() && backend.begin(Instant::now()).is_none());
        let waits = scene.waits();
        assert!(is_called(&waits) && !is_called(&waits), "it has looked, in vain");
        drop(before);
        assert!(is_called(&waits) && backend.has_room());
    }

    #[test]
    fn another_limit_holds_for_all_who_are_there() {
        let mut scene = Scene::new(requests(1));
        let old = scene.pool.clone();
        let permit = old.bounds().unwrap().admit().unwrap();
        let waits = scene.waits();
        assert!(is_called(&waits) && old.bounds().unwrap().admit().is_none());
        scene.reload(requests(2));
        assert!(is_called(&waits), "there is room now");
        let second = old.bounds().unwrap().admit();
        assert!(second.is_some() && scene.pool.bounds().unwrap().admit().is_none(), "both count, whenever they came");
        drop(permit);
        scene.reload(backend_requests(1));
        assert!(scene.pool.bounds().unwrap().admit().is_some());
        assert!(is_called(&waits));
        scene.reload(None);
        assert!(scene.pool.bounds().is_none() && is_called(&waits) && old.bounds().unwrap().admit().is_some());
    }

    #[test]
    fn who_waits_hears_of_a_backend_that_is_back() {
        let scene = Scene::new(backend_requests(1));
        let waits = scene.waits();
        assert!(is_called(&waits) && !is_called(&waits));
        scene.pool.stands(&scene.pool.backends[1], Standing::Ready, "said the test");
        assert!(is_called(&waits));
        scene.pool.weigh(&scene.pool.backends[1], 7);
        assert!(is_called(&waits));
    }
}
