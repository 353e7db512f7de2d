//! See `pointsman::properties::requests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::requests(bytes));
