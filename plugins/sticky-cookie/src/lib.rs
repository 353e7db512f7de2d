//! A client goes back to the backend that its cookie names; the host signs and verifies it. Who comes new is for the
//! pool's fallback, and is bound to what that one chooses.

use pointsman_sdk::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StickyCookie {
    /// Set the cookie with each answer, so that its time to live begins anew.
    #[serde(default)]
    renew: bool,
}

impl Balancer for StickyCookie {
    type Settings = StickyCookie;

    fn new(settings: StickyCookie, _: &Place) -> Result<Self, String> {
        Ok(settings)
    }

    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
        // A retry is for a backend that has failed already.
        let stuck = if turn.attempt == 0 { request::stuck() } else { None };
        let standing = |at: Position| pool.get(at).map(|backend| backend.standing);
        match stuck {
            Some(at) if matches!(standing(at), Some(Standing::Ready | Standing::Draining)) => {
                if self.renew {
                    notes::stick(at);
                }
                Decision::Choose(at)
            }
            _ => {
                notes::stick_to_chosen();
                Decision::Pass
            }
        }
    }
}

balancer!(StickyCookie: about);

#[cfg(test)]
mod tests {
    use super::*;
    use pointsman_sdk::testing::{self, Bench, Stick};

    fn said() -> Option<Stick> {
        testing::host(|host| host.notes.stick)
    }

    #[test]
    fn who_comes_new_is_bound_to_what_others_choose() {
        let mut bench = Bench::<StickyCookie>::new(&[1, 1]);
        assert_eq!((bench.pick(), said()), (Decision::Pass, Some(Stick::Chosen)));
    }

    #[test]
    fn who_is_bound_goes_back_and_gets_no_cookie_again() {
        let mut bench = Bench::<StickyCookie>::new(&[1, 1]);
        testing::host(|host| host.stuck = Some(1));
        assert_eq!((bench.pick(), said()), (Decision::Choose(1), None));
        assert_eq!((bench.retry(&[1]), said()), (Decision::Pass, Some(Stick::Chosen)));
    }

    #[test]
    fn one_that_drains_keeps_its_clients_and_one_that_is_ill_does_not() {
        let mut bench = Bench::<StickyCookie>::new(&[1, 1, 1]);
        testing::host(|host| host.stuck = Some(2));
        for (standing, decision) in [
            (Standing::Draining, Decision::Choose(2)),
            (Standing::Unhealthy, Decision::Pass),
            (Standing::Warming, Decision::Pass),
        ] {
            bench.update(2, standing);
            assert_eq!(bench.pick(), decision, "{standing:?}");
        }
    }

    #[test]
    fn a_cookie_can_be_renewed() {
        let mut bench = Bench::<StickyCookie>::with(r#"{"renew": true}"#, &[1, 1], 1).unwrap();
        testing::host(|host| host.stuck = Some(0));
        assert_eq!((bench.pick(), said()), (Decision::Choose(0), Some(Stick::To(0))));
    }
}
