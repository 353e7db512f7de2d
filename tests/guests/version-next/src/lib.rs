//! A balancer of a version of the contract that is still to come.

wit_bindgen::generate!({
    inline: r"
        package guests:version-next;

        world next {
            export pointsman:plugin/balancer@0.2.0;
        }

        package pointsman:plugin@0.2.0 {
            interface balancer {
                pick: func() -> u32;
            }
        }
    ",
});

struct Next;

impl exports::pointsman::plugin::balancer::Guest for Next {
    fn pick() -> u32 {
        0
    }
}

export!(Next);
