//! Unit tests, and the same decisions as nginx's and libmemcached's.

use super::*;
use pointsman_sdk::{
    behaves,
    hashing::mix,
    testing::{self, Behaviour, Bench, Request},
};

behaves!(RingHash);

mod as_libmemcached {
    use super::*;

    behaves!(RingHash, r#"{"points": "ketama-md5"}"#);
}

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
fn who_leaves_moves_its_own_keys_and_no_other() {
    for settings in ["{}", r#"{"points": "ketama-md5"}"#] {
        let moved = Behaviour::<RingHash>::of(settings).disruption(10, 20_000);
        assert!(moved.others == 0.0 && (moved.own - 0.1).abs() < 0.025, "the least there can be: {moved:?}");
    }
}

#[test]
fn points_are_those_of_nginx() {
    // By the CRC32 of zlib.
    let first = |name| nginx(name, 3).collect::<Vec<u32>>();
    assert_eq!(first("10.0.0.1:8080"), [0xf1ea_5a8f, 0x4bd0_8e68, 0x84e5_eeee]);
    assert_eq!(first("backend"), [0x1ae7_0921, 0xe1e5_66a4, 0x60b0_e5a6]);
    assert_eq!(first("unix:/run/a.sock"), [0xf38e_ed1d, 0x7173_37cf, 0xdf94_8bc7]);
    assert_eq!(first("[::1]:80"), [0x3d49_36c4, 0x9d53_6eea, 0xd9ea_90dc]);
    assert_eq!(first("shard:a"), [0xb97c_eea9, 0x1b54_785e, 0x9cfe_fe6c]);
}

/// `ngx_http_upstream_init_chash` and `ngx_http_upstream_find_chash_point`, written anew: plain CRC32, bit by bit, and a
/// look at every point.
fn nginx_decides(servers: &[(&str, u32)], hash: u32) -> usize {
    let crc = |before: u32, bytes: &[u8]| {
        let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        bytes.iter().fold(before, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
    };
    let mut points = Vec::new();
    for (server, &(name, weight)) in servers.iter().enumerate() {
        let (host, port) = name.split_once(':').unwrap();
        let base = crc(crc(crc(!0, host.as_bytes()), &[0]), port.as_bytes());
        let mut before = 0_u32;
        for _ in 0..weight * 160 {
            before = !crc(base, &before.to_le_bytes());
            points.push((before, server));
        }
    }
    let next = points.iter().filter(|(point, _)| *point >= hash).min();
    next.or_else(|| points.iter().min()).unwrap().1
}

#[test]
fn decisions_are_nginxs() {
    let servers = [("10.0.0.1:8080", 1), ("10.0.0.2:8080", 3), ("cache.example:81", 2), ("10.0.0.1:8081", 10)];
    let points = servers.iter().zip(0..).flat_map(|(&(name, weight), position)| {
        nginx(name, u64::from(weight * POINTS)).map(move |point| (point, position))
    });
    let ring = Ring::new(points);
    for hash in (0..500).map(|n| mix(n) as u32).chain([0, 1, u32::MAX]) {
        assert_eq!(ring.at(hash), Some(nginx_decides(&servers, hash) as Position), "{hash:#x}");
    }
}

/// Owners of `key-0` to `key-19999`: the first ones, and the CRC32 of all.
fn libmemcached_owners(servers: &[(&str, u32)]) -> (Vec<Position>, u32) {
    let total: u32 = servers.iter().map(|(_, weight)| weight).sum();
    let of = |(&(name, weight), position): (&(&str, u32), Position)| {
        let hashes = hashes(weight as f32 / total as f32, servers.len() as f32);
        ketama(name, hashes).map(move |point| (point, position))
    };
    let ring = Ring::new(servers.iter().zip(0..).flat_map(of));
    let owner = |n: u32| {
        let hash: [u8; 16] = Md5::digest(format!("key-{n}")).into();
        ring.at(u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]])).unwrap()
    };
    let owners: Vec<Position> = (0..20_000).map(owner).collect();
    let bytes: Vec<u8> = owners.iter().map(|&owner| owner as u8).collect();
    (owners[..10].to_vec(), crc32fast::hash(&bytes))
}

#[test]
fn decisions_are_libmemcacheds() {
    // Answers of libmemcached 1.1.4 itself (`memcached_generate_hash`, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED).
    let names: Vec<String> = (1..9).map(|n| format!("10.0.1.{n}:11211")).collect();
    let weights = [600, 300, 200, 350, 1000, 800, 950, 100];
    let servers: Vec<_> = names.iter().map(String::as_str).zip(weights).collect();
    assert_eq!(libmemcached_owners(&servers), (vec![4, 6, 4, 4, 5, 4, 6, 6, 2, 4], 0x6c26_764b));
    // In these two its floats give some servers four points less than whole numbers would.
    let names: Vec<String> = (1..6).map(|n| format!("10.9.0.{n}:{}", 11200 + n)).collect();
    let servers: Vec<_> = names.iter().map(String::as_str).zip([3, 5, 5, 6, 6]).collect();
    assert_eq!(libmemcached_owners(&servers), (vec![2, 1, 2, 3, 1, 1, 1, 2, 0, 4], 0x07e5_8279));
    let names: Vec<String> = (1..26).map(|n| format!("10.9.1.{n}:8080")).collect();
    let servers: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    assert_eq!(libmemcached_owners(&servers), (vec![2, 16, 7, 17, 15, 9, 7, 9, 9, 7], 0x7800_9052));
}

#[test]
fn many_heavy_backends_have_fewer_points_each() {
    let all = 4_096 * 1_000 * u64::from(POINTS);
    assert_eq!(fair(1_000 * u64::from(POINTS), all), 64);
    assert_eq!(fair(u64::from(POINTS), all), 1, "but never none");
    assert_eq!(fair(160, 1_600), 160);
}

#[test]
fn a_note_tells_key_and_point() {
    let mut bench = Bench::<RingHash>::with(r#"{"hash": "header:x-user"}"#, &[1; 3], 1).unwrap();
    testing::host(|host| host.request = Request::get("/").with_header("x-user", "ann"));
    let Decision::Choose(at) = bench.explained() else { panic!("somebody serves") };
    let note = testing::host(|host| host.notes.explanation.take()).unwrap();
    let whose = format!(" of 480 is that of backend-{at}");
    assert!(note.starts_with("header:x-user is 0b41beba40346ebe: point ") && note.ends_with(&whose), "{note}");
}
