#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vwaza::backend::fuzzing::intent(bytes));
