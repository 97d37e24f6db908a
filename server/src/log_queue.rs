//! The queue between the threads of the server and its log. A thread of its own writes the lines, so no other thread
//! ever waits for a pipe, a terminal or a disk.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// Bytes of lines that may wait. The chunk that is being written is as long at most.
const WAITING_MAX_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of an empty buffer that are kept. A buffer that has grown larger is shrunk.
const KEPT_BYTES: usize = 256 * 1024;

/// Log lines that wait to be written. Lines that find the queue full are lost and counted.
pub(crate) struct LogQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    lost: u64,
    is_closed: bool,
    has_ended: bool,
}

impl LogQueue {
    /// Starts the thread that writes to `output`.
    pub(crate) fn start(output: impl Write + Send + 'static) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let writer = Arc::clone(&queue);
        thread::Builder::new().name("log".into()).spawn(move || writer.write_out(output))?;
        Ok(queue)
    }

    /// Waits until all lines are written, for `timeout` at most. Later lines are lost.
    pub(crate) fn close(&self, timeout: Duration) {
        let mut state = self.state();
        state.is_closed = true;
        self.changed.notify_all();
        // Whether the lines are written or the time is over, nothing is left to do.
        let _ = self.changed.wait_timeout_while(state, timeout, |state| !state.has_ended);
    }

    fn write_out(&self, mut output: impl Write) {
        let (mut chunk, mut reported) = (Vec::new(), 0);
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() && !state.is_closed {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.waiting.is_empty() {
                state.has_ended = true;
                self.changed.notify_all();
                return;
            }
            mem::swap(&mut chunk, &mut state.waiting);
            let lost = state.lost;
            drop(state);
            if output.write_all(&chunk).and_then(|()| output.flush()).is_err() {
                // The log has no reader any more, so a line about the loss would be lost, too.
                count_lost(chunk.iter().filter(|byte| **byte == b'\n').count() as u64);
            } else if lost > reported {
                tracing::warn!(lines = lost - reported, "log lines were lost: nobody read the log in time");
                reported = lost;
            }
            chunk.clear();
            chunk.shrink_to(KEPT_BYTES);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one whole line at each call, and never waits for the output.
impl Write for &LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        if state.is_closed || state.waiting.len() + line.len() > WAITING_MAX_BYTES {
            state.lost += 1;
            drop(state);
            count_lost(1);
        } else {
            let was_empty = state.waiting.is_empty();
            state.waiting.extend_from_slice(line);
            drop(state);
            if was_empty {
                self.changed.notify_all();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn count_lost(lines: u64) {
    metrics::counter!("vwaza_log_lines_lost_total").increment(lines);
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, pipe},
        time::Instant,
    };

    use super::*;

    /// A line of 1,000 bytes.
    fn line(number: usize) -> Vec<u8> {
        format!("{number:0999}\n").into_bytes()
    }

    #[test]
    fn lines_wait_for_a_full_pipe_up_to_a_limit_and_the_others_are_counted() {
        let (reader, writer) = pipe().unwrap();
        let queue = LogQueue::start(writer).unwrap();
        let mut written = 0;
        while queue.state().lost < 10 {
            (&*queue).write_all(&line(written)).unwrap();
            written += 1;
        }
        assert!(written > WAITING_MAX_BYTES / 1000, "{written}");
        let waiting = queue.state().waiting.len();
        assert!(waiting <= WAITING_MAX_BYTES, "{waiting}");
        // A reader that comes back finds every other line, whole and in order, and then the later ones.
        let read = thread::spawn(move || {
            let lines = BufReader::new(reader).lines().map(|line| line.unwrap().parse::<usize>().unwrap());
            lines.collect::<Vec<_>>()
        });
        while !queue.state().waiting.is_empty() {
            thread::yield_now();
        }
        (&*queue).write_all(&line(written)).unwrap();
        queue.close(Duration::from_secs(60));
        assert!(queue.state().has_ended);
        drop(queue);
        let read = read.join().unwrap();
        assert_eq!(read.last(), Some(&written));
        assert_eq!(read.len(), written + 1 - 10);
        assert!(read.is_sorted());
    }

    #[test]
    fn closing_waits_for_a_full_pipe_no_longer_than_it_is_told() {
        let (reader, writer) = pipe().unwrap();
        let queue = LogQueue::start(writer).unwrap();
        for number in 0..200 {
            (&*queue).write_all(&line(number)).unwrap();
        }
        let began = Instant::now();
        queue.close(Duration::from_millis(100));
        assert!(began.elapsed() >= Duration::from_millis(100));
        assert!(!queue.state().has_ended);
        drop(reader);
    }

    #[test]
    fn an_output_that_is_gone_stops_nobody() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let queue = LogQueue::start(writer).unwrap();
        (&*queue).write_all(&line(1)).unwrap();
        queue.close(Duration::from_secs(60));
        assert!(queue.state().has_ended);
    }
}
