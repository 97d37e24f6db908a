//! Files in parts that fit into memory.

use std::io;

use bytes::Bytes;
use tokio::{fs::File, io::AsyncReadExt};

/// The next `bytes` of a file; fewer only at its end.
pub(super) async fn read_part(file: &mut File, bytes: usize) -> io::Result<Bytes> {
    let mut part = Vec::with_capacity(bytes);
    let mut rest = file.take(bytes as u64);
    // Asked for more than it holds, it would be made larger, and copied.
    while part.len() < bytes && rest.read_buf(&mut part).await? > 0 {}
    Ok(part.into())
}
