//! The parts of the admins' pages: the queue, the review of one release, and the lists of releases and artists.

pub mod artist_table;
pub mod checksum;
pub mod cover;
pub mod finding_list;
pub mod findings;
pub mod list;
pub mod metadata;
pub mod queue_table;
pub mod reasons;
pub mod release_table;
pub mod table;
pub mod track;
pub mod tracks;
pub mod verdict;
