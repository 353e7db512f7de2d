//! Who goes out when, for how long, and who does not.

use super::{outlier::COMPARED_EVERY, *};
use crate::{
    figures::{Attempt, Figures, Outcome, Standing},
    upstream::Pool,
};
use std::net::SocketAddr;
use tokio::time::advance;

/// A pool of ready backends that is watched, on a clock that stands still unless it is moved.
struct Scene {
    config: model::Pool,
    figures: Figures,
    pool: Arc<Pool>,
    watch: Watch,
}

const STALL: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(10);

impl Scene {
    fn new(backends: u16, change: impl FnOnce(&mut model::Eject)) -> Scene {
        let backend =
            |number| model::Backend::new(format!("b{number}"), SocketAddr::from(([127, 0, 0, 1], 9000 + number)));
        let mut config = model::Pool::new("shop", (0..backends).map(backend).collect());
        let mut how = model::Eject::default();
        change(&mut how);
        config.eject = Some(how.clone());
        let figures = Figures::default();
        let pool = Pool::new(&config, &figures).unwrap();
        pool.backends.iter().for_each(|backend| pool.stands(backend, Standing::Ready, "said the test"));
        Scene { watch: Watch::new(pool.clone(), how, Instant::now()), pool, config, figures }
    }

    /// A reload with another order of backends.
    fn reload(&mut self) {
        let mut config = self.config.clone();
        config.backends.reverse();
        self.pool = self.pool.successor(&self.config, &config, &self.figures).unwrap().0;
        self.pool.take_over();
        self.watch = Watch::new(self.pool.clone(), config.eject.clone().unwrap(), Instant::now());
        self.config = config;
    }

    fn begin(&self, index: usize) -> Attempt {
        Attempt::begin(self.pool.backends[index].figures.clone(), Instant::now())
    }

    /// So many requests, answered at once.
    fn answer(&self, index: usize, times: usize, status: u16) {
        for _ in 0..times {
            let mut attempt = self.begin(index);
            attempt.heard();
            attempt.ended(Outcome::Answered(status), Instant::now());
        }
    }

    /// All have answered so often and so quickly that a slow answer is a surprise.
    fn settled(backends: u16) -> Scene {
        let scene = Scene::new(backends, |_| {});
        (0..usize::from(backends)).for_each(|index| scene.answer(index, 1000, 200));
        scene
    }

