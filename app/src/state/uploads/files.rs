//! Files that somebody chose or dropped: objects of the browser, which the server's build knows only as a name.

use leptos::ev;

/// In the order in which they were given; always empty on the server.
#[derive(Clone, Default)]
pub struct Files {
    #[cfg(feature = "hydrate")]
    files: Vec<web_sys::File>,
}

#[cfg(feature = "hydrate")]
impl Files {
    /// What a file input holds; the input is emptied, so that the same file can be chosen once more.
    pub fn chosen(input: &web_sys::HtmlInputElement) -> Self {
        let list = input.files();
        let files = list.map(|list| (0..list.length()).filter_map(|index| list.get(index)).collect());
        input.set_value("");
        Self { files: files.unwrap_or_default() }
    }

    /// Without folders, which look like files that nobody can read.
    pub fn dropped(event: &ev::DragEvent) -> Self {
        let files = items(event).filter(|item| !is_folder(item)).filter_map(|item| item.get_as_file().ok().flatten());
        Self { files: files.collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn into_vec(self) -> Vec<web_sys::File> {
        self.files
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

/// Of a drop: while something is still dragged, browsers do not tell.
#[cfg(feature = "hydrate")]
pub fn holds_folders(event: &ev::DragEvent) -> bool {
    items(event).any(|item| is_folder(&item))
}

#[cfg(not(feature = "hydrate"))]
pub fn holds_folders(_event: &ev::DragEvent) -> bool {
    false
}

#[cfg(feature = "hydrate")]
fn items(event: &ev::DragEvent) -> impl Iterator<Item = web_sys::DataTransferItem> {
    let list = event.data_transfer().map(|transfer| transfer.items());
    list.into_iter().flat_map(|list| (0..list.length()).filter_map(move |index| list.get(index)))
}

#[cfg(feature = "hydrate")]
fn is_folder(item: &web_sys::DataTransferItem) -> bool {
    item.webkit_get_as_entry().ok().flatten().is_some_and(|entry| entry.is_directory())
}
