//! A pool that takes another one's place: what both share is touched only when it does.

use crate::{
    config::model,
    figures::{Attempt, Figures, Load, Outcome, Standing},
    upstream::Pool,
};
use http::HeaderName;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, advance};

/// Two backends, the second one for when the first is not enough.
fn config() -> model::Pool {
    let backend = |number: u16| model::Backend {
        priority: u32::from(number),
        ..model::Backend::new(format!("b{number}"), SocketAddr::from(([127, 0, 0, 1], 9000 + number)))
    };
    let eject = model::Eject { stall: Some(Duration::from_secs(10)), ..model::Eject::default() };
    model::Pool { eject: Some(eject), ..model::Pool::new("shop", (0..2).map(backend).collect()) }
}

fn pool(config: &model::Pool, figures: &Figures) -> Arc<Pool> {
    let pool = Pool::new(config, figures).unwrap();
    pool.take_over();
    pool.backends.iter().for_each(|backend| pool.stands(backend, Standing::Ready, "said the test"));
    assert_eq!(pool.backends[1].standing(), Standing::Standby);
    pool
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_leaves_no_trace() {
    let (config, figures) = (config(), Figures::default());
    let pool = pool(&config, &figures);
    let since = pool.backends[1].account().since;
    let mut other = config.clone();
    other.eject.as_mut().unwrap().stall = Some(Duration::from_millis(100));
    let (refused, _) = pool.successor(&config, &other, &figures).unwrap();
    assert_eq!(pool.backends[1].account().since, since, "it stands as it stood");
    assert_eq!(refused.backends[1].standing(), Standing::Standby);

    // An answer after a second is slow for one of the two only.
    let slow_share = async |pool: &Pool| {
        let mut attempt = Attempt::begin(pool.backends[0].figures.clone(), Instant::now());
        advance(Duration::from_secs(1)).await;
        attempt.heard();
        attempt.ended(Outcome::Answered(200), Instant::now());
        pool.backends[0].figures.silence().slow_share()
    };
    let before = slow_share(&pool).await;
    let after = slow_share(&pool).await;
    assert!(after < before, "{after} after {before}");
    refused.take_over();
    assert!(slow_share(&refused).await > after);
    assert_eq!(refused.backends[1].account().since, since);
    // Without `stall` nothing is.
    other.eject.as_mut().unwrap().stall = None;
    let (without, _) = refused.successor(&config, &other, &figures).unwrap();
    without.take_over();
    let before = slow_share(&without).await;
    assert!(slow_share(&without).await < before);
}

#[test]
fn a_weight_that_an_operator_sets_meanwhile_holds() {
    let (config, figures) = (config(), Figures::default());
    let pool = pool(&config, &figures);
    let other = model::Pool { hedge: Some(Duration::from_secs(1)), ..config.clone() };
    let (next, _) = pool.successor(&config, &other, &figures).unwrap();
    pool.weigh(&pool.backends[0], 0);
    pool.drain(&pool.backends[1]);
    next.take_over();
    assert_eq!((next.backends[0].weight(), next.backends[1].standing()), (0, Standing::Draining));
    // Until the file says another one.
    let mut heavier = other.clone();
    heavier.backends[0].weight = 3;
    let (last, _) = next.successor(&other, &heavier, &figures).unwrap();
    assert_eq!((next.backends[0].weight(), last.backends[0].weight()), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_not_filled_by_a_change_of_members() {
    let (config, figures) = (config(), Figures::default());
    let pool = pool(&config, &figures);
    let now = Instant::now();
    while pool.pays(now) {}
    let mut other = config.clone();
    other.backends.pop();
    let (successor, _) = pool.successor(&config, &other, &figures).unwrap();
    assert!(!successor.pays(now));
    advance(Duration::from_secs(1)).await;
    assert!(successor.pays(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn what_another_header_told_of_a_backend_does_not_count() {
    let by = |header| Some(model::Probe::by(model::ProbeBy::Header(HeaderName::from_static(header))));
    let figures = Figures::default();
    let config = model::Pool { probe: by("x-a"), ..config() };
    let first = pool(&config, &figures);
    first.backends[0].figures.says(Load { in_flight: 7, latency_us: None }, Instant::now());
    let has_said = || first.backends[0].figures.said(Instant::now()).is_some();
    first.take_over();
    assert!(has_said());
    let other = model::Pool { probe: by("x-b"), ..config.clone() };
    let (next, _) = first.successor(&config, &other, &figures).unwrap();
    assert!(has_said(), "it is not in force yet");
    next.take_over();
    assert!(!has_said());
}
