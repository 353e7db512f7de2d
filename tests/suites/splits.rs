//! The cases of requests once more, each in two pieces, cut at every place there is: each fares as it does in one. Over real
//! sockets, many at once; what the first piece says was read before the second is sent. That the codec alone reads the same
//! wherever it is cut is proved in `codecs`.

use super::{
    framing::{self, Expect},
    http2,
};
use pointsman_tests::{
    client::{Client, Frames, PSEUDO, Raw, StreamEnd, frame, head, opening},
    edge::{self, Edge},
    origin::{Origin, Seen},
    story::{PATIENCE, eventually},
};
use std::ops::RangeInclusive;

/// Connections that are cut at the same time.
const AT_ONCE: usize = 100;
/// What is longer is refused for its size, or served though it is large: it is cut at both ends and at a few places between.
const CUT_EVERYWHERE_MOST: usize = 4 << 10;
/// Such places.
const FEW: usize = 32;
/// What the doorman asks for.
const MEANWHILE: &str = "/meanwhile";

/// A balancer with one worker, and a client that is served in between.
struct Stage {
    origin: Origin,
    edge: Edge,
    doorman: Client,
}

impl Stage {
    async fn set() -> Stage {
        let origin = Origin::named("a");
        // However busy the machine is, nobody is late here.
        let edge = edge::plain().listener(|l| l.timeout.head = PATIENCE).workers(1).pool("shop", &[&origin]).start();
        let doorman = Client::plain(edge.address()).await;
        Stage { origin, edge, doorman }
    }

    /// The one worker takes what came in its order, so that who is answered now has let all before it be read.
    async fn first_pieces_are_read(&mut self) {
        assert_eq!(self.doorman.get(MEANWHILE).await.text(), "a");
    }

    /// Whole requests that the backend had, but for the doorman's, once it has none any more; in an order of their own.
    async fn heard(&self) -> Vec<Seen> {
        eventually("the backend has done with it", async || self.origin.open_requests() == 0).await;
        let seen = self.origin.seen().into_iter().filter(|seen| seen.complete && seen.target != MEANWHILE);
        let mut seen: Vec<_> = seen.map(|seen| Seen { connection: 0, ..seen }).collect();
        seen.sort_by_key(|seen| format!("{seen:?}"));
        self.origin.forget();
        seen
    }

    /// The answers to these bytes, and whether the connection ended, for each place to cut at.
    async fn say(&mut self, bytes: &[u8], expect: &Expect, places: &[usize]) -> Vec<(Vec<u16>, bool)> {
        let mut clients = Vec::new();
        for &at in places {
            let mut client = Raw::plain(self.edge.address()).await;
            client.say(&bytes[..at]).await;
            clients.push(client);
        }
        self.first_pieces_are_read().await;
        for (client, &at) in clients.iter_mut().zip(places) {
            client.say(&bytes[at..]).await;
            if matches!(expect, Expect::Aborted) {
                client.hang_up().await;
            }
        }
        let mut outcomes = Vec::new();
        for client in &mut clients {
            outcomes.push(framing::outcome(client, expect).await);
        }
        outcomes
    }

    /// The same in frames: how stream 1 ends.
    async fn say_in_frames(&mut self, bytes: &[u8], places: &[usize]) -> Vec<Option<u16>> {
        let mut clients = Vec::new();
        for &at in places {
            let mut client = Frames::silent(self.edge.address()).await;
            client.say(&bytes[..at]).await;
            clients.push(client);
        }
        self.first_pieces_are_read().await;
        for (client, &at) in clients.iter_mut().zip(places) {
            client.say(&bytes[at..]).await;
        }
        let mut ends = Vec::new();
        for client in &mut clients {
            ends.push(match client.end_of(1, PATIENCE).await {
                StreamEnd::Answered(status) => Some(status),
                // Of the stream or of the connection, which depends on what the library had read by then.
                StreamEnd::Reset(_) | StreamEnd::Gone(_) => None,
            });
        }
        ends
    }
}

/// Where to cut so many bytes.
fn places(length: usize) -> Vec<usize> {
    let all: RangeInclusive<usize> = 0..=length;
    if length <= CUT_EVERYWHERE_MOST {
        return all.collect();
    }
    let step = length / FEW;
    all.filter(|at| *at <= FEW || *at + FEW >= length || at % step == 0).collect()
}

