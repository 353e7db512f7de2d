//! Generated from `wit/`; the only file that names wit-bindgen. One module for what every plugin may import, and one per
//! world of exports, so that a component exports only the halves that its macro names.
#![allow(missing_docs, unsafe_code, clippy::all, reason = "generated")]

/// What every plugin may import, and the types.
pub mod platform {
    wit_bindgen::generate!({
        path: "wit",
        world: "platform",
        default_bindings_module: "pointsman_sdk::bindings::platform",
        additional_derives: [PartialEq],
        generate_all,
    });
}

/// A world of exports whose imports are those of [`platform`].
macro_rules! world {
    ($module:ident, $world:literal, $macro:literal, $bindings:literal) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "wit",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                default_bindings_module: $bindings,
                with: {
                    "pointsman:plugin/types@0.1.0": crate::bindings::platform::pointsman::plugin::types,
                    "pointsman:plugin/request@0.1.0": crate::bindings::platform::pointsman::plugin::request,
                    "pointsman:plugin/figures@0.1.0": crate::bindings::platform::pointsman::plugin::figures,
                    "pointsman:plugin/shared@0.1.0": crate::bindings::platform::pointsman::plugin::shared,
                    "pointsman:plugin/kv@0.1.0": crate::bindings::platform::pointsman::plugin::kv,
                    "pointsman:plugin/metrics@0.1.0": crate::bindings::platform::pointsman::plugin::metrics,
                    "pointsman:plugin/rate-limit@0.1.0": crate::bindings::platform::pointsman::plugin::rate_limit,
                    "pointsman:plugin/log@0.1.0": crate::bindings::platform::pointsman::plugin::log,
                },
                generate_all,
            });
        }
    };
}

world!(balancer, "balancer-plugin", "export_balancer", "pointsman_sdk::bindings::balancer");
world!(filter, "filter-plugin", "export_filter", "pointsman_sdk::bindings::filter");

/// The optional half `about`; it uses no types.
pub mod about {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-about",
        pub_export_macro: true,
        export_macro_name: "export_about",
        default_bindings_module: "pointsman_sdk::bindings::about",
    });
}

/// The optional half `feedback`.
pub mod feedback {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-feedback",
        pub_export_macro: true,
        export_macro_name: "export_feedback",
        default_bindings_module: "pointsman_sdk::bindings::feedback",
        with: { "pointsman:plugin/types@0.1.0": crate::bindings::platform::pointsman::plugin::types },
    });
}

/// The optional half `handover`; it uses no types.
pub mod handover {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-handover",
        pub_export_macro: true,
        export_macro_name: "export_handover",
        default_bindings_module: "pointsman_sdk::bindings::handover",
    });
}

/// The optional half `prober`.
pub mod prober {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-prober",
        pub_export_macro: true,
        export_macro_name: "export_prober",
        default_bindings_module: "pointsman_sdk::bindings::prober",
        with: { "pointsman:plugin/types@0.1.0": crate::bindings::platform::pointsman::plugin::types },
    });
}

/// The optional half `ticker`; it uses no types.
pub mod ticker {
    wit_bindgen::generate!({
        path: "wit",
        world: "with-ticker",
        pub_export_macro: true,
        export_macro_name: "export_ticker",
        default_bindings_module: "pointsman_sdk::bindings::ticker",
    });
}
