//! Durable private folders and files: they survive a power cut, other users cannot enter or read them, and a folder can
//! carry an id.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use uuid::Uuid;

use super::{Error, Result};

/// The mode of folders that no other user may enter.
pub(super) const PRIVATE_DIR_MODE: u32 = 0o700;
/// The mode of files that no other user may read.
pub(super) const PRIVATE_FILE_MODE: u32 = 0o600;
/// The mode of folders above private ones. An embedded PostgreSQL runs as another user and has to pass through them.
const TRAVERSABLE_DIR_MODE: u32 = 0o755;

/// The timeout for the free space of a disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(10);

/// The disk that a folder is on.
pub(super) struct Disk {
    folder: PathBuf,
    question: Arc<Semaphore>,
}

impl Disk {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), question: Arc::new(Semaphore::new(1)) }
    }

    /// How many bytes may still be written to the disk. A disk that hangs blocks a thread until it answers, so only one
    /// thread asks at a time.
    ///
    /// # Errors
    /// If the disk does not answer in ten seconds, or not with a number.
    pub(super) async fn free_bytes(&self) -> Result<u64> {
        let answer = async {
            let permit = Arc::clone(&self.question).acquire_owned().await.map_err(io::Error::other)?;
            let folder = self.folder.clone();
            let disk = spawn_blocking(move || {
                let disk = rustix::fs::statvfs(&folder);
                drop(permit);
                disk
            });
            let disk = disk.await?.map_err(io::Error::from)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        };
        timeout(DISK_TIMEOUT, answer).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Creates a private folder. Missing folders above it are created as traversable ones. Each name is on the disk before
/// anything is created below it.
pub(super) fn create_private_dir(folder: &Path) -> io::Result<()> {
    create_with_mode(folder, PRIVATE_DIR_MODE)
}

/// Creates a folder that other users may pass through, and the missing folders above it. Each name is on the disk
/// before anything is created below it.
pub(super) fn create_traversable_dir(folder: &Path) -> io::Result<()> {
    create_with_mode(folder, TRAVERSABLE_DIR_MODE)
}

fn create_with_mode(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_traversable_dir(parent)?;
    match DirBuilder::new().mode(mode).create(folder) {
        // Another process has just created the folder.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = format!("a file, or a link to nowhere, is in the place of the folder {}", folder.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, found));
        }
        made => {
            made?;
            // The umask may have removed more bits from the mode.
            fs::set_permissions(folder, Permissions::from_mode(mode))?;
        }
    }
    File::open(parent)?.sync_all()
}

/// Opens a file for writing, and creates it if need be. Keeps its contents. Makes it private, even if it existed with
/// another mode.
pub(super) fn open_private_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).mode(PRIVATE_FILE_MODE).open(path)?;
    if file.metadata()?.mode() & 0o7777 != PRIVATE_FILE_MODE {
        file.set_permissions(Permissions::from_mode(PRIVATE_FILE_MODE))?;
    }
    Ok(file)
}

/// Makes a folder and everything in it private. The folder need not exist. An earlier version, or a copy, may have left
/// modes that the umask chose. Costs a `stat` for each file. Logs one warning about files whose mode cannot be changed,
/// for example on a disk without modes, and leaves them as they are.
pub(super) fn make_private(folder: &Path) {
    // The folder itself may be a link, which is followed. Links inside it are not, because they lead out of it.
    let mut waiting: Vec<_> = folder.canonicalize().into_iter().collect();
    let mut failed = None;
    let mut failures = 0;
    while let Some(path) = waiting.pop() {
        match make_entry_private(&path) {
            // A private folder that cannot be read belongs to another user, for example a disk's `lost+found`.
            Ok(true) => waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path())),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                failures += 1;
                failed.get_or_insert((path, error));
            }
        }
    }
    if let Some((path, error)) = failed {
        tracing::warn!(
            path = %path.display(),
            %error,
            failures,
            "restricting file permissions failed; other users of this machine may read these files"
        );
    }
}

/// Makes one file or folder private. Returns whether it is a folder. A folder is closed before its contents, so that
/// nobody else enters it in between.
fn make_entry_private(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    let mode = match metadata.file_type() {
        kind if kind.is_dir() => PRIVATE_DIR_MODE,
        kind if kind.is_file() => PRIVATE_FILE_MODE,
        _ => return Ok(false),
    };
    if metadata.mode() & 0o7777 != mode {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    Ok(metadata.is_dir())
}

/// Quotes a path as one word of a shell command.
pub(super) fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// Reads the id in a file; `None` if there is no file.
///
/// # Errors
/// When the file cannot be read or does not hold a UUID.
pub(super) fn read_id(path: &Path) -> Result<Option<Uuid>> {
    match fs::read_to_string(path) {
        Ok(text) => match Uuid::try_parse(text.trim()) {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(Error::Corrupt(format!("{} does not hold an id", path.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the id in the file `name` of a folder, or creates it. The id stays the same for as long as the folder exists.
pub(super) fn read_or_create_id(folder: &Path, name: &str) -> Result<Uuid> {
    let path = folder.join(name);
    if let Some(id) = read_id(&path)? {
        return Ok(id);
    }
    let id = Uuid::new_v4();
    // The rename ensures that a kill leaves a complete id or none.
    let draft = path.with_extension("id.new");
    let mut file = open_private_file(&draft)?;
    file.set_len(0)?;
    file.write_all(id.to_string().as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_given_up_and_asked_by_one_thread() {
        let disk = Disk::of(Path::new("/"));
        let hangs = Arc::clone(&disk.question).acquire_owned().await.unwrap();
        let Err(Error::Io(error)) = disk.free_bytes().await else { panic!("the disk has not answered") };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(hangs);
        assert!(disk.free_bytes().await.unwrap() > 0);
    }

    #[test]
    fn every_missing_folder_is_made_and_a_file_in_the_way_is_told() {
        let root = TempDir::new().unwrap();
        let deep = root.path().join("one/two/three");
        create_private_dir(&deep).unwrap();
        create_private_dir(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(root.path().join("file"), "").unwrap();
        assert!(create_private_dir(&root.path().join("file")).is_err());
        assert!(create_private_dir(&root.path().join("file/folder")).is_err());
    }

    #[test]
    fn what_others_could_enter_is_closed_and_links_are_not_followed() {
        let root = TempDir::new().unwrap();
        let (inside, outside) = (root.path().join("inside"), root.path().join("outside"));
        create_private_dir(&inside.join("deep")).unwrap();
        create_private_dir(&outside).unwrap();
        let files = [inside.join("deep/file"), inside.join("read-only")];
        for file in &files {
            fs::write(file, "").unwrap();
        }
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        chmod(&inside, 0o2777);
        chmod(&files[0], 0o666);
        chmod(&files[1], 0o444);
        chmod(&outside, 0o755);
        make_private(&inside);
        for folder in [&inside, &inside.join("deep")] {
            assert_eq!(mode(folder), PRIVATE_DIR_MODE, "{}", folder.display());
        }
        for file in &files {
            assert_eq!(mode(file), PRIVATE_FILE_MODE, "{}", file.display());
        }
        assert_eq!(mode(&outside), 0o755);

        std::os::unix::fs::symlink(&outside, root.path().join("elsewhere")).unwrap();
        make_private(&root.path().join("elsewhere"));
        assert_eq!(mode(&outside), PRIVATE_DIR_MODE, "the target of a link is made private");
        make_private(&root.path().join("nowhere"));
    }
}
