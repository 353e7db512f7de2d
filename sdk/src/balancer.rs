//! An algorithm: the trait it implements and the macro that exports it.

use crate::{Decision, Place, Pool, Turn};
use serde::de::DeserializeOwned;

/// An algorithm. One value serves one pool on one worker thread; workers share figures and
/// [counters](crate::host::shared::Counter), never memory.
pub trait Balancer: Sized + 'static {
    /// What its user may set, as a struct that derives `serde::Deserialize` with `#[serde(deny_unknown_fields)]`; a field
    /// with `#[serde(default)]` may be left out. [`NoSettings`](crate::NoSettings) when there is nothing to set.
    type Settings: DeserializeOwned;

    /// Called once, first. An error refuses the plugin; its text is shown to whoever wrote the settings, so name the
    /// setting and what it may be: `k must be 1..=16`.
    fn new(settings: Self::Settings, place: &Place) -> Result<Self, String>;

    /// Called after [`new`](Self::new) and whenever the pool changes: the place for work that would be too much for a
    /// pick. State that outlives it is kept by [`Backend::id`](crate::Backend::id), never by position.
    fn update(&mut self, pool: &Pool) {
        let _ = pool;
    }

    /// Called for each request and each retry while at least one backend is ready; an empty pool is passed on without
    /// asking. [`Turn::untried`] turns a position into a decision that respects earlier tries.
    fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision;
}

/// The optional half of a balancer that works on a schedule: `balancer!(MyType: ticker)`.
///
/// ```
/// use pointsman_sdk::prelude::*;
///
/// /// Looks at the figures ten times a second, not in every pick.
/// struct Calm {
///     least_busy: Position,
/// }
///
/// impl Balancer for Calm {
///     type Settings = NoSettings;
///
///     fn new(_: NoSettings, _: &Place) -> Result<Self, String> {
///         Ok(Calm { least_busy: 0 })
///     }
///
///     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision {
///         turn.untried(self.least_busy.min(pool.len() - 1), pool)
///     }
/// }
///
/// impl Ticker for Calm {
///     fn period_ms(&self) -> u32 {
///         100
///     }
///
///     fn tick(&mut self, _now_us: u64, pool: &Pool) {
///         self.least_busy = (0..pool.len()).min_by_key(|&at| figures::in_flight(at)).unwrap_or(0);
///     }
/// }
///
/// balancer!(Calm: ticker);
/// # let mut bench = pointsman_sdk::testing::Bench::<Calm>::new(&[1, 1]);
/// # pointsman_sdk::testing::host(|host| host.figures[0].in_flight = 1);
/// # bench.tick();
/// # assert_eq!(bench.pick(), Decision::Choose(1));
/// ```
pub trait Ticker: Balancer {
    /// How often to tick. Asked once, after [`Balancer::new`]; less than 10 counts as 10.
    fn period_ms(&self) -> u32;

    /// Called between two picks; `now_us` is on the clock of [`Turn::now_us`].
    fn tick(&mut self, now_us: u64, pool: &Pool);
}

/// Exports a [`Balancer`]; write it once, at the top level of the crate. `balancer!(MyType)` exports what every balancer
/// has; optional halves are named behind a colon, `balancer!(MyType: ticker, feedback, prober, handover, about)`. A half that is not
/// named is not exported and costs nothing. `about` tells what stands in the crate's `plugin.toml`.
///
/// A half that does not exist is an error that names those that do:
///
/// ```compile_fail
/// # use pointsman_sdk::prelude::*;
/// # struct Mine;
/// # impl Balancer for Mine {
/// #     type Settings = NoSettings;
/// #     fn new(_: NoSettings, _: &Place) -> Result<Self, String> { Ok(Mine) }
/// #     fn pick(&mut self, turn: &Turn, pool: &Pool) -> Decision { turn.untried(0, pool) }
/// # }
/// balancer!(Mine: tocker);
/// ```
#[macro_export]
macro_rules! balancer {
    ($balancer:ty $(: $($half:ident),+ $(,)?)?) => {
        const _: () = {
            const fn is_a_balancer<T: $crate::Balancer>() {}
            is_a_balancer::<$balancer>();
            $($($crate::__half!(check $half $balancer);)+)?

            #[cfg(target_family = "wasm")]
            ::std::thread_local! {
                static KEPT: $crate::export::Kept<$crate::export::Pooled<$balancer>> =
                    const { $crate::export::Kept::empty() };
            }

            #[cfg(target_family = "wasm")]
            struct Exports;

            #[cfg(target_family = "wasm")]
            const _: () = {
                impl $crate::bindings::balancer::exports::pointsman::plugin::balancer::Guest for Exports {
                    fn configure(settings: String, place: $crate::Place) -> Result<(), String> {
                        let pooled = $crate::export::Pooled::configure(&settings, place)?;
                        KEPT.with(|kept| kept.keep(pooled));
                        Ok(())
                    }

                    fn update(backends: Vec<$crate::Backend>, others: Vec<$crate::Backend>) {
                        KEPT.with(|kept| kept.lend("update", |pooled| pooled.update(backends, others)))
                    }

                    fn pick(turn: $crate::Turn) -> $crate::Decision {
                        KEPT.with(|kept| kept.lend("pick", |pooled| pooled.pick(&turn)))
                    }
                }
                $crate::bindings::balancer::export_balancer!(Exports with_types_in $crate::bindings::balancer);
                $($($crate::__half!(export $half);)+)?
            };
        };
    };
}

