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
    pub fn chosen(event: &ev::Event) -> Self {
        use wasm_bindgen::JsCast;

        let input = event.target().and_then(|target| target.dyn_into::<web_sys::HtmlInputElement>().ok());
        let Some(input) = input else { return Self::default() };
        let files = Self::of_list(input.files());
        input.set_value("");
        files
    }

    pub fn dropped(event: &ev::DragEvent) -> Self {
        Self::of_list(event.data_transfer().and_then(|transfer| transfer.files()))
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
    pub fn chosen(_event: &ev::Event) -> Self {
        Self::default()
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
