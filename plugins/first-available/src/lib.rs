//! First available: packs requests onto the first backends that have room, so that the last ones stay empty and may be
//! switched off. Order is by priority, then by name. Slow start makes a room smaller.

use pointsman_sdk::{SlowStart, prelude::*};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Requests that a backend of weight 1 may have under way before the next one is used.
    room: u32,
}

struct FirstAvailable {
    room: u32,
    /// In the order of use, each with how many requests it may have.
    order: Vec<(Position, u64)>,
    slow: SlowStart,
}

impl Balancer for FirstAvailable {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        match settings.room {
            0 => Err("room must be 1 or more: how many requests a backend may have under way".into()),
            room => Ok(FirstAvailable { room, order: Vec::new(), slow: SlowStart::default() }),
        }
    }

    fn update(&mut self, pool: &Pool) {
        let mut order: Vec<_> = pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0).collect();
        // Shorter names first: backend-2 comes before backend-10.
        order.sort_unstable_by(|(one, _), (other, _)| {
            (one.priority, one.name.len(), &one.name).cmp(&(other.priority, other.name.len(), &other.name))
        });
        let room = |backend: &Backend| u64::from(self.room) * u64::from(backend.weight);
        self.order = order.into_iter().map(|(backend, position)| (position, room(backend))).collect();
        self.slow = SlowStart::over(pool);
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let has_room = |&&(position, room): &&(Position, u64)| {
            // One at the least: who gets nothing never warms up.
            let room = (room.saturating_mul(self.slow.permille(position).into()) / 1000).max(1);
            u64::from(figures::in_flight(position)) < room
        };
        match self.order.iter().find(has_room) {
            Some(&(position, _)) => turn.untried(position, pool),
            // All are full: the fallback spreads what is too much.
            None => Decision::Pass,
        }
    }
}

balancer!(FirstAvailable: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::behaves;
    use pointsman_sdk::testing::{self, Bench};

    behaves!(FirstAvailable, r#"{"room": 10}"#);

    fn bench(weights: &[u32], under_way: &[u32]) -> Bench<FirstAvailable> {
        let bench = Bench::with(r#"{"room": 10}"#, weights, 1).unwrap();
        testing::host(|host| host.figures.iter_mut().zip(under_way).for_each(|(of, n)| of.in_flight = *n));
        bench
    }

    #[test]
    fn the_first_with_room_serves() {
        assert_eq!(bench(&[1, 1, 1], &[9, 0, 0]).pick(), Decision::Choose(0));
        assert_eq!(bench(&[1, 1, 1], &[10, 0, 0]).pick(), Decision::Choose(1));
        assert_eq!(bench(&[2, 1, 1], &[19, 0, 0]).pick(), Decision::Choose(0), "twice the weight, twice the room");
        assert_eq!(bench(&[0, 1], &[0, 0]).pick(), Decision::Choose(1));
    }

    #[test]
    fn who_starts_slowly_has_a_part_of_its_room_and_one_at_the_least() {
        for (permille, room) in [(300, 3), (10, 1)] {
            let mut bench = bench(&[1, 1], &[0, 0]);
            testing::host(|host| host.figures[0].slow_start_permille = permille);
            bench.update(2, Standing::Ready);
            testing::host(|host| host.figures[0].in_flight = room - 1);
            assert_eq!(bench.pick(), Decision::Choose(0));
            testing::host(|host| host.figures[0].in_flight = room);
            assert_eq!(bench.pick(), Decision::Choose(1));
        }
    }

    #[test]
    fn when_all_are_full_the_fallback_spreads() {
        assert_eq!(bench(&[1, 1], &[10, 11]).pick(), Decision::Pass);
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut bench = bench(&[1; 12], &[10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0, 0]);
        assert_eq!(bench.pick(), Decision::Choose(10));
        assert_eq!(bench.retry(&[10]), Decision::Choose(11));
    }

    #[test]
    fn no_room_at_all_is_refused() {
        assert!(Bench::<FirstAvailable>::with(r#"{"room": 0}"#, &[1], 1).err().unwrap().starts_with("room must be 1"));
        assert_eq!(Bench::<FirstAvailable>::with("{}", &[1], 1).err().unwrap(), "setting `room` is missing");
    }
}
