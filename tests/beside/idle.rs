//! What a connection over TLS costs that nobody uses.

use super::{Wanted, sides};
use pointsman_tests::{
    client::{Hello, handshake_with},
    memory,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinSet;

/// Handshakes at the same time.
const AT_ONCE: usize = 64;

/// Prints the memory of each, by side.
pub(super) async fn compare(wanted: &Wanted) {
    let count = memory::connections_within_the_file_limit(wanted.connections);
    let mut found: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for round in 1..=wanted.rounds {
        eprintln!("round {round} of {}", wanted.rounds);
        let (_backend, sides) = sides::both().await;
        for side in sides {
            let hello = Arc::new(Hello::new("shop.test", &["http/1.1"]));
            // What the first ones build is not theirs.
            let _first = open(&side, &hello, AT_ONCE).await;
            let before = memory::resident(side.pid);
            let _idle = open(&side, &hello, count).await;
            let each = memory::resident(side.pid).saturating_sub(before) / count as u64;
            found.entry(side.name).or_default().push(each);
        }
    }
    println!("bytes of each of {count} idle connections over TLS, one worker each");
    for (side, rounds) in found {
        println!("{side:<10} {rounds:?}");
    }
}

async fn open(side: &sides::Side, hello: &Arc<Hello>, count: usize) -> Vec<impl Send + use<>> {
    let (mut opening, mut open) = (JoinSet::new(), Vec::with_capacity(count));
    for _ in 0..count {
        if opening.len() == AT_ONCE {
            open.extend(opening.join_next().await.map(|opened| opened.expect("a handshake")));
        }
        let (address, hello) = (side.tls, hello.clone());
        opening.spawn(async move { handshake_with(address, &hello).await.expect("a handshake").0 });
    }
    open.extend(opening.join_all().await);
    open
}
