//! MP4: the box `moov` (ISO 14496-12) describes the tracks and the codec of their samples. It may come after all
//! samples.

use std::ops::Range;

use super::{Look, MAX_PIECES, PartialFile, Stop, be32, refused, rules};
use crate::domain::media::mp4_description::{self, NoSound};

/// How many tracks the precheck reads. Usual files have up to four: video, sound, chapters and the chapters' pictures.
const MAX_TRACKS: usize = 32;
/// How many bytes of a sample description are read. Real ones are far shorter.
const MAX_DESCRIPTION_BYTES: u64 = 4096;
/// Codecs of videos. Codecs of still pictures, which chapters have, are not among them.
const VIDEO: [&[u8]; 13] = [
    b"avc1", b"avc3", b"hvc1", b"hev1", b"dvh1", b"dvhe", b"av01", b"vp08", b"vp09", b"apch", b"apcn", b"apcs", b"apco",
];

struct Track {
    handler: [u8; 4],
    is_enabled: bool,
    /// Whether the track refers to other tracks (`tref`), as a track with chapters does.
    has_others: bool,
    /// The first sample entry.
    entry: Vec<u8>,
}

pub(super) fn check(file: &PartialFile) -> Look {
    let whole = 0..file.length;
    let moov = find(file, &whole, b"moov")?.ok_or(Stop::LeftToServer)?;
    let mut tracks = Vec::new();
    let mut rest = moov;
    while let Some(track) = find(file, &rest, b"trak")? {
        if tracks.len() == MAX_TRACKS {
            return Err(Stop::LeftToServer);
        }
        rest.start = track.end;
        tracks.push(read(file, &track)?);
    }
    let is_video = |track: &Track| {
        let is_known = track.entry.get(4..8).is_some_and(|kind| VIDEO.contains(&kind));
        &track.handler == b"vide" && track.is_enabled && is_known
    };
    if tracks.iter().any(is_video) && !tracks.iter().any(|track| track.has_others) {
        return refused("This is a video. Upload its sound as WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3.");
    }
    let mut sounds = tracks.iter().filter(|track| &track.handler == b"soun");
    let sound = match (sounds.next(), sounds.next()) {
        (Some(sound), None) => sound,
        (None, _) if !tracks.is_empty() => {
            return refused("There is no sound in this MP4 file. Export it again and upload the new file.");
        }
        _ => return Err(Stop::LeftToServer),
    };
    match mp4_description::sound(&sound.entry) {
        Ok(sound) => rules(sound.channels, sound.sample_rate_hz, sound.bit_depth, None),
        Err(NoSound::WrongKind(message)) => refused(message),
        Err(NoSound::Damaged(_)) => Err(Stop::LeftToServer),
    }
}

fn read(file: &PartialFile, track: &Range<u64>) -> Look<Track> {
    let media = find(file, track, b"mdia")?.ok_or(Stop::LeftToServer)?;
    let handler = find(file, &media, b"hdlr")?.ok_or(Stop::LeftToServer)?;
    let handler = file.read_array(handler.start + 8)?;
    let [.., flags] = match find(file, track, b"tkhd")? {
        Some(head) => file.read_array::<4>(head.start)?,
        None => return Err(Stop::LeftToServer),
    };
    let (is_enabled, has_others) = (flags & 1 == 1, find(file, track, b"tref")?.is_some());
    let mut range = media;
    for kind in [b"minf", b"stbl", b"stsd"] {
        range = find(file, &range, kind)?.ok_or(Stop::LeftToServer)?;
    }
    // Skips the version, the flags and the number of entries.
    let start = range.start + 8;
    let mut entry = file.read_up_to(start, range.end.saturating_sub(start).min(MAX_DESCRIPTION_BYTES))?.to_vec();
    // Other entries may follow the first one.
    match usize::try_from(be32(&entry, 0)?) {
        Ok(size) if size <= entry.len() => entry.truncate(size),
        _ => return Err(Stop::LeftToServer),
    }
    Ok(Track { handler, is_enabled, has_others, entry })
}

/// Finds the content of the first box `kind` in `range`.
fn find(file: &PartialFile, range: &Range<u64>, kind: &[u8; 4]) -> Look<Option<Range<u64>>> {
    let mut offset = range.start;
    for _ in 0..MAX_PIECES {
        if offset + 8 > range.end {
            return Ok(None);
        }
        let head = file.read_array::<8>(offset)?;
        let (size, body) = match be32(&head, 0)? {
            0 => (range.end - offset, offset + 8),
            1 => (u64::from_be_bytes(file.read_array(offset + 8)?), offset + 16),
            size => (u64::from(size), offset + 8),
        };
        let end = offset.saturating_add(size);
        if end < body || end > range.end {
            return Err(Stop::LeftToServer);
        }
        if head[4..] == *kind {
            return Ok(Some(body..end));
        }
        offset = end;
    }
    Err(Stop::LeftToServer)
}
