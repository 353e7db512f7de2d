//! See `pointsman::properties::answers`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::answers(bytes));
