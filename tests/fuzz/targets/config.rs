//! See `pointsman::properties::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::config(bytes));
