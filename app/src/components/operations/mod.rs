//! The parts of the operations pages: `/admin/operations` and, with the links between both, `/admin/queue`.

pub mod tabs;
