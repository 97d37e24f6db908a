//! The state that lives as long as the page and outlasts a change of route.

pub mod flash;
pub mod limits;
pub mod live;
pub mod player;
pub mod session;
pub mod toasts;
pub mod uploads;
