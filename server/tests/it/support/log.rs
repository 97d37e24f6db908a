//! The log that a server writes to its standard output.

use std::{
    io::{BufRead, BufReader},
    process::ChildStdout,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

/// All log lines so far, of all processes of one app.
#[derive(Clone, Default)]
pub(crate) struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    is_paused: Arc<AtomicBool>,
}

impl Log {
    /// Reads the output to its end.
    pub(crate) fn follow(&self, output: ChildStdout) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let Ok(line) = line else { return };
                while log.is_paused.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(10));
                }
                log.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    /// Stops reading the output, or goes on. Meanwhile the server's pipe fills.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.is_paused.store(is_paused, Ordering::Relaxed);
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the events with this message. A line that is not JSON fails the test.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let parsed = self.lines().into_iter().map(|line| match serde_json::from_str::<Value>(&line) {
            Ok(event) => event,
            Err(error) => panic!("the log has a line that is no JSON: {error}: {line}"),
        });
        parsed.filter(|event| event["message"] == message).collect()
    }
}
