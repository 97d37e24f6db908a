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
        let files = Self::of_list(input.files());
        input.set_value("");
        files
    }

    pub fn dropped(event: &ev::DragEvent) -> Self {
        Self::of_list(event.data_transfer().and_then(|transfer| transfer.files()))
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn into_vec(self) -> Vec<web_sys::File> {
        self.files
    }

    fn of_list(list: Option<web_sys::FileList>) -> Self {
        let files = list.map(|list| (0..list.length()).filter_map(|index| list.get(index)).collect());
        Self { files: files.unwrap_or_default() }
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
