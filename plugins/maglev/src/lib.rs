//! Maglev: a table, made anew when the pool changes, says whose a key is. A pick is one look into it, however large the
//! pool.

use pointsman_sdk::{
    hashing::{Key, Maglev as Table},
    prelude::*,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
    /// Entries of the table.
    #[serde(default = "usual_size")]
    table: u32,
}

fn usual_size() -> u32 {
    Table::SIZE
}

/// 2.5 MiB of table, and some tens of milliseconds to make it; `update` has a hundred.
const SIZE_MAX: u32 = 655_373;

struct Maglev {
    key: Key,
    size: u32,
    table: Table,
}

impl Balancer for Maglev {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        let size = settings.table;
        if size > SIZE_MAX || !Table::is_size(size) {
            return Err(format!("table must be a prime up to {SIZE_MAX}, such as 65537 or 655373, not {size}"));
        }
        Ok(Maglev { key: settings.hash, size, table: Table::default() })
    }

    fn update(&mut self, pool: &Pool) {
        self.table = Table::over(pool, self.size);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let key = self.key.of(turn);
        let Some(position) = self.table.at(key) else { return Decision::Pass };
        notes::explain(turn, || {
            let (told, entry) = (self.key.told(turn), key % u64::from(self.size));
            format!("{told}: entry {entry} of {} is that of {}", self.size, pool.name(position))
        });
        turn.untried(position, pool)
    }
}

balancer!(Maglev: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Behaviour, Bench, Request};

    behaves!(Maglev);

    #[test]
    fn keys_are_shared_by_weight() {
        let spread = Bench::<Maglev>::with("{}", &[2, 1, 1, 0], 2).unwrap().spread(40_000);
        let expected = [20_000, 10_000, 10_000, 0];
        assert!(spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) < 600), "{spread:?}");
    }

    #[test]
    fn equal_keys_meet_on_every_worker() {
        let settings = r#"{"hash": "header:x-user", "table": 251}"#;
        let mut bench = Bench::<Maglev>::with(settings, &[1; 20], 4).unwrap();
        testing::host(|host| host.request = Request::get("/").with_header("x-user", "ann"));
        let first = bench.pick();
        assert!((0..100).all(|_| bench.pick() == first));
    }

    #[test]
    fn a_note_tells_key_and_entry() {
        let mut bench = Bench::<Maglev>::with(r#"{"hash": "header:x-user", "table": 251}"#, &[1; 20], 1).unwrap();
        testing::host(|host| host.request = Request::get("/").with_header("x-user", "ann"));
        let Decision::Choose(at) = bench.explained() else { panic!("somebody serves") };
        let note = testing::host(|host| host.notes.explanation.take()).unwrap();
        let entry = 0x0b41_beba_4034_6ebe_u64 % 251;
        assert_eq!(note, format!("header:x-user is 0b41beba40346ebe: entry {entry} of 251 is that of backend-{at}"));
        bench.pick();
        assert_eq!(testing::host(|host| host.notes.explanation.take()), None, "nobody looks");
    }

    #[test]
    fn a_retry_goes_elsewhere_and_nobody_passes() {
        let mut bench = Bench::<Maglev>::new(&[1, 1]);
        assert!((0..100).all(|_| bench.retry(&[0]) == Decision::Choose(1)));
        assert_eq!(Bench::<Maglev>::new(&[0]).pick(), Decision::Pass);
    }

    #[test]
    fn a_table_that_is_no_prime_is_refused() {
        let refusal = Bench::<Maglev>::with(r#"{"table": 65536}"#, &[1], 1).err().unwrap();
        assert_eq!(refusal, "table must be a prime up to 655373, such as 65537 or 655373, not 65536");
    }

    #[test]
    fn who_leaves_moves_few_keys_beside_its_own() {
        // A tenth has to move. The paper's figure 12 has about two per cent beside it at this size of table; more entries
        // for each backend, fewer keys.
        for (table, most) in [(65_537, 0.03), (655_373, 0.01)] {
            let settings: &str = Box::leak(format!(r#"{{"table": {table}}}"#).into_boxed_str());
            let moved = Behaviour::<Maglev>::of(settings).disruption(10, 50_000);
            assert!(moved.others < most && (moved.own - 0.1).abs() < 0.006, "{table}: {moved:?}");
        }
    }
}
