//! Files that somebody chose or dropped.

use leptos::ev;

/// Chosen or dropped files, in the order in which the browser gives them.
#[derive(Clone, Default)]
pub struct Files {
    pub(super) items: Vec<Item>,
}

#[derive(Clone)]
pub(super) enum Item {
    File(web_sys::File),
    Folder(web_sys::FileSystemEntry),
}

impl Files {
    /// The files of a file input, which is emptied so that the same file can be chosen again.
    pub fn chosen(input: &web_sys::HtmlInputElement) -> Self {
        let list = input.files();
        let files = list.map(|list| (0..list.length()).filter_map(|index| list.get(index)).map(Item::File).collect());
        input.set_value("");
        Self { items: files.unwrap_or_default() }
    }

    /// The dropped files and folders. A browser shows the content of a drop only while the event is handled.
    pub fn dropped(event: &ev::DragEvent) -> Self {
        let list = event.data_transfer().map(|transfer| transfer.items());
        let items = list.into_iter().flat_map(|list| (0..list.length()).filter_map(move |index| list.get(index)));
        let item = |item: web_sys::DataTransferItem| {
            let entry = item.webkit_get_as_entry().ok().flatten();
            match entry.filter(web_sys::FileSystemEntry::is_directory) {
                Some(folder) => Some(Item::Folder(folder)),
                None => item.get_as_file().ok().flatten().map(Item::File),
            }
        };
        Self { items: items.filter_map(item).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Whether files are dragged, and not a track's row, a link or text.
pub fn holds_files(event: &ev::DragEvent) -> bool {
    event.data_transfer().is_some_and(|transfer| transfer.types().includes(&"Files".into(), 0))
}
