//! See `pointsman::properties::proxy_protocol`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pointsman::properties::proxy_protocol(bytes));
