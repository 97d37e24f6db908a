//! Files that somebody chose or dropped: objects of the browser, which the server's build knows only as a name.

use leptos::ev;

/// In the order in which they were given; always empty on the server.
#[derive(Clone, Default)]
pub struct Files {
    #[cfg(feature = "hydrate")]
    pub(super) items: Vec<Item>,
}

#[cfg(feature = "hydrate")]
#[derive(Clone)]
pub(super) enum Item {
    File(web_sys::File),
    Folder(web_sys::FileSystemEntry),
}

#[cfg(feature = "hydrate")]
impl Files {
    /// What a file input holds; the input is emptied, so that the same file can be chosen once more.
    pub fn chosen(input: &web_sys::HtmlInputElement) -> Self {
        let list = input.files();
        let files = list.map(|list| (0..list.length()).filter_map(|index| list.get(index)).map(Item::File).collect());
        input.set_value("");
        Self { items: files.unwrap_or_default() }
    }

    /// Files and folders. A browser shows what is in a drop only while it is handled.
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

#[cfg(not(feature = "hydrate"))]
impl Files {
    pub fn chosen(_input: &web_sys::HtmlInputElement) -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        true
    }

    pub fn dropped(_event: &ev::DragEvent) -> Self {
        Self::default()
    }
}

/// Something other than files (a track's row, a link, text) may be dragged, too.
#[cfg(feature = "hydrate")]
pub fn holds_files(event: &ev::DragEvent) -> bool {
    event.data_transfer().is_some_and(|transfer| transfer.types().includes(&"Files".into(), 0))
}

#[cfg(not(feature = "hydrate"))]
pub fn holds_files(_event: &ev::DragEvent) -> bool {
    false
}
