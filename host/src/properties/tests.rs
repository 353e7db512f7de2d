//! The properties, held against chance for a moment, and against all that fuzzers ever found. They go on from the same good
//! messages, which are files.

use super::*;
use proptest::{prelude::*, sample::Index};
use std::{fs, path::Path};

/// One change to a message.
#[derive(Clone, Debug)]
enum Change {
    Put(u8),
    Insert(u8),
    Remove,
    /// What stands behind this place a second time.
    Repeat(Index),
    /// From here on another message.
    GoOnWith(Index),
}

/// What stands where it matters.
const TELLING: &[u8] = b"\r\n\0 \t:;,.=/*%\"'[]{}#0159af-\x7f\x80";

fn change() -> impl Strategy<Value = Change> {
    let byte = || prop_oneof![prop::sample::select(TELLING), any::<u8>()];
    prop_oneof![
        byte().prop_map(Change::Put),
        byte().prop_map(Change::Insert),
        Just(Change::Remove),
        any::<Index>().prop_map(Change::Repeat),
        any::<Index>().prop_map(Change::GoOnWith),
    ]
}

/// One of these messages with a few changes, or any bytes.
fn bytes(messages: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let others = messages.clone();
    let changes = prop::collection::vec((any::<Index>(), change()), 0..6);
    let changed = (prop::sample::select(messages), changes).prop_map(move |(mut message, changes)| {
        changes.iter().for_each(|(at, change)| apply(change, at.index(message.len() + 1), &mut message, &others));
        message
    });
    prop_oneof![9 => changed, 1 => any::<Vec<u8>>()]
}

fn apply(change: &Change, at: usize, message: &mut Vec<u8>, others: &[Vec<u8>]) {
    match change {
        Change::Put(byte) => message.get_mut(at).map(|there| *there = *byte).unwrap_or_default(),
        Change::Insert(byte) => message.insert(at, *byte),
        Change::Remove if at < message.len() => drop(message.remove(at)),
        Change::Remove => {}
        Change::Repeat(from) => message.extend_from_within(from.index(at + 1)..at),
        Change::GoOnWith(other) => {
            let other = other.get(others);
            message.truncate(at);
            message.extend_from_slice(&other[at.min(other.len())..]);
        }
    }
}

/// Each file in these folders below `tests`.
fn messages(folders: &[&str]) -> Vec<Vec<u8>> {
    let tests = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests"));
    let mut files: Vec<_> = folders.iter().flat_map(|folder| fs::read_dir(tests.join(folder)).unwrap()).collect();
    files.sort_by_key(|file| file.as_ref().unwrap().path());
    files.into_iter().map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

/// The property of what is read holds for each of these messages, and for what becomes of them.
fn hold(property: fn(&[u8]), folders: &[&str]) {
    let messages = messages(folders);
    messages.iter().for_each(|message| property(message));
    let config = ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() };
    let checked = proptest::test_runner::TestRunner::new(config).run(&bytes(messages), |bytes| {
        property(&bytes);
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn requests_read_the_same_in_pieces_and_written_again() {
    hold(requests, &["fuzz/seeds/requests"]);
}

#[test]
fn answers_read_the_same_in_pieces_and_written_again() {
    hold(answers, &["fuzz/seeds/answers"]);
}

#[test]
fn chunks_have_one_end() {
    hold(chunks, &["fuzz/seeds/chunks"]);
}

#[test]
fn proxy_heads_name_one_client() {
    hold(proxy_protocol, &["fuzz/seeds/proxy_protocol"]);
}

#[test]
fn paths_have_one_form_and_lead_to_one_route() {
    hold(router, &["fuzz/seeds/router"]);
}

#[test]
fn every_mistake_in_a_configuration_has_its_place() {
    hold(config, &["fuzz/seeds/config", "golden/config/ok", "golden/config/bad"]);
}
