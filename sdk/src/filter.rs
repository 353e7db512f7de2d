//! A filter: the trait it implements and the macro that exports it.

use crate::{Place, Turn, Verdict};
use serde::de::DeserializeOwned;

/// Sees each request of a route before its backend is chosen; may change it, or answer it. One value serves one worker
/// thread, for all routes that use the plugin with the same settings.
///
/// ```
/// use pointsman_sdk::prelude::*;
///
/// /// Tells the backend which door the request came through.
/// struct Door;
///
/// impl Filter for Door {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Door)
///     }
///
///     fn on_request(&mut self, _: &Turn) -> Verdict {
///         if request::method() == "TRACE" {
///             return edits::respond(405, &[], b"");
///         }
///         edits::set_header("x-door", request::scheme().as_bytes());
///         Verdict::Next
///     }
/// }
///
/// filter!(Door);
///
/// # use pointsman_sdk::testing::{FilterBench, Request};
/// let mut bench = FilterBench::<Door>::new("{}").unwrap();
/// assert_eq!(bench.send(Request::get("/")).request.header("x-door"), Some("https"));
/// assert_eq!(bench.send(Request::new("TRACE", "/")).answer.unwrap().status, 405);
/// ```
pub trait Filter: Sized + 'static {
    /// What its user may set; see [`Balancer::Settings`](crate::Balancer::Settings).
    type Settings: DeserializeOwned;

    /// Called once, first. An error refuses the plugin; its text is shown to whoever wrote the settings.
    fn new(settings: Self::Settings, place: &Place) -> Result<Self, String>;

    /// Called for each request. [`edits`](crate::host::edits) changes it; the value of
    /// [`edits::respond`](crate::host::edits::respond) answers it.
    fn on_request(&mut self, turn: &Turn) -> Verdict;
}

/// Exports a [`Filter`]; write it once, at the top level of the crate. `filter!(MyType: about)` also tells what stands in the
/// crate's `plugin.toml`.
#[macro_export]
macro_rules! filter {
    ($filter:ty $(: $half:ident)?) => {
        const _: () = {
            const fn is_a_filter<T: $crate::Filter>() {}
            is_a_filter::<$filter>();
            $($crate::__half!(check $half $filter);)?

            #[cfg(target_family = "wasm")]
            ::std::thread_local! {
                static KEPT: $crate::export::Kept<$filter> = const { $crate::export::Kept::empty() };
            }

            #[cfg(target_family = "wasm")]
            struct Exports;

            #[cfg(target_family = "wasm")]
            const _: () = {
                impl $crate::bindings::filter::exports::pointsman::plugin::filter::Guest for Exports {
                    fn configure(settings: String, place: $crate::Place) -> Result<(), String> {
                        let filter = $crate::export::filter::<$filter>(&settings, &place)?;
                        KEPT.with(|kept| kept.keep(filter));
                        Ok(())
                    }

                    fn on_request(turn: $crate::Turn) -> $crate::Verdict {
                        KEPT.with(|kept| kept.lend("on-request", |filter| $crate::Filter::on_request(filter, &turn)))
                    }
                }
                $crate::bindings::filter::export_filter!(Exports with_types_in $crate::bindings::filter);
                $($crate::__half!(export $half);)?
            };
        };
    };
}
