//! A balancer and a filter in one component.

use pointsman_sdk::prelude::*;

struct Both;

impl Balancer for Both {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Both)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        turn.untried(0, pool)
    }
}

impl Filter for Both {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Both)
    }

    fn on_request(&mut self, _: &Turn) -> Verdict {
        Verdict::Next
    }
}

balancer!(Both);
filter!(Both);
