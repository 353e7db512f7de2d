//! See `pointsman::properties::chunks`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::chunks(bytes));
