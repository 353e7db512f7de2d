//! Whether counts are what chance makes of shares.

/// How far χ² may lie out: 4 standard deviations of a normal one, which fair draws pass in all but three of 100,000
/// seeds; and a seed stays what it is.
const DEVIATIONS: f64 = 4.0;

/// Pearson's χ² of these counts against these shares: how far they are from what draws by these weights would give.
/// Whatever has no share must have no count: that makes it infinite.
///
/// ```
/// # use pointsman_sdk::testing::chi_square;
/// assert_eq!(chi_square(&[50, 50], &[1, 1]), 0.0);
/// assert_eq!(chi_square(&[60, 40], &[1, 1]), 4.0);
/// assert_eq!(chi_square(&[99, 1], &[1, 0]), f64::INFINITY);
/// ```
pub fn chi_square(counts: &[u32], weights: &[u32]) -> f64 {
    let sum = |numbers: &[u32]| numbers.iter().map(|&number| f64::from(number)).sum::<f64>();
    let (picks, total) = (sum(counts), sum(weights));
    let each = |(&count, &weight): (&u32, &u32)| match (count, weight) {
        (0, 0) => 0.0,
        (_, 0) => f64::INFINITY,
        _ => {
            let expected = picks * f64::from(weight) / total;
            (f64::from(count) - expected).powi(2) / expected
        }
    };
    counts.iter().zip(weights).map(each).sum()
}

/// What χ² with so many degrees of freedom stays below (Wilson and Hilferty 1931) if chance is fair.
///
/// ```
/// # use pointsman_sdk::testing::chi_square_limit;
/// // At 20 degrees fair draws lie about 20, and above this limit once in 30,000 times.
/// assert_eq!(chi_square_limit(20).round(), 56.0);
/// ```
pub fn chi_square_limit(freedom: usize) -> f64 {
    let part = 2.0 / (9.0 * freedom as f64);
    freedom as f64 * (1.0 - part + DEVIATIONS * part.sqrt()).powi(3)
}

/// These counts are what draws by these weights give.
pub fn assert_shares(counts: &[u32], weights: &[u32]) {
    let freedom = weights.iter().filter(|&&weight| weight > 0).count().saturating_sub(1).max(1);
    let (found, limit) = (chi_square(counts, weights), chi_square_limit(freedom));
    assert!(found <= limit, "χ² is {found:.1}, at most {limit:.1} by chance: {counts:?} for weights {weights:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::mix;

    #[test]
    fn fair_dice_pass_and_loaded_ones_do_not() {
        let mut fair = [0; 6];
        (0..60_000).for_each(|n| fair[(mix(n) % 6) as usize] += 1);
        assert_shares(&fair, &[1; 6]);
        let mut loaded = [0; 6];
        // The six comes up a twentieth more often.
        (0..60_000).for_each(|n| loaded[if mix(n).is_multiple_of(120) { 5 } else { mix(!n) % 6 } as usize] += 1);
        assert!(std::panic::catch_unwind(|| assert_shares(&loaded, &[1; 6])).is_err(), "{loaded:?}");
    }
}
