#![no_main]

libfuzzer_sys::fuzz_target!(
    // A panic of a decoder is caught and refuses its file; libFuzzer's hook would end the process before.
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| vwaza::backend::fuzzing::media(bytes)
);
