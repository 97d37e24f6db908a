//! Folders that are still there after the power has failed.

use std::{fs::File, io, path::Path};

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
