//! Jump consistent hash.

/// The bucket of a key among `buckets`, 0 when there is none: Lamping and Veach, *A Fast, Minimal Memory, Consistent Hash
/// Algorithm*, 2014. When a bucket is added behind the others only the keys that move into it move; a bucket can only be
/// taken away at the end.
///
/// ```
/// # use pointsman_sdk::hashing::jump;
/// assert!((0..1000).all(|key| jump(key, 11) == jump(key, 10) || jump(key, 11) == 10));
/// ```
pub fn jump(mut key: u64, buckets: u32) -> u32 {
    let (mut bucket, mut next) = (0_i64, 0_i64);
    while next < i64::from(buckets) {
        bucket = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    bucket as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::mix;

    #[test]
    fn the_published_values() {
        // From the paper's own function, compiled as C++.
        let of = |key, buckets| jump(key, buckets);
        assert_eq!(
            [of(1, 1), of(42, 57), of(0xdead_10cc, 1), of(0xdead_10cc, 666), of(256, 1024)],
            [0, 43, 0, 361, 520]
        );
        assert_eq!(jump(5, 0), 0);
    }

    #[test]
    fn buckets_share_evenly() {
        let mut counts = [0_u32; 10];
        (0..100_000).for_each(|key| counts[jump(mix(key), 10) as usize] += 1);
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 500), "{counts:?}");
    }
}
