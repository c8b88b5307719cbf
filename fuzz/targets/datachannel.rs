//! [`fuzz::datachannel`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::bound_memory(), |data: &[u8]| fuzz::datachannel(data));
