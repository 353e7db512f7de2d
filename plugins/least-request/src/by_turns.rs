//! Turns by Envoy's weights.

use pointsman_sdk::{Deadlines, SlowStart, prelude::*};

/// Takes turns; whoever is served comes again the later the more it has under way.
pub(crate) struct ByTurns {
    bias: f64,
    /// Of the ready backends, by position.
    weights: Vec<u32>,
    deadlines: Deadlines,
}

impl ByTurns {
    pub(crate) fn new(bias: f64) -> ByTurns {
        ByTurns { bias, weights: Vec::new(), deadlines: Deadlines::default() }
    }

    pub(crate) fn update(&mut self, pool: &Pool) {
        self.weights = pool.ready().iter().map(|backend| backend.weight).collect();
        let cost = |at: Position| 1.0 / f64::from(self.weights[at as usize]);
        let taking = (0..).zip(&self.weights).filter(|(_, weight)| **weight > 0).map(|(at, _)| at);
        self.deadlines = Deadlines::new(taking, cost);
        // Workers begin at different places, or all of them would send their first requests to the heaviest.
        for _ in 0..pool.place().seed.checked_rem(self.deadlines.len() as u64).unwrap_or(0) {
            self.deadlines.next(cost);
        }
    }

    pub(crate) fn next(&mut self, slow: &mut SlowStart) -> Option<Position> {
        let (bias, weights) = (self.bias, &self.weights);
        self.deadlines.next(|at| {
            let load = f64::from(figures::in_flight(at)) + 1.0;
            // The usual bias needs no power.
            let load = if bias == 1.0 { load } else { load.powf(bias) };
            let weight = f64::from(weights[at as usize]) * f64::from(slow.permille(at).max(1)) / 1000.0;
            load / weight
        })
    }
}
