//! Releases: their lifecycle, their tracks, their review, and lists of them.

pub(super) mod changed_facts;
mod lifecycle;
mod lists;
pub(super) mod locked;
pub(super) mod review;
pub(super) mod search;
pub(super) mod track_order;
pub(super) mod tracks;
pub(super) mod view;

pub use lifecycle::Releases;
