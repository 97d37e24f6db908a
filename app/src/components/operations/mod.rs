//! The parts of the operations pages: `/admin/operations` and, with the links between both, `/admin/queue`.

pub mod chart;
pub mod charts;
pub mod circuit;
pub mod health;
pub mod integrity;
pub mod processes;
pub mod tabs;
pub mod totals;
