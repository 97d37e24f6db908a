#![no_main]

libfuzzer_sys::fuzz_target!(
    // The examination catches a decoder's panic and refuses the file. libFuzzer's hook would end the process before
    // that.
    init: drop(std::panic::take_hook()),
    |bytes: &[u8]| vwaza::backend::fuzzing::media(bytes)
);
