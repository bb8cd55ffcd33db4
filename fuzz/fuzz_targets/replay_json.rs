#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| roost_fuzz_targets::run("replay_json", bytes));