/// What a backend hears when it hears all of this so many times.
fn times(heard: &[Seen], count: usize) -> Vec<&Seen> {
    heard.iter().flat_map(|seen| std::iter::repeat_n(seen, count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_1_to_40_fare_as_whole_wherever_they_are_cut() {
    let mut stage = Stage::set().await;
    let (mut faults, mut cuts) = (Vec::new(), 0);
    for (number, name, bytes, expect) in framing::cases() {
        let whole = stage.say(&bytes, &expect, &[bytes.len()]).await.remove(0);
        let heard = stage.heard().await;
        let places = places(bytes.len());
        for some in places.chunks(AT_ONCE) {
            for (at, fared) in some.iter().zip(stage.say(&bytes, &expect, some).await) {
                if fared != whole {
                    faults.push(format!("case {number}, {name}, cut at {at}: {fared:?}, and whole: {whole:?}"));
                }
            }
        }
        let heard_cut = stage.heard().await;
        if !heard_cut.iter().eq(times(&heard, places.len())) {
            faults
                .push(format!("case {number}, {name}: whole the backend heard {heard:?}, cut it heard {heard_cut:?}"));
        }
        cuts += places.len();
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
    println!("{cuts} cuts");
    assert!(cuts > 9000, "only {cuts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_41_to_46_fare_as_whole_wherever_they_are_cut() {
    let mut stage = Stage::set().await;
    let (mut faults, mut cuts) = (Vec::new(), 0);
    for (name, frames) in conversations() {
        let bytes = [opening(), frames].concat();
        let whole = stage.say_in_frames(&bytes, &[bytes.len()]).await[0];
        let heard = stage.heard().await;
        assert_eq!(whole == Some(200), heard.len() == 1, "case {name}: {whole:?}, the backend heard {heard:?}");
        let places = places(bytes.len());
        for some in places.chunks(AT_ONCE) {
            for (at, fared) in some.iter().zip(stage.say_in_frames(&bytes, some).await) {
                if fared != whole {
                    faults.push(format!("case {name}, cut at {at}: {fared:?}, and whole: {whole:?}"));
                }
            }
        }
        let heard_cut = stage.heard().await;
        if !heard_cut.iter().eq(times(&heard, places.len())) {
            faults.push(format!("case {name}: whole the backend heard {heard:?}, cut it heard {heard_cut:?}"));
        }
        cuts += places.len();
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
    println!("{cuts} cuts");
    assert!(cuts > 2000, "only {cuts}");
}

/// What stream 1 says in each case, behind the connection's opening.
fn conversations() -> Vec<(&'static str, Vec<u8>)> {
    const DATA: u8 = 0;
    const END_STREAM: u8 = 1;
    let on_plain = |fields: &[(&'static str, &'static str)], ends| {
        let plain =
            |field: &(&'static str, &'static str)| if *field == PSEUDO[1] { (":scheme", "http") } else { *field };
        head(1, &fields.iter().map(plain).collect::<Vec<_>>(), ends)
    };
    let with = |field| [PSEUDO, &[field]].concat();
    let body = |pieces: &[&[u8]]| {
        let last = pieces.len() - 1;
        let data = |(at, piece): (usize, &&[u8])| frame(DATA, if at == last { END_STREAM } else { 0 }, 1, piece);
        [vec![on_plain(&with(("content-length", "10")), false)], pieces.iter().enumerate().map(data).collect()].concat()
    };
    let mut all = vec![
        ("41", on_plain(PSEUDO, true)),
        ("44 the length that it says", body(&[b"01234", b"56789"]).concat()),
        ("44 less", body(&[b"abc"]).concat()),
        ("44 more", body(&[b"abcdef", b"ghijkl"]).concat()),
        ("46 they differ", on_plain(&with(("host", "other.test")), true)),
        ("46 they agree", on_plain(&with(("host", "shop.test")), true)),
    ];
    all.extend(http2::malformed_heads().into_iter().map(|(name, fields)| (name, on_plain(&fields, true))));
    all
}
