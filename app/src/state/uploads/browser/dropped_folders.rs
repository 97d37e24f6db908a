//! Reads the files of dropped folders.

use js_sys::{Array, Promise, futures::JsFuture};
use wasm_bindgen::JsCast;
use web_sys::{File, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry};

use super::files::{Files, Item};

/// Most files that are read of one drop: far more than a release has.
const MAX_FILES: usize = 1000;
/// Deepest level of folders in folders. A box of several discs has three.
const MAX_DEPTH: usize = 8;

/// Files with the paths of their folders: "Album/CD 1/", or empty.
#[derive(Default)]
pub(super) struct DroppedFiles {
    pub(super) files: Vec<(File, String)>,
    /// Sentences about folders that were not read completely.
    pub(super) notes: Vec<String>,
}

pub(super) async fn read(files: Files) -> DroppedFiles {
    let mut found = DroppedFiles::default();
    for item in files.items {
        match item {
            Item::File(file) => found.files.push((file, String::new())),
            Item::Folder(folder) => found.add_folder(folder).await,
        }
    }
    found
}

impl DroppedFiles {
    async fn add_folder(&mut self, folder: FileSystemEntry) {
        let (name, before) = (folder.name(), self.files.len());
        match self.read_tree(folder).await {
            Some(true) if self.files.len() == before => self.notes.push(format!("The folder “{name}” is empty.")),
            Some(true) => {}
            Some(false) => self.notes.push(format!(
                "The folder “{name}” holds more than {MAX_FILES} files, so we did not read all of them. Open it and drop the files of this release."
            )),
            None => self.notes.push(format!("The folder “{name}” can't be read. Open it and drop the files in it.")),
        }
    }

    /// Reads the files of a folder and of the folders in it. Returns false if there are too many files, and `None` if
    /// the browser cannot read them.
    async fn read_tree(&mut self, folder: FileSystemEntry) -> Option<bool> {
        let mut folders = vec![(folder, 1)];
        while let Some((folder, depth)) = folders.pop() {
            let path = folder.full_path();
            let path = format!("{}/", path.trim_start_matches('/'));
            let reader = folder.unchecked_into::<FileSystemDirectoryEntry>().create_reader();
            loop {
                // A browser gives a hundred at a time, and none at the end.
                let entries = call_with_callbacks(|resolve, reject| {
                    // A call that throws does not call back, so `reject` is called here.
                    if reader.read_entries_with_callback_and_callback(resolve, reject).is_err() {
                        let _ = reject.call0(&wasm_bindgen::JsValue::NULL);
                    }
                });
                let entries: Array = entries.await?.dyn_into().ok()?;
                if entries.length() == 0 {
                    break;
                }
                for entry in entries.iter() {
                    let entry: FileSystemEntry = entry.unchecked_into();
                    // Hidden folders hold files of programs.
                    if entry.is_directory() && depth < MAX_DEPTH && !entry.name().starts_with('.') {
                        folders.push((entry, depth + 1));
                    } else if entry.is_file() {
                        let entry: FileSystemFileEntry = entry.unchecked_into();
                        let file = call_with_callbacks(|resolve, reject| {
                            entry.file_with_callback_and_callback(resolve, reject)
                        });
                        self.files.push((file.await?.dyn_into().ok()?, path.clone()));
                    }
                    if self.files.len() > MAX_FILES {
                        return Some(false);
                    }
                }
            }
        }
        Some(true)
    }
}

/// Calls a browser function that takes two callbacks and waits for one of them. `None` for the second one, an error.
async fn call_with_callbacks(ask: impl Fn(&js_sys::Function, &js_sys::Function)) -> Option<wasm_bindgen::JsValue> {
    JsFuture::from(Promise::new(&mut |resolve, reject| ask(&resolve, &reject))).await.ok()
}
