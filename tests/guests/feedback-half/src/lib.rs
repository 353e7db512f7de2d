//! A balancer with a half that hosts of version 0.1.0 do not offer yet.

use pointsman_sdk::prelude::*;

wit_bindgen::generate!({
    inline: r"
        package guests:feedback-half;

        world half {
            export pointsman:plugin/feedback@0.1.0;
        }

        package pointsman:plugin@0.1.0 {
            interface feedback {
                observe: func(now-us: u64);
            }
        }
    ",
});

struct Hears;

impl Balancer for Hears {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        Ok(Hears)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        turn.untried(0, pool)
    }
}

impl exports::pointsman::plugin::feedback::Guest for Hears {
    fn observe(_: u64) {}
}

balancer!(Hears);
export!(Hears);
