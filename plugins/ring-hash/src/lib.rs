//! Ring hash: a key belongs to the next point of a circle on which each backend has as many points as its weight says.
//! The points are those of nginx's `hash ... consistent`, or those of libmemcached, so that a cache behind either keeps
//! its keys' owners apart in the same proportions.

use md5::{Digest, Md5};
use pointsman_sdk::{
    hashing::{Key, Ring},
    prelude::*,
};
use serde::Deserialize;

/// Points of weight 1, as nginx and libmemcached have them.
const POINTS: u32 = 160;
/// Points of all backends together; with more than this each has fewer, in proportion. 2 MiB, and about 60 ms to build.
const POINTS_MAX: u64 = 1 << 18;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What is hashed of a request.
    #[serde(default)]
    hash: Key,
    /// Whose points.
    #[serde(default)]
    points: Points,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Points {
    /// CRC32, 160 for each unit of weight.
    #[default]
    Nginx,
    /// Four of each MD5, 160 for a backend of average weight.
    KetamaMd5,
}

struct RingHash {
    key: Key,
    points: Points,
    ring: Ring,
}

impl Balancer for RingHash {
    type Settings = Settings;

    fn new(settings: Settings, _: &Place) -> Result<Self, String> {
        Ok(RingHash { key: settings.hash, points: settings.points, ring: Ring::default() })
    }

    fn update(&mut self, pool: &Pool) {
        let mut all = Vec::new();
        let total: u64 = pool.ready().iter().map(|backend| u64::from(backend.weight)).sum();
        let taking = pool.ready().iter().filter(|backend| backend.weight > 0).count() as u64;
        for (backend, position) in pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0) {
            let weight = u64::from(backend.weight);
            match self.points {
                Points::Nginx => {
                    let count = fair(weight * u64::from(POINTS), total * u64::from(POINTS));
                    all.extend(nginx(&backend.name, count).map(|point| (point, position)));
                }
                Points::KetamaMd5 => {
                    let of_average = taking * u64::from(POINTS);
                    let count = fair(of_average * weight / total, of_average);
                    all.extend(ketama(&backend.name, count / 4).map(|point| (point, position)));
                }
            }
        }
        self.ring = Ring::new(all);
    }

    fn pick(&mut self, turn: &Turn, _: &Pool) -> Decision {
        let key = self.key.of(turn) as u32;
        if turn.attempt == 0 {
            return self.ring.at(key).map_or(Decision::Pass, Decision::Choose);
        }
        // A retry goes on round the ring, to where the key would belong if those tried had left.
        let tried = request::tried();
        let next = self.ring.from(key).find(|at| !tried.contains(at)).or_else(|| self.ring.at(key));
        next.map_or(Decision::Pass, Decision::Choose)
    }
}

balancer!(RingHash);

/// How many of `wanted` points there are when all want `all`; never none.
fn fair(wanted: u64, all: u64) -> u64 {
    if all <= POINTS_MAX { wanted } else { (wanted * POINTS_MAX / all).max(1) }
}

/// nginx's points (`ngx_http_upstream_init_chash`): the CRC32 of host, a zero byte, port and the point before, which
/// begins with zero.
fn nginx(name: &str, count: u64) -> impl Iterator<Item = u32> {
    let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
    let mut base = crc32fast::Hasher::new();
    base.update(host.as_bytes());
    base.update(&[0]);
    base.update(port.as_bytes());
    let mut before = 0_u32;
    (0..count).map(move |_| {
        let mut point = base.clone();
        point.update(&before.to_le_bytes());
        before = point.finalize();
        before
    })
}

/// libmemcached's points (`update_continuum` with weighted ketama): four of the MD5 of `host:port-n`, without the port
/// that memcached has by default.
fn ketama(name: &str, hashes: u64) -> impl Iterator<Item = u32> {
    let name = name.strip_suffix(":11211").unwrap_or(name).to_owned();
    (0..hashes.max(1)).flat_map(move |nth| {
        let hash: [u8; 16] = Md5::digest(format!("{name}-{nth}")).into();
        let (points, _) = hash.as_chunks::<4>();
        [points[0], points[1], points[2], points[3]].map(u32::from_le_bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench, Request};

    fn spread(settings: &str, weights: &[u32]) -> Vec<u32> {
        Bench::<RingHash>::with(settings, weights, 2).unwrap().spread(40_000)
    }

    #[test]
    fn keys_are_shared_about_by_weight() {
        // A ring is uneven by nature: with 160 points the spread of shares is about 8 %.
        for settings in ["{}", r#"{"points": "ketama-md5"}"#] {
            let spread = spread(settings, &[2, 1, 1, 0]);
            let expected = [20_000, 10_000, 10_000, 0];
            assert!(
                spread.iter().zip(expected).all(|(count, expected)| count.abs_diff(expected) <= expected / 4),
                "{spread:?}"
            );
        }
    }

    #[test]
    fn a_retry_goes_on_round_the_ring() {
        let mut bench = Bench::<RingHash>::with(r#"{"hash": "path"}"#, &[1; 4], 2).unwrap();
        testing::host(|host| host.request = Request::get("/a"));
        let Decision::Choose(first) = bench.pick() else { panic!("somebody serves") };
        let Decision::Choose(second) = bench.retry(&[first]) else { panic!("somebody serves") };
        assert_ne!(first, second);
        assert_eq!(bench.retry(&[0, 1, 2, 3]), Decision::Choose(first), "all were tried");
        assert_eq!(Bench::<RingHash>::new(&[0]).pick(), Decision::Pass);
    }

    fn of_all_users(bench: &mut Bench<RingHash>) -> Vec<Decision> {
        let ask = |user: u32| {
            testing::host(|host| host.request = Request::get("/").with_header("x-user", &user.to_string()));
            bench.pick()
        };
        (0..1_000).map(ask).collect()
    }

    #[test]
    fn only_the_keys_of_who_leaves_move() {
        let mut bench = Bench::<RingHash>::with(r#"{"hash": "header:x-user"}"#, &[1; 5], 1).unwrap();
        let before = of_all_users(&mut bench);
        bench.update(4, Standing::Unhealthy);
        let after = of_all_users(&mut bench);
        assert!(after.iter().zip(&before).all(|(now, then)| now == then || *then == Decision::Choose(4)));
    }

    #[test]
    fn points_are_those_of_nginx_and_libmemcached() {
        let name = "10.0.0.1:8080";
        let points: Vec<u32> = nginx(name, 4).collect();
        assert_eq!(points, [0xf1ea_5a8f, 0x4bd0_8e68, 0x84e5_eeee, 0xadea_d1be]);
        let points: Vec<u32> = ketama(name, 2).take(5).collect();
        assert_eq!(points, [0x7793_28cd, 0x0a6a_25cc, 0x525c_a1f0, 0xd143_146e, 0x11b5_7439]);
    }

    #[test]
    fn many_heavy_backends_have_fewer_points_each() {
        let all = 4_096 * 1_000 * u64::from(POINTS);
        assert_eq!(fair(1_000 * u64::from(POINTS), all), 64);
        assert_eq!(fair(u64::from(POINTS), all), 1, "but never none");
        assert_eq!(fair(160, 1_600), 160);
    }
}
