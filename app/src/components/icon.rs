//! Inline icons. Each is drawn on a grid of 24 with one stroke, in the colour of the text beside it.

use leptos::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IconName {
    Plus,
    Check,
    Close,
    Warning,
    Info,
    Play,
    Pause,
    Next,
    Previous,
    Upload,
    Music,
    Image,
    Trash,
    Drag,
    Up,
    Down,
    Menu,
    More,
    Search,
    Clock,
    Eye,
    Edit,
    Back,
    Forward,
    Retry,
    SignOut,
    Keyboard,
    Lock,
    Star,
    Moon,
    Sun,
    /// An open ring: nothing has happened yet.
    Circle,
    /// A ring in pieces: something is under way.
    Working,
    /// A filled disc with a tick.
    Done,
    /// A filled disc with a cross.
    Refused,
    /// A record, which is shown in place of a missing cover.
    Record,
}

impl IconName {
    /// The attribute `d` of the icon's one path.
    fn path(self) -> &'static str {
        match self {
            Self::Plus => "M12 5v14M5 12h14",
            Self::Check => "M5 12.5l4.5 4.5L19 7.5",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Warning => "M12 4L2.8 19.5h18.4zM12 10v4M12 16.8v.1",
            Self::Info => "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 11v5.5M12 7.8v.1",
            Self::Play => "M8 5.2v13.6L19 12z",
            Self::Pause => "M7 5.5h3v13H7zM14 5.5h3v13h-3z",
            Self::Next => "M6 6v12l9-6zM18 6v12",
            Self::Previous => "M18 6v12l-9-6zM6 6v12",
            Self::Upload => "M12 16V4.5M7 9l5-5 5 5M4 16v3a1 1 0 0 0 1 1h14a1 1 0 0 0 1-1v-3",
            Self::Music => {
                "M9 17.5V6l10-2v11.5M9 17.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0zM19 15.5a2.5 2.5 0 1 1-5 0a2.5 2.5 0 0 1 5 0z"
            }
            Self::Image => {
                "M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM4 16l5-5 5 5 2.5-2.5L20 17M15.5 8.5v.1"
            }
            Self::Trash => "M4 7h16M9 7V4.5h6V7M6 7l1 12.5h10L18 7M10 11v5M14 11v5",
            Self::Drag => "M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1",
            Self::Up => "M6 15l6-6 6 6",
            Self::Down => "M6 9l6 6 6-6",
            Self::Menu => "M4 7h16M4 12h16M4 17h16",
            Self::More => "M6 12v.1M12 12v.1M18 12v.1",
            Self::Search => "M11 4a7 7 0 1 0 0 14a7 7 0 0 0 0-14zM16 16l4.5 4.5",
            Self::Clock => "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 7v5l3.5 2",
            Self::Eye => {
                "M2.5 12S6 5.5 12 5.5S21.5 12 21.5 12S18 18.5 12 18.5S2.5 12 2.5 12zM12 9a3 3 0 1 0 0 6a3 3 0 0 0 0-6z"
            }
            Self::Edit => "M4 20l1-4L16.5 4.5a1.4 1.4 0 0 1 2 0l1 1a1.4 1.4 0 0 1 0 2L8 19zM14.5 6.5l3 3",
            Self::Back => "M19 12H5M11 6l-6 6 6 6",
            Self::Forward => "M5 12h14M13 6l6 6-6 6",
            Self::Retry => "M20 11a8 8 0 1 0-2.3 6.7M20 5v6h-6",
            Self::SignOut => "M10 4H5a1 1 0 0 0-1 1v14a1 1 0 0 0 1 1h5M9 12h11M16 8l4 4-4 4",
            Self::Keyboard => {
                "M4 6h16a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V7a1 1 0 0 1 1-1zM7 10v.1M10.3 10v.1M13.7 10v.1M17 10v.1M8 14h8"
            }
            Self::Lock => {
                "M6 11h12a1 1 0 0 1 1 1v7a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1v-7a1 1 0 0 1 1-1zM8 11V8a4 4 0 0 1 8 0v3"
            }
            Self::Star => "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1 5.9L12 16.9l-5.2 2.8 1-5.9L3.5 9.7l5.9-.8z",
            Self::Moon => "M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z",
            Self::Sun => {
                "M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4\
                 M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4"
            }
            Self::Circle => "M12 4.5a7.5 7.5 0 1 0 0 15a7.5 7.5 0 0 0 0-15z",
            Self::Working => {
                "M9.5 4.9a7.5 7.5 0 0 1 5 0M18.6 8.4a7.5 7.5 0 0 1 .5 5.8M16.2 18.2a7.5 7.5 0 0 1-5.4 1.2M6.6 17.2a7.5 7.5 0 0 1-2-5M5.3 8.6a7.5 7.5 0 0 1 .6-1"
            }
            Self::Done => "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM7.8 12.3l3 2.9 5.4-6",
            Self::Refused => "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM9 9l6 6M15 9l-6 6",
            Self::Record => {
                "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM12 9.5a2.5 2.5 0 1 0 0 5a2.5 2.5 0 0 0 0-5zM6.5 12a5.5 5.5 0 0 1 5.5-5.5M17.5 12a5.5 5.5 0 0 1-5.5 5.5"
            }
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Play | Self::Pause | Self::Next | Self::Previous => "icon icon-solid",
            Self::Drag | Self::More => "icon icon-bold",
            _ => "icon",
        }
    }
}

/// Draws an icon. Icons are decorative: words beside them, or the label of their button, say the same.
#[component]
pub fn Icon(name: IconName) -> impl IntoView {
    view! {
        <svg class=name.class() viewBox="0 0 24 24" aria-hidden="true" focusable="false">
            <path d=name.path()></path>
        </svg>
    }
}
