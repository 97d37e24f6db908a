//! Reads files in parts that fit into memory.

use std::io;

use bytes::Bytes;
use tokio::{fs::File, io::AsyncReadExt};

/// Reads the next `bytes` bytes of a file; fewer only at its end.
pub(super) async fn read_part(file: &mut File, bytes: usize) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(bytes);
    let mut rest = file.take(bytes as u64);
    // A read into a full vector would enlarge and copy it, so the loop stops at its capacity.
    while part.len() < bytes && rest.read_buf(&mut part).await? > 0 {}
    Ok(part.into())
}
