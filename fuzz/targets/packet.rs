//! [`fuzz::packet`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::bound_memory(), |data: &[u8]| fuzz::packet(data));
