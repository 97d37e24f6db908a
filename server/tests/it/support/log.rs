//! What a server says on its standard output.

use std::{
    io::{BufRead, BufReader},
    process::ChildStdout,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use serde_json::Value;

/// All lines so far, of all processes of one app.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Reads to the end, so that the server never waits for its reader.
    pub(crate) fn follow(&self, output: ChildStdout) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                log.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The events with this message; a line that is no JSON fails the test.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let parsed = self.lines().into_iter().map(|line| match serde_json::from_str::<Value>(&line) {
            Ok(event) => event,
            Err(error) => panic!("the log has a line that is no JSON: {error}: {line}"),
        });
        parsed.filter(|event| event["message"] == message).collect()
    }
}
