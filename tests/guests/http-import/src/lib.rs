//! A balancer that would speak HTTP by itself.

use pointsman_sdk::prelude::*;

wit_bindgen::generate!({
    inline: r"
        package guests:http-import;

        world speaks {
            import wasi:http/outgoing-handler@0.3.0;
        }

        package wasi:http@0.3.0 {
            interface outgoing-handler {
                handle: func();
            }
        }
    ",
    generate_all,
});

struct Speaks;

impl Balancer for Speaks {
    type Settings = NoSettings;

    fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
        wasi::http::outgoing_handler::handle();
        Ok(Speaks)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        turn.untried(0, pool)
    }
}

balancer!(Speaks);
