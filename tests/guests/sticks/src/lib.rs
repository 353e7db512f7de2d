//! A sticky table that goes over to successors: a client, by the pool's hash key, stays where it was sent first. A request
//! with `x-act` decides what becomes of the hand-over that follows.

use pointsman_sdk::prelude::*;
use std::collections::HashMap;

#[derive(Default)]
struct Sticks {
    homes: HashMap<u64, u64>,
    next: u32,
    act: Vec<u8>,
}

impl Balancer for Sticks {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Sticks::default())
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        if let Some(act) = request::header("x-act").filter(|act| !act.is_empty()) {
            self.act = act;
        }
        let key = turn.key.unwrap_or(0);
        let home = self.homes.get(&key).and_then(|home| pool.ready().iter().position(|backend| backend.id == *home));
        let at = home.map_or_else(
            || {
                self.next += 1;
                self.next % pool.len()
            },
            |home| home as Position,
        );
        self.homes.insert(key, pool.ready()[at as usize].id);
        turn.untried(at, pool)
    }
}

impl HandOver for Sticks {
    const SCHEMA: u32 = 1;

    fn save(&mut self, _: &Pool) -> Vec<u8> {
        assert!(self.act != b"fail in save", "asked to");
        let length = [self.act.len() as u8];
        let homes = self.homes.iter().flat_map(|(key, home)| [key.to_le_bytes(), home.to_le_bytes()]).flatten();
        length.into_iter().chain(self.act.iter().copied()).chain(homes).collect()
    }

    fn restore(&mut self, schema: u32, parts: &[Vec<u8>], _: &Pool) -> Result<(), String> {
        assert_eq!((schema, parts.len()), (Self::SCHEMA, 1));
        let (act, homes) = parts[0][1..].split_at(parts[0][0].into());
        match act {
            b"refuse" => return Err("it is too old".into()),
            b"fail in restore" => panic!("asked to"),
            b"loop in restore" => loop {
                std::hint::black_box(());
            },
            _ => {}
        }
        for row in homes.as_chunks::<8>().0.as_chunks::<2>().0 {
            self.homes.insert(u64::from_le_bytes(row[0]), u64::from_le_bytes(row[1]));
        }
        Ok(())
    }
}

balancer!(Sticks: handover);
