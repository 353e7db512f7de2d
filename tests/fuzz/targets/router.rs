//! See `pointsman::properties::router`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::router(bytes));