/// One optional half of [`balancer!`]: checked on every target, exported on wasm.
#[doc(hidden)]
#[macro_export]
macro_rules! __half {
    (check ticker $balancer:ty) => {
        const fn is_a_ticker<T: $crate::Ticker>() {}
        is_a_ticker::<$balancer>();
    };
    (export ticker) => {
        impl $crate::bindings::ticker::exports::pointsman::plugin::ticker::Guest for Exports {
            fn period_ms() -> u32 {
                KEPT.with(|kept| kept.lend("period-ms", |pooled| pooled.period_ms()))
            }

            fn tick(now_us: u64) {
                KEPT.with(|kept| kept.lend("tick", |pooled| pooled.tick(now_us)))
            }
        }
        $crate::bindings::ticker::export_ticker!(Exports with_types_in $crate::bindings::ticker);
    };
    (check about $plugin:ty) => {
        const _: &str = ::std::include_str!(::std::concat!(::std::env!("CARGO_MANIFEST_DIR"), "/plugin.toml"));
    };
    (export about) => {
        impl $crate::bindings::about::exports::pointsman::plugin::about::Guest for Exports {
            fn describe() -> $crate::bindings::about::exports::pointsman::plugin::about::Description {
                $crate::export::describe(::std::include_str!(::std::concat!(
                    ::std::env!("CARGO_MANIFEST_DIR"),
                    "/plugin.toml"
                )))
            }
        }
        $crate::bindings::about::export_about!(Exports with_types_in $crate::bindings::about);
    };
    (check feedback $balancer:ty) => {
        const fn hears<T: $crate::Feedback>() {}
        hears::<$balancer>();
    };
    (export feedback) => {
        impl $crate::bindings::feedback::exports::pointsman::plugin::feedback::Guest for Exports {
            fn observe(now_us: u64, batch: $crate::Outcomes) {
                KEPT.with(|kept| kept.lend("observe", |pooled| pooled.observe(now_us, &batch)))
            }
        }
        $crate::bindings::feedback::export_feedback!(Exports with_types_in $crate::bindings::feedback);
    };
    (check prober $balancer:ty) => {
        const fn asks<T: $crate::Prober>() {}
        asks::<$balancer>();
    };
    (export prober) => {
        impl $crate::bindings::prober::exports::pointsman::plugin::prober::Guest for Exports {
            fn probed(now_us: u64, batch: $crate::ProbeAnswers) {
                KEPT.with(|kept| kept.lend("probed", |pooled| pooled.probed(now_us, &batch)))
            }
        }
        $crate::bindings::prober::export_prober!(Exports with_types_in $crate::bindings::prober);
    };
    (check handover $balancer:ty) => {
        const fn hands_over<T: $crate::HandOver>() {}
        hands_over::<$balancer>();
    };
    (export handover) => {
        impl $crate::bindings::handover::exports::pointsman::plugin::handover::Guest for Exports {
            fn schema() -> u32 {
                KEPT.with(|kept| kept.lend("schema", |pooled| pooled.schema()))
            }

            fn save() -> Vec<u8> {
                KEPT.with(|kept| kept.lend("save", |pooled| pooled.save()))
            }

            fn restore(schema: u32, parts: Vec<Vec<u8>>) -> Result<(), String> {
                KEPT.with(|kept| kept.lend("restore", |pooled| pooled.restore(schema, &parts)))
            }
        }
        $crate::bindings::handover::export_handover!(Exports with_types_in $crate::bindings::handover);
    };
    (check $other:ident $balancer:ty) => {
        ::std::compile_error!(
            ::std::concat!(
                "a balancer has no half `",
                ::std::stringify!($other),
                "`; it may have: ticker, feedback, prober, handover, about"
            )
        );
    };
    (export $other:ident) => {};
}
