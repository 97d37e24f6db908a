//! Folders that are still there after the power has failed, and that know themselves again.

use std::{fs::File, io, path::Path};

use uuid::Uuid;

use super::{Error, Result};

/// Makes a folder and those above it that are missing; each name is on the disk before anything is put under it.
pub(super) fn create_durably(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = match folder.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match std::fs::create_dir(folder) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    File::open(parent)?.sync_all()
}

/// The id that stands in a file; `None` where there is no file.
pub(super) fn read_id(path: &Path) -> Result<Option<Uuid>> {
    match std::fs::read_to_string(path) {
        Ok(text) => match Uuid::try_parse(text.trim()) {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(Error::Corrupt(format!("{} does not hold an id", path.display()))),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The id that stands in this file of a folder, for as long as there is the folder.
pub(super) fn read_or_make_id(folder: &Path, name: &str) -> Result<Uuid> {
    let path = folder.join(name);
    if let Some(id) = read_id(&path)? {
        return Ok(id);
    }
    let id = Uuid::new_v4();
    // Renamed into place, so that a kill leaves a whole id or none.
    let draft = path.with_extension("id.new");
    std::fs::write(&draft, id.to_string())?;
    File::open(&draft)?.sync_all()?;
    std::fs::rename(&draft, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn every_missing_folder_is_made_and_a_file_in_the_way_is_told() {
        let root = TempDir::new().unwrap();
        let deep = root.path().join("one/two/three");
        create_durably(&deep).unwrap();
        create_durably(&deep).unwrap();
        assert!(deep.is_dir());
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(create_durably(&root.path().join("file")).is_err());
        assert!(create_durably(&root.path().join("file/folder")).is_err());
    }
}
