//! What wasmtime generates from `wit/`. Nothing is written here, and nothing of it leaves this folder.

wasmtime::component::bindgen!({
    path: "../wit",
    inline: "
        package pointsman:host;
        world all-halves {
            include pointsman:plugin/balancer-full@0.1.0;
            include pointsman:plugin/filter-full@0.1.0;
            include pointsman:plugin/with-about@0.1.0;
        }
    ",
    imports: { default: trappable },
});
