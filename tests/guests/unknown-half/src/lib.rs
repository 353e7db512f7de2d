//! A balancer with a half that no host of version 0.1.0 offers.

use pointsman_sdk::prelude::*;

wit_bindgen::generate!({
    inline: r"
        package guests:unknown-half;

        world half {
            export pointsman:plugin/foresight@0.1.0;
        }

        package pointsman:plugin@0.1.0 {
            interface foresight {
                foresee: func(now-us: u64);
            }
        }
    ",
});

struct Foresees;

impl Balancer for Foresees {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Foresees)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        turn.untried(0, pool)
    }
}

impl exports::pointsman::plugin::foresight::Guest for Foresees {
    fn foresee(_: u64) {}
}

balancer!(Foresees);
export!(Foresees);
