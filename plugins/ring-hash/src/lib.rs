//! Ring hash: a key belongs to the next point of a circle on which each backend has as many points as its weight says.
//! The points are those of nginx's `hash ... consistent`, or those of libmemcached, so that a cache behind either keeps
//! its keys' owners apart in the same proportions.

#[cfg(test)]
mod tests;

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
        self.ring = Ring::new(match self.points {
            Points::Nginx => all_of_nginx(pool),
            Points::KetamaMd5 => all_of_ketama(pool),
        });
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        let key = self.key.of(turn) as u32;
        notes::explain(turn, || {
            let (point, owner) = (self.ring.point(key).unwrap_or(0), self.ring.at(key));
            let owner = owner.map_or("nobody", |at| pool.name(at));
            format!("{}: point {point:08x} of {} is that of {owner}", self.key.told(turn), self.ring.len())
        });
        if turn.attempt == 0 {
            return self.ring.at(key).map_or(Decision::Pass, Decision::Choose);
        }
        // A retry goes on round the ring, to where the key would belong if those tried had left.
        let tried = request::tried();
        let next = self.ring.from(key).find(|at| !tried.contains(at)).or_else(|| self.ring.at(key));
        next.map_or(Decision::Pass, Decision::Choose)
    }
}

balancer!(RingHash: about);

/// Each with its position.
type Owned = Vec<(u32, Position)>;

/// How many of `wanted` points there are when all want `all`; never none.
fn fair(wanted: u64, all: u64) -> u64 {
    if all <= POINTS_MAX { wanted } else { (wanted * POINTS_MAX / all).max(1) }
}

fn taking(pool: &Pool) -> impl Iterator<Item = (&Backend, Position)> {
    pool.ready().iter().zip(0..).filter(|(backend, _)| backend.weight > 0)
}

fn all_of_nginx(pool: &Pool) -> Owned {
    let points = |backend: &Backend| u64::from(backend.weight) * u64::from(POINTS);
    let all = taking(pool).map(|(backend, _)| points(backend)).sum();
    let of = |(backend, position): (&Backend, Position)| {
        nginx(&backend.name, fair(points(backend), all)).map(move |point| (point, position))
    };
    taking(pool).flat_map(of).collect()
}

/// nginx's points (`ngx_http_upstream_init_chash`): the CRC32 of host, a zero byte, port and the point before, which
/// begins with zero.
fn nginx(name: &str, count: u64) -> impl Iterator<Item = u32> + use<> {
    let (host, port) = host_and_port(name);
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

/// As nginx cuts a server's name: a port is digits behind the last colon, and a socket file has none.
fn host_and_port(name: &str) -> (&str, &str) {
    if let Some((_, path)) = name.split_at_checked(5).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("unix:")) {
        return (path, "");
    }
    let cut = name.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    cut.unwrap_or((name, ""))
}

fn all_of_ketama(pool: &Pool) -> Owned {
    let weights = || taking(pool).map(|(backend, _)| u64::from(backend.weight));
    let (total, count) = (weights().sum::<u64>() as f32, weights().count() as u64);
    let of = |(backend, position): (&Backend, Position)| {
        let hashes = hashes(backend.weight as f32 / total, count as f32);
        let all = count * u64::from(POINTS);
        ketama(&backend.name, fair(hashes * 4, all) / 4).map(move |point| (point, position))
    };
    taking(pool).flat_map(of).collect()
}

/// How many hashes a backend with this share of all weights has, in libmemcached's own arithmetic: what is a little below
/// a whole number only because floats are coarse is rounded down all the same.
fn hashes(share: f32, backends: f32) -> u64 {
    let exact = share * POINTS as f32 / 4.0 * backends;
    (f64::from(exact) + 0.000_000_000_1) as f32 as u64
}

/// libmemcached's points (`update_continuum` with weighted ketama): four of the MD5 of `host:port-n`, without the port
/// that memcached has by default.
fn ketama(name: &str, hashes: u64) -> impl Iterator<Item = u32> + use<> {
    let name = name.strip_suffix(":11211").unwrap_or(name).to_owned();
    (0..hashes.max(1)).flat_map(move |nth| {
        let hash: [u8; 16] = Md5::digest(format!("{name}-{nth}")).into();
        let (points, _) = hash.as_chunks::<4>();
        [points[0], points[1], points[2], points[3]].map(u32::from_le_bytes)
    })
}