    /// Time passes, and looks are taken in it as `watch` takes them. `meanwhile` is done before each.
    async fn pass(&mut self, time: Duration, mut meanwhile: impl FnMut(&Scene)) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            advance(self.watch.due.min(end).saturating_duration_since(Instant::now())).await;
            meanwhile(self);
            self.watch.look(Instant::now());
        }
    }

    fn out(&self) -> Vec<usize> {
        self.pool.backends.iter().filter(|b| !b.is_ready()).map(|b| b.index).collect()
    }

    fn is_stalled(&self, index: usize) -> bool {
        self.pool.backends[index].figures.silence().is_stalled()
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_take_a_backend_out_and_each_time_for_longer() {
    let mut scene = Scene::new(4, |how| how.time_most = 3 * TIME);
    for times in [1, 2, 3, 3] {
        scene.answer(0, 4, 503);
        scene.answer(0, 1, 500);
        scene.pass(STALL, |_| {}).await;
        assert_eq!(scene.out(), [0; 0], "an answer that only refuses the request ends the row");
        scene.answer(0, 5, 503);
        scene.pass(STALL, |_| {}).await;
        assert_eq!(scene.out(), [0]);
        let account = scene.pool.backends[0].account();
        let told = format!("5 requests in a row failed; out for {:?}", TIME * times);
        assert_eq!((account.standing, account.why), (Standing::Unhealthy, told));
        scene.pass(TIME * times - 2 * STALL, |_| {}).await;
        assert_eq!(scene.out(), [0]);
        scene.pass(2 * STALL, |_| {}).await;
        assert_eq!(scene.out(), [0; 0]);
    }
    // Two spells in which it does well are forgotten.
    scene.pass(2 * TIME + STALL, |scene| scene.answer(0, 1, 200)).await;
    scene.answer(0, 5, 502);
    scene.pass(STALL, |_| {}).await;
    assert!(scene.pool.backends[0].account().why.ends_with("out for 20s"), "{:?}", scene.pool.backends[0].account());
}

#[tokio::test(start_paused = true)]
async fn who_is_out_at_a_reload_comes_back_in_his_time_and_is_remembered() {
    let mut scene = Scene::new(4, |_| {});
    scene.answer(0, 5, 503);
    scene.pass(STALL, |_| {}).await;
    assert_eq!(scene.out(), [0]);
    scene.reload();
    assert_eq!(scene.out(), [3], "the same one");
    scene.pass(TIME - 2 * STALL, |_| {}).await;
    assert_eq!(scene.out(), [3]);
    scene.pass(2 * STALL, |_| {}).await;
    assert_eq!(scene.out(), [0; 0]);
    scene.answer(3, 5, 503);
    scene.pass(STALL, |_| {}).await;
    assert!(scene.pool.backends[3].account().why.ends_with("out for 20s"), "{:?}", scene.pool.backends[3].account());
    end(&scene.pool);
    assert_eq!(scene.out(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_a_share_is_out_and_never_the_last() {
    let mut scene = Scene::new(5, |_| {});
    (0..5).for_each(|index| scene.answer(index, 5, 503));
    scene.pass(STALL, |_| {}).await;
    assert_eq!(scene.out(), [0, 1]);
    let mut alone = Scene::new(2, |how| how.share = 100);
    (0..2).for_each(|index| alone.answer(index, 5, 503));
    alone.pass(STALL, |_| {}).await;
    assert_eq!(alone.out(), [0]);
}

#[tokio::test(start_paused = true)]
async fn who_was_ill_meanwhile_comes_back_with_its_health() {
    let mut scene = Scene::new(3, |_| {});
    scene.answer(0, 5, 503);
    scene.pass(STALL, |_| {}).await;
    let backend = scene.pool.backends[0].clone();
    scene.pool.is_ill(&backend, crate::upstream::condition::Cause::Refused, "connection refused".into());
    assert_eq!(scene.out(), [0]);
    scene.pool.is_well(&backend, "connect".into());
    assert_eq!(scene.out(), [0; 0], "it was started anew");
    scene.pass(STALL, |_| {}).await;
    assert_eq!(scene.out(), [0; 0], "and what it did before is forgotten");
}

#[tokio::test(start_paused = true)]
async fn an_operator_ends_an_ejection() {
    let mut scene = Scene::new(3, |_| {});
    scene.answer(0, 5, 503);
    scene.pass(STALL, |_| {}).await;
    let backend = scene.pool.backends[0].clone();
    scene.pool.undrain(&backend);
    scene.pass(STALL, |_| {}).await;
    assert_eq!(scene.out(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn case_55_who_is_silent_while_others_answer_has_stalled() {
    let mut scene = Scene::settled(3);
    scene.pass(STALL, |scene| (0..3).for_each(|index| scene.answer(index, 1, 200))).await;
    let told = scene.pool.backends[1].figures.silence().told();
    let waiting = [scene.begin(1), scene.begin(1)];
    let others = |scene: &Scene| scene.answer(0, 1, 200);
    scene.pass(STALL, others).await;
    assert!(!scene.is_stalled(1), "not yet");
    scene.pass(STALL / 2, others).await;
    assert_eq!((scene.is_stalled(1), scene.out()), (true, vec![1]));
    told.await;
    let why = scene.pool.backends[1].account().why;
    assert_eq!(why, "stalled: no byte for 500ms while 2 requests wait and others answer; out for 10s");
    // The first byte ends the stall, not the ejection.
    drop(waiting);
    scene.answer(1, 1, 200);
    scene.pass(STALL, others).await;
    assert_eq!((scene.is_stalled(1), scene.out()), (false, vec![1]));
    scene.pass(TIME, others).await;
    assert_eq!(scene.out(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn silence_alone_is_no_stall() {
    let others = |scene: &Scene| scene.answer(0, 1, 200);
    let long = 20 * STALL;
    // One request may be a slow one.
    let mut scene = Scene::settled(3);
    let _one = scene.begin(1);
    scene.pass(long, others).await;
    assert!(!scene.is_stalled(1));

    // Nobody answers: the way there may be broken, or all are busy.
    let mut scene = Scene::settled(3);
    let _waiting = [1, 1, 1, 2, 2].map(|index| scene.begin(index));
    scene.pass(long, |_| {}).await;
    assert!(!scene.is_stalled(1));

    // Bodies that the clients have not sent yet.
    let mut scene = Scene::settled(3);
    let mut uploads = [1; 5].map(|index| scene.begin(index));
    uploads.iter_mut().for_each(Attempt::uploading);
    scene.pass(long, others).await;
    assert!(!scene.is_stalled(1));

    // It answers others of its requests, or sends a body.
    let mut scene = Scene::settled(3);
    let _waiting = [1; 5].map(|index| scene.begin(index));
    scene.pass(long, |scene| (0..2).for_each(|index| scene.answer(index, 1, 200))).await;
    assert!(!scene.is_stalled(1));

    // Slow answers are usual.
    let mut scene = Scene::new(3, |_| {});
    let _waiting = [1; 5].map(|index| scene.begin(index));
    scene.pass(long, others).await;
    assert!(!scene.is_stalled(1));

    // This process was away itself.
    let mut scene = Scene::settled(3);
    let _waiting = [1; 5].map(|index| scene.begin(index));
    for _ in 0..10 {
        advance(long).await;
        scene.answer(0, 1, 200);
        scene.watch.look(Instant::now());
    }
    assert!(!scene.is_stalled(1));
}

#[tokio::test(start_paused = true)]
async fn requests_that_came_just_now_do_not_count() {
    let mut scene = Scene::settled(2);
    let _old = scene.begin(1);
    scene.pass(2 * STALL, |scene| scene.answer(0, 1, 200)).await;
    let _young = [1; 5].map(|index| scene.begin(index));
    scene.pass(STALL / 2, |scene| scene.answer(0, 1, 200)).await;
    assert!(!scene.is_stalled(1));
    scene.pass(STALL, |scene| scene.answer(0, 1, 200)).await;
    assert!(scene.is_stalled(1));
}

/// Requests of a pool that hedges: so many each look, let go of after 200 ms.
struct Hedged {
    under_way: Vec<Attempt>,
}

impl Hedged {
    fn ask(&mut self, scene: &Scene, index: usize) {
        let (now, after) = (Instant::now(), Duration::from_millis(200));
        self.under_way.retain(|attempt| {
            let waited = now - attempt.begun();
            if waited >= after {
                scene.pool.backends[index].figures.was_outrun(waited, now);
            }
            waited < after
        });
        self.under_way.push(scene.begin(index));
    }
}

#[tokio::test(start_paused = true)]
async fn case_55_a_frozen_backend_is_found_though_nobody_waits_for_it() {
    let mut scene = Scene::settled(3);
    let mut hedged = Hedged { under_way: Vec::new() };
    scene
        .pass(2 * STALL, |scene| {
            scene.answer(0, 1, 200);
            hedged.ask(scene, 1);
        })
        .await;
    assert_eq!((scene.is_stalled(1), scene.out()), (true, vec![1]));
    assert!(scene.pool.backends[1].figures.latency_us() > 50_000, "who chooses by latency knows, too");
    // What it did before does not count when it is back.
    hedged.under_way.clear();
    scene.pass(TIME + STALL, |scene| scene.answer(0, 1, 200)).await;
    assert_eq!((scene.is_stalled(1), scene.out()), (false, vec![]));
    scene.pass(2 * STALL, |scene| scene.answer(0, 1, 200)).await;
    assert!(!scene.is_stalled(1));
}

#[tokio::test(start_paused = true)]
async fn who_is_outrun_now_and_then_has_not_stalled() {
    // It answers between two of them.
    let mut scene = Scene::settled(3);
    let mut hedged = Hedged { under_way: Vec::new() };
    scene
        .pass(20 * STALL, |scene| {
            (0..2).for_each(|index| scene.answer(index, 1, 200));
            hedged.ask(scene, 1);
        })
        .await;
    assert!(!scene.is_stalled(1));
    // It is a slow one, and so few requests come that none of them is ever answered there.
    let mut scene = Scene::settled(3);
    for _ in 0..300 {
        scene.answer(1, 1, 200);
        scene.pool.backends[1].figures.was_outrun(Duration::from_millis(200), Instant::now());
    }
    for _ in 0..10 {
        let slow = scene.begin(1);
        scene.pass(4 * STALL, |scene| scene.answer(0, 1, 200)).await;
        drop(slow);
        scene.pool.backends[1].figures.was_outrun(Duration::from_millis(200), Instant::now());
    }
    assert!(!scene.is_stalled(1));
}

#[tokio::test(start_paused = true)]
async fn who_was_connecting_and_sends_its_body_now_takes_nothing_away() {
    let mut scene = Scene::settled(2);
    let mut connecting = [1; 3].map(|index| scene.begin(index));
    let others = |scene: &Scene| scene.answer(0, 1, 200);
    scene.pass(STALL / 2, others).await;
    connecting.iter_mut().for_each(Attempt::uploading);
    let _waits = [scene.begin(1), scene.begin(1)];
    scene.pass(2 * STALL, others).await;
    assert!(scene.is_stalled(1), "two wait in silence");
}

#[tokio::test(start_paused = true)]
async fn who_fails_far_more_than_the_others_goes_out() {
    let mut scene = Scene::new(5, |how| how.failures = None);
    let mut turn = 0;
    scene
        .pass(COMPARED_EVERY + STALL, |scene| {
            turn += 1;
            (0..4).for_each(|index| scene.answer(index, 2, 200));
            scene.answer(4, 2, if turn % 2 == 0 { 500 } else { 200 });
        })
        .await;
    assert_eq!(scene.out(), [4]);
    assert!(scene.pool.backends[4].account().why.starts_with("50."), "{:?}", scene.pool.backends[4].account());
}

#[tokio::test(start_paused = true)]
async fn backends_are_compared_though_the_pool_changes_again_and_again() {
    let mut scene = Scene::new(5, |how| how.failures = None);
    let mut turn = 0;
    for _ in 0..3 {
        scene
            .pass(COMPARED_EVERY / 2, |scene| {
                turn += 1;
                for backend in &scene.pool.backends {
                    let is_ill = *backend.name == *"b4" && turn % 2 == 0;
                    scene.answer(backend.index, 2, if is_ill { 500 } else { 200 });
                }
            })
            .await;
        scene.reload();
    }
    let out: Vec<_> = scene.out().into_iter().map(|index| scene.pool.backends[index].name.clone()).collect();
    assert_eq!(out, ["b4".into()]);
}
