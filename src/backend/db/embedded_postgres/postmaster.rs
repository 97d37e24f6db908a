//! Reads `postmaster.pid`, in which a running PostgreSQL records its process id and port. The file survives a crash,
//! and its process id may then belong to any process.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The contents of `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pid: u32,
    /// Present once connections are accepted.
    pub(super) ready_port: Option<u16>,
}

/// The state of the PostgreSQL of a data directory, according to its `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Postmaster {
    /// There is no file. A PostgreSQL that shut down cleanly has removed it.
    None,
    /// The file exists, but no PostgreSQL runs in the directory.
    Dead {
        /// Whether the file keeps PostgreSQL from starting. PostgreSQL removes the file at its next start unless it
        /// cannot parse it, or its process id belongs to another running process.
        blocks_start: bool,
    },
    /// A PostgreSQL runs in the directory.
    Alive(PidFile),
}

impl Postmaster {
    /// Reads the state of the data directory `data`.
    ///
    /// # Errors
    /// When the file exists and cannot be read.
    pub(super) fn of(data: &Path) -> io::Result<Self> {
        let text = match fs::read(data.join("postmaster.pid")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::None),
            text => text?,
        };
        let Some(file) = PidFile::parse(&String::from_utf8_lossy(&text)) else {
            return Ok(Self::Dead { blocks_start: true });
        };
        let process = Path::new("/proc").join(file.pid.to_string());
        Ok(match is_at_work(&process, data) {
            true => Self::Alive(file),
            false => Self::Dead { blocks_start: process.exists() },
        })
    }
}

impl PidFile {
    /// Parses the file. Line 1 is the process id (negative in single-user mode), line 4 the port, line 8 the state.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let pid = lines.first()?.parse::<i32>().ok()?.unsigned_abs();
        let ready_port = (lines.get(7) == Some(&"ready")).then(|| lines.get(3)?.parse().ok()).flatten();
        (pid > 0).then_some(Self { pid, ready_port })
    }
}

/// Whether a process is a PostgreSQL that works in `data`. Every PostgreSQL server's working directory is its data
/// directory.
fn is_at_work(process: &Path, data: &Path) -> bool {
    // Everybody may read `stat`, for example "1234 (postgres) S …". Z is the state of a process that has ended and has
    // not been waited for.
    let Ok(stat) = fs::read_to_string(process.join("stat")) else { return false };
    let is_alive = |state: &str| !state.starts_with(['Z', 'X']);
    let is_postgres = stat
        .split_once('(')
        .and_then(|(_, rest)| rest.rsplit_once(") "))
        .is_some_and(|(name, state)| matches!(name, "postgres" | "postmaster") && is_alive(state));
    is_postgres
        && match (fs::metadata(process.join("cwd")), fs::metadata(data)) {
            (Ok(at), Ok(data)) => (at.dev(), at.ino()) == (data.dev(), data.ino()),
            // Root in a container may not read `cwd`. To wait for a PostgreSQL that is not ours is harmless; to
            // overlook one that is could damage its database.
            (Err(error), _) => error.kind() == io::ErrorKind::PermissionDenied,
            (_, Err(_)) => false,
        }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_told_by_its_device_and_its_number() {
        let process = tempfile::tempdir().expect("a temporary directory");
        fs::write(process.path().join("stat"), "812 (postgres) S 1 812 812 0").expect("our directory is writable");
        let is_at_work_at = |cwd: &Path, data: &Path| {
            let link = process.path().join("cwd");
            let _ = fs::remove_file(&link);
            symlink(cwd, &link).expect("our directory is writable");
            is_at_work(process.path(), data)
        };
        let (data, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (data, other) = (data.expect("a temporary directory"), other.expect("a temporary directory"));
        assert!(is_at_work_at(data.path(), data.path()));
        assert!(!is_at_work_at(other.path(), data.path()), "equal device, other inode number");
        // These are the roots of two kernel file systems, whose inode numbers are equal.
        let (one, two) = (Path::new("/proc"), Path::new("/sys"));
        let number = |path| fs::metadata(path).expect("every Linux mounts /proc and /sys").ino();
        assert_eq!(number(one), number(two), "the inode numbers differ, so the test proves nothing");
        assert!(is_at_work_at(one, one) && !is_at_work_at(one, two), "equal inode number, other device");
    }

    #[test]
    fn a_database_that_is_still_recovering_has_no_port_yet() {
        let pid_file = |state| format!("812\n/data\n1700000000\n54329\n\n127.0.0.1\n  1234  5\n{state}\n");
        let port = |text: &str| PidFile::parse(text).expect("the file names a process").ready_port;
        assert_eq!(port(&pid_file("ready   ")), Some(54329));
        assert_eq!(port(&pid_file("starting")), None);
        assert_eq!(port("812\n/data\n"), None);
        for damaged in ["", "\n", "0\n", "postgres\n", "99999999999\n"] {
            assert_eq!(PidFile::parse(damaged), None, "{damaged:?}");
        }
    }

    #[test]
    fn a_number_that_is_another_processs_names_no_database() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let state = || Postmaster::of(data.path()).expect("the file can be read");
        assert_eq!(state(), Postmaster::None);
        let ours = std::process::id();
        for (text, blocks_start) in [
            (format!("{ours}\n"), true),
            (format!("-{ours}\n"), true),
            (String::new(), true),
            ("2147483647\n".into(), false),
        ] {
            fs::write(data.path().join("postmaster.pid"), &text).expect("our directory is writable");
            assert_eq!(state(), Postmaster::Dead { blocks_start }, "{text:?}");
        }
    }
}
