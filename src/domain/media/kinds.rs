//! Names kinds of files that people upload by mistake, so that the refusal can say what the file is.

use super::FlacFrame;

pub const UNKNOWN_AUDIO: &str =
    "This is not an audio file that we know. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file.";

/// Names the kind of a file that begins with `start`, or returns `None` if it may be audio that we accept. `start`
/// holds the first 512 bytes or the whole file; with fewer bytes the name is less exact.
pub fn other_audio(start: &[u8]) -> Option<&'static str> {
    // This comes before the test for ADTS, because the sync codes of FLAC and AAC frames nearly look alike.
    if let Some(frame) = FlacFrame::parse(start) {
        return Some(if frame.number == 0 { HEADLESS_FLAC } else { PIECE_OF_FLAC });
    }
    if is_adts(start) {
        return Some(ADTS);
    }
    if is_transport_stream(start) {
        return Some("an MPEG transport stream (TS), a format for broadcasts and videos");
    }
    if let Some(name) = in_a_container(start) {
        return Some(name);
    }
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']);
    if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") {
        return Some("a web page or a text file");
    }
    OTHER_AUDIO.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, name)| *name)
}

const ADTS: &str = "a bare AAC stream (ADTS)";
const LOAS: &str = "a bare AAC stream (LOAS)";
const AC_3: &str = "a Dolby Digital file (AC-3)";
const E_AC_3: &str = "a Dolby Digital Plus file (E-AC-3)";
const HEADLESS_FLAC: &str = "a FLAC file without its header";
/// A cut file and a late recording look alike.
const PIECE_OF_FLAC: &str =
    "a piece of a FLAC stream without its header, cut out or recorded from a live stream that had already begun";

/// Names the kind of a stream that begins somewhere in `bytes`, behind a part of a frame: recordings of live streams
/// begin so, and pieces that were cut out. `None` if no kind is recognized that we refuse.
pub fn other_stream(bytes: &[u8]) -> Option<&'static str> {
    /// Each of these is searched for the frame that follows. Chance makes one or two.
    const MAX_FLAC_FRAMES: usize = 16;
    let mut flac_frames = 0;
    let mut begins_flac = |rest: &[u8]| {
        let first = FlacFrame::parse(rest).filter(|_| flac_frames < MAX_FLAC_FRAMES);
        flac_frames += usize::from(first.is_some());
        first.is_some_and(|first| is_followed_by_flac(&first, rest))
    };
    // An archive may hold a whole Ogg file, which begins with the first page of a stream. The pages behind that one don't
    // begin the file either.
    let mut has_ogg = false;
    let mut begins_ogg = |rest: &[u8]| {
        const IS_FIRST: u8 = 2;
        let is_next = !has_ogg && is_followed_by_ogg(rest);
        has_ogg |= is_next;
        is_next && rest[5] & IS_FIRST == 0
    };
    (0..bytes.len()).find_map(|at| {
        let rest = &bytes[at..];
        match rest {
            [0xFF, second, ..] if second & 0xF6 == 0xF0 && has_adts_frames(rest) => Some(ADTS),
            [0x56, 0xE0..=0xFF, ..] if has_loas_frames(rest) => Some(LOAS),
            [0x0B, 0x77, ..] => dolby_digital(rest),
            [0xFF, 0xF8 | 0xF9, ..] if begins_flac(rest) => Some(PIECE_OF_FLAC),
            [b'O', b'g', b'g', b'S', 0, ..] if begins_ogg(rest) => Some("a piece of an Ogg stream"),
            [0x47, ..] if [188, 192].iter().any(|bytes| has_packets(rest, *bytes, TRANSPORT_PACKETS_IN_A_ROW)) => {
                Some("an MPEG transport stream (TS), a format for broadcasts and videos")
            }
            _ => None,
        }
    })
}

/// How many frames make bytes a stream. Two may look alike by chance.
const FRAMES_IN_A_ROW: usize = 3;
/// How many packets make bytes a transport stream, wherever they begin. Three may look alike by chance.
const TRANSPORT_PACKETS_IN_A_ROW: usize = 6;

/// Whether frames stand in a row from the beginning of the bytes on. `length` returns the bytes of the frame with which
/// its argument begins, or `None` if no frame begins there.
fn has_frames(bytes: &[u8], length: impl Fn(&[u8]) -> Option<usize>) -> bool {
    let mut rest = bytes;
    (0..FRAMES_IN_A_ROW).all(|_| {
        let Some(length) = length(rest) else { return false };
        rest = rest.get(length..).unwrap_or_default();
        true
    })
}

/// Whether some frames of AAC without a container stand in a row (ISO 13818-7, 6.2).
fn has_adts_frames(bytes: &[u8]) -> bool {
    /// The length of a header without a checksum.
    const HEADER_BYTES: usize = 7;
    has_frames(bytes, |frame| {
        let &[0xFF, second, third, fourth, fifth, sixth, _, ..] = frame else { return None };
        // The properties that all frames of a stream share.
        let is_alike = second & 0xF6 == 0xF0 && (second, third & 0xFC) == (bytes[1], bytes[2] & 0xFC);
        let length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        (is_alike && length > HEADER_BYTES).then_some(length)
    })
}

/// Whether some frames of AAC as broadcasters send it stand in a row (ISO 14496-3, 1.7.2).
fn has_loas_frames(bytes: &[u8]) -> bool {
    const HEADER_BYTES: usize = 3;
    has_frames(bytes, |frame| {
        let &[0x56, second, third, ..] = frame else { return None };
        let length = usize::from(second & 0x1F) << 8 | usize::from(third);
        (second & 0xE0 == 0xE0 && length > 0).then_some(HEADER_BYTES + length)
    })
}

/// The kind of Dolby Digital of which some frames stand in a row (ATSC A/52, 5.4.1 and E.2.3.1).
fn dolby_digital(bytes: &[u8]) -> Option<&'static str> {
    /// Kilobits per second by half of `frmsizecod` (A/52, table 5.18).
    const RATES: [usize; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let is_enhanced = |frame: &[u8]| frame.get(5).is_some_and(|fifth| (11..=16).contains(&(fifth >> 3)));
    let length = |frame: &[u8]| {
        let &[0x0B, 0x77, third, fourth, sizes, _, ..] = frame else { return None };
        if is_enhanced(frame) {
            return Some(2 * ((usize::from(third & 7) << 8 | usize::from(fourth)) + 1));
        }
        let rate = *RATES.get(usize::from(sizes & 0x3F) / 2)?;
        match sizes >> 6 {
            0 => Some(rate * 4),
            // 1,536 samples at 44.1 kHz in words of 16 bits. Odd sizes have one more.
            1 => Some(2 * (rate * 96_000 / 44_100 + usize::from(sizes & 1))),
            2 => Some(rate * 6),
            _ => None,
        }
    };
    has_frames(bytes, length).then_some(if is_enhanced(bytes) { E_AC_3 } else { AC_3 })
}

/// Whether the frame that follows `first`, with which `bytes` begin, is among them.
fn is_followed_by_flac(first: &FlacFrame, bytes: &[u8]) -> bool {
    let step = if first.sync & 1 == 1 { first.samples } else { 1 };
    (1..bytes.len()).filter(|at| bytes[*at] == 0xFF).any(|at| {
        FlacFrame::parse(&bytes[at..])
            .is_some_and(|next| next.sync == first.sync && next.number == first.number.saturating_add(step))
    })
}

/// Whether a whole page of Ogg and the beginning of another are among the bytes, which begin with its mark (RFC 3533).
fn is_followed_by_ogg(bytes: &[u8]) -> bool {
    const HEAD_BYTES: usize = 27;
    let Some(segments) = bytes.get(HEAD_BYTES - 1).map(|count| usize::from(*count)) else { return false };
    let Some(lengths) = bytes.get(HEAD_BYTES..HEAD_BYTES + segments) else { return false };
    let end = HEAD_BYTES + segments + lengths.iter().map(|length| usize::from(*length)).sum::<usize>();
    bytes.get(end..).is_some_and(|next| next.starts_with(b"OggS\0"))
}

const OTHER_AUDIO: &[(&[u8], &str)] = &[
    (b"RF64", "a 64-bit WAV (RF64)"),
    (b"BW64", "a 64-bit WAV (BW64)"),
    (b"RIFX", "a big-endian WAV (RIFX)"),
    (b"riff", "a Wave64 file"),
    (b"caff", "a Core Audio file (CAF)"),
    (b".snd", "a Sun audio file (AU)"),
    (b"wvpk", "a WavPack file"),
    (b"MAC ", "a Monkey's Audio file"),
    (b"MPCK", "a Musepack file"),
    (b"MP+", "a Musepack file"),
    (b"TTA1", "a True Audio file (TTA)"),
    (b"TTA2", "a True Audio file (TTA)"),
    (b"tBaK", "a TAK file"),
    (b"OFR ", "an OptimFROG file"),
    (b"ajkg", "a Shorten file"),
    (b"ALS\0", "an MPEG-4 ALS file"),
    (b"DSD ", "a DSD file (DSF)"),
    (b"FRM8", "a DSD file (DSDIFF)"),
    (b"\x30\x26\xB2\x75", "a Windows Media file (WMA)"),
    (b".RMF", "a RealMedia file"),
    (b".ra\xFD", "a RealAudio file"),
    (b"ADIF", "a bare AAC stream (ADIF)"),
    (b"\x56\xE0", LOAS),
    (b"\x56\xE1", LOAS),
    (b"\x0B\x77", AC_3),
    (b"\x7F\xFE\x80\x01", "a DTS file"),
    (b"\xFE\x7F\x01\x80", "a DTS file"),
    (b"\x1F\xFF\xE8\x00", "a DTS file"),
    (b"\xFF\x1F\x00\xE8", "a DTS file"),
    (b"DTSHDHDR", "a DTS file"),
    (b"#!AMR", "an AMR file"),
    (b"#!SILK", "a SILK voice message"),
    (b"Creative Voice File", "a Creative Voice file (VOC)"),
    (b"MThd", "a MIDI file, which holds notes and no sound"),
    (b"IMPM", "a tracker module, which holds notes and instruments"),
    (b"Extended Module", "a tracker module, which holds notes and instruments"),
    (b"#EXTM3U", "a playlist, which holds no sound"),
    (b"[playlist]", "a playlist, which holds no sound"),
    // AppleDouble files, which macOS writes beside each file on disks of other systems.
    (b"\x00\x05\x16\x07", "a helper file of macOS (its name begins with ._), which holds no sound"),
    (b"\x1A\x45\xDF\xA3", "a Matroska file (MKV or MKA)"),
    (b"FLV\x01", "a Flash video"),
    (b"\x00\x00\x01\xBA", "an MPEG video"),
    (b"\x00\x00\x01\xB3", "an MPEG video"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"{\\rtf", "a text document"),
    (b"\xD0\xCF\x11\xE0", "an Office document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xBC\xAF", "a 7-Zip archive"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xFD7zXZ", "an xz archive"),
    (b"MZ", "a Windows program"),
    (b"\x7FELF", "a Linux program"),
    (b"\x89PNG", "a picture"),
    (b"\xFF\xD8\xFF", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"8BPS", "a picture (Photoshop)"),
    (b"SQLite format 3", "a database"),
    (b"bplist", "a property list of macOS"),
];

/// Names kinds that share a container or a magic number with others.
fn in_a_container(start: &[u8]) -> Option<&'static str> {
    // The version of the bit stream is in the sixth byte.
    if start.starts_with(b"\x0B\x77") && start.get(5).is_some_and(|bsid| bsid >> 3 > 10) {
        return Some(E_AC_3);
    }
    match (start.get(..4)?, start.get(4..8).unwrap_or_default(), start.get(8..12).unwrap_or_default()) {
        (b"OggS", ..) => Some(in_ogg(start)),
        (b"\x1A\x45\xDF\xA3", ..) if contains(start, b"webm") => Some("a WebM file"),
        (_, b"\xF8\x72\x6F\xBA", _) => Some("a Dolby TrueHD file"),
        (b"RIFF", _, b"AVI ") => Some("a video (AVI)"),
        (b"RIFF", _, b"WEBP") => Some("a picture (WebP)"),
        (b"RIFF", _, b"RMID") => Some("a MIDI file, which holds notes and no sound"),
        (b"RIFF", _, b"sfbk") => Some("a SoundFont, which holds instruments"),
        (b"FORM", _, b"8SVX" | b"16SV") => Some("an Amiga sample (8SVX)"),
        (_, b"ftyp", b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"mif1" | b"msf1" | b"avif" | b"avis") => {
            Some("a picture (HEIC or AVIF)")
        }
        _ => None,
    }
}

/// Names the kind of an Ogg file by the first packet of its first stream (RFC 3533, and the mapping of each codec).
fn in_ogg(mut page: &[u8]) -> &'static str {
    const CODECS: [(&[u8], &str); 9] = [
        (b"\x7FFLAC", "a FLAC in an Ogg container"),
        (b"fLaC", "a FLAC in an Ogg container"),
        (b"\x01vorbis", "an Ogg Vorbis file"),
        (b"OpusHead", "an Ogg Opus file"),
        (b"Speex   ", "an Ogg Speex file"),
        (b"CELT    ", "an Ogg CELT file"),
        (b"PCM     ", "a PCM in an Ogg container"),
        (b"\x80theora", "a video (Ogg Theora)"),
        (b"BBCD\0", "a video (Ogg Dirac)"),
    ];
    // The first stream may be an index ("fishead"). Then the next page belongs to another stream.
    for _ in 0..2 {
        let Some(segments) = page.get(26).map(|count| usize::from(*count)) else { break };
        let Some(packet) = page.get(27 + segments..) else { break };
        if let Some((_, name)) = CODECS.iter().find(|(magic, _)| packet.starts_with(magic)) {
            return name;
        }
        let bytes: usize = page[27..27 + segments].iter().map(|length| usize::from(*length)).sum();
        let Some(next) = packet.get(bytes..).filter(|next| next.starts_with(b"OggS")) else { break };
        page = next;
    }
    "an Ogg file"
}

/// The refusal of a WAV, AIFF or MP4 (`name`) that begins with an ID3 tag. Some players skip the tag, and others take the
/// file for an MP3.
pub fn behind_id3_tag(name: &str) -> String {
    format!("This is {name} behind an ID3 tag, which not every player knows. Export it again without that tag.")
}

/// The bytes behind the format tag in the sub-format GUIDs of PCM in ambisonic B-format (Dobson, "AMB").
const AMBISONIC_TAIL: [u8; 14] = [0, 0, 0x21, 0x07, 0xD3, 0x11, 0x86, 0x44, 0xC8, 0xC1, 0xCA, 0, 0, 0];

/// The refusal of a WAV whose format tag isn't PCM (RFC 2361, mmreg.h). `sub_format` is the GUID of
/// WAVE_FORMAT_EXTENSIBLE.
pub fn other_codec_in_wav(format_tag: u16, sub_format: Option<&[u8]>) -> String {
    let holds = match format_tag {
        0x0002 | 0x0011 => "ADPCM",
        0x0006 | 0x0007 => "A-law or µ-law",
        0x0050 => "MPEG layer II",
        0x0055 => "MP3",
        0x00FF | 0x1600 | 0x1602 | 0x1610 => "AAC",
        0x0160..=0x0163 => "Windows Media audio (WMA)",
        0x2000 => "Dolby Digital (AC-3)",
        0x2001 => "DTS",
        0xF1AC => "FLAC",
        0xFFFE => match sub_format.and_then(<[u8]>::split_first_chunk) {
            Some(([1 | 3, 0], tail)) if tail == AMBISONIC_TAIL => {
                return "This WAV holds ambisonic sound (B-format). Export it in stereo, as plain PCM with 16 or 24 bit.".to_owned();
            }
            _ => "sound in a format that we don't know",
        },
        _ => "compressed audio",
    };
    format!("This WAV holds {holds}. Export it as plain PCM with 16 or 24 bit.")
}

/// The refusal of an AIFF-C whose compression type isn't PCM that we read. `kind` is that type in lower case.
pub fn other_codec_in_aiff(kind: &[u8]) -> String {
    let holds = match kind {
        b"alaw" | b"ulaw" => "A-law or µ-law",
        b"ima4" | b"adp4" | b"g722" | b"g726" | b"ms\0\x02" | b"ms\0\x11" => "ADPCM",
        b"mac3" | b"mac6" => "MACE",
        b"gsm " | b"agsm" => "GSM",
        b"qdm2" | b"qdmc" => "QDesign Music",
        b".mp3" | b"ms\0\x55" => "MP3",
        b"mp4a" | b"aac " => "AAC",
        b"alac" => "ALAC",
        b"ace2" | b"ace8" | b"qclp" | b"dwvw" | b"sdx2" | b"cbd2" | b"rt24" | b"rt29" => "compressed audio",
        b"raw " => "unsigned samples",
        _ => "sound in a format that we don't know",
    };
    format!("This AIFF holds {holds}. Export it as plain PCM with 16 or 24 bit.")
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

/// Whether the bytes begin with an AAC frame without a container.
fn is_adts(start: &[u8]) -> bool {
    matches!(start, [0xFF, second, ..] if second & 0xF6 == 0xF0)
}

/// Whether the bytes are packets of an MPEG transport stream: 188 bytes each, or 192 with a timestamp in front of each.
fn is_transport_stream(start: &[u8]) -> bool {
    has_packets(start, 188, 3) || start.get(4..).is_some_and(|start| has_packets(start, 192, 3))
}

/// Whether `count` packets of a transport stream stand in a row, as far as their first bytes show. A packet holds
/// something, which two bits of its header tell (ISO 13818-1, 2.4.3.3). Pictures may have many bytes like the first.
fn has_packets(bytes: &[u8], packet_bytes: usize, count: usize) -> bool {
    const SYNC: u8 = 0x47;
    const CONTENT: u8 = 0x30;
    (0..count).all(|packet| {
        let head = bytes.get(packet * packet_bytes..).unwrap_or_default();
        matches!(head, [SYNC, _, _, fourth, ..] if fourth & CONTENT != 0)
    })
}

/// Names the kind of a file that begins with `start` and is neither JPEG nor PNG. `start` holds the first 512 bytes or
/// the whole file.
pub fn other_picture(start: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(start).to_ascii_lowercase();
    let text = text.trim_start_matches(['\u{FEFF}', ' ', '\t', '\r', '\n']);
    match start {
        [b'G', b'I', b'F', b'8', ..] => "a GIF",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "a WebP picture",
        [b'B', b'M', ..] => "a BMP picture",
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xFF, 0x4F, 0xFF, 0x51, ..] => "a JPEG 2000 picture",
        [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] | [0xFF, 0x0A, ..] => "a JPEG XL picture",
        [b'I', b'I', 0xBC, ..] => "a JPEG XR picture",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF picture",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop file",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "a HEIC or AVIF picture, or a video",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        _ if text.contains("<svg") => "an SVG drawing",
        _ if text.starts_with('<') => "a web page",
        _ => "not a JPEG or PNG picture",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes an Ogg page with one packet.
    fn page(packet: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0\x02".to_vec();
        page.resize(26, 0);
        page.extend([1, packet.len() as u8]);
        page.extend(packet);
        page
    }

    #[test]
    fn kinds_are_called_by_their_names() {
        for (start, name) in [
            (page(b"\x7FFLAC\x01\0\0\x01fLaC"), "FLAC in an Ogg"),
            (page(b"\x01vorbis\0\0"), "Vorbis"),
            (page(b"OpusHead\x01"), "Opus"),
            (page(b"Speex   1.2"), "Speex"),
            (page(b"\x80theora"), "video"),
            ([page(b"fishead\0\x03"), page(b"\x01vorbis")].concat(), "Vorbis"),
            (b"OggS".to_vec(), "Ogg"),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x84webm".to_vec(), "WebM"),
            (b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x88matroska".to_vec(), "Matroska"),
            (b"\x0B\x77\x12\x34\x14\x40\x43\xE1".to_vec(), "AC-3"),
            (b"\x0B\x77\x01\xFF\x34\x86\xFF".to_vec(), "E-AC-3"),
            (b"RIFF\0\0\0\0AVI LIST".to_vec(), "AVI"),
            (b"\0\0\0\x18ftypheic\0\0\0\0".to_vec(), "HEIC"),
            (b"ALS\0\0\x01".to_vec(), "ALS"),
            (b"DSD \x1C\0".to_vec(), "DSF"),
            (b"MPCK".to_vec(), "Musepack"),
            (b"wvpk".to_vec(), "WavPack"),
            (b"MAC \x96".to_vec(), "Monkey's"),
            (b"caff\0\x01".to_vec(), "Core Audio"),
            (b"\xFF\xF1\x50\x80".to_vec(), "ADTS"),
            (b"\xFF\xF9\x50\x80".to_vec(), "ADTS"),
            (b"\xFF\xF8\xC9\x18\0\xC2".to_vec(), "FLAC file without its header"),
            (b"\xFF\xF8\xC9\x18\x05\xD9".to_vec(), "live stream"),
            (b"\x00\x05\x16\x07\x00\x02\x00\x00".to_vec(), "macOS"),
            (b"\xEF\xBB\xBF<!DOCTYPE html>".to_vec(), "web page"),
            ([b"\x47\x40\0\x10".as_slice(), &[0; 184]].concat().repeat(3)[..512].to_vec(), "transport stream"),
            ([b"\0\0\0\0\x47\x40\0\x10".as_slice(), &[0; 184]].concat().repeat(3)[..512].to_vec(), "transport stream"),
        ] {
            let said = other_audio(&start).unwrap_or_default();
            assert!(said.contains(name), "{name}: {said}");
        }
        for ours in [
            b"fLaC\0\0\0\x22".as_slice(),
            b"RIFF\0\0\0\0WAVE",
            b"FORM\0\0\0\0AIFF",
            b"\0\0\0\x1CftypM4A ",
            b"\xFF\xFB\x90\x64",
            b"GGGG".repeat(20).as_slice(),
            b"",
            b"\xFF",
        ] {
            assert_eq!(other_audio(ours), None, "{ours:?}");
        }
    }

    #[test]
    fn a_stream_is_called_by_its_name_wherever_it_begins() {
        // Frames of 50 and 60 bytes: AAC-LC, 44.1 kHz, stereo.
        let adts = |length: usize| {
            let mut frame =
                vec![0xFF, 0xF1, 0x50, 0x80 | (length >> 11) as u8, (length >> 3) as u8, (length << 5) as u8, 0xFC];
            frame.resize(length, 0x21);
            frame
        };
        let aac = [adts(50), adts(60), adts(50), adts(60)].concat();
        let packets = [b"\x47\x40\0\x10".as_slice(), &[0; 184]].concat().repeat(7);
        let later_page = |packet: &[u8]| {
            let mut page = page(packet);
            page[5] = 0;
            page
        };
        let ogg = [later_page(&[0; 80]), later_page(&[7; 200]), later_page(&[7; 9])].concat();
        let loas = [b"\x56\xE1\x05".as_slice(), &[0x21; 0x105]].concat().repeat(3);
        // 192 kbit/s at 48, 44.1 and 32 kHz. At 44.1 kHz, sizes alternate.
        let dolby = |sizes: u8, bytes: usize| {
            let mut frame = vec![0x0B, 0x77, 0x21, 0x21, sizes, 0x40];
            frame.resize(bytes, 0x21);
            frame
        };
        let ac3_44 = [dolby(0x54, 834), dolby(0x55, 836), dolby(0x54, 834)].concat();
        let enhanced = [b"\x0B\x77\x01\x7F\x34\x86".as_slice(), &[0x21; 762]].concat().repeat(3);
        for (stream, name) in [
            (aac, "ADTS"),
            (loas, "LOAS"),
            (dolby(0x14, 768).repeat(3), "(AC-3)"),
            (ac3_44, "(AC-3)"),
            (dolby(0x94, 1152).repeat(3), "(AC-3)"),
            (enhanced, "(E-AC-3)"),
            (packets, "transport stream"),
            (ogg, "Ogg"),
        ] {
            for before in [0, 1, 33, 5000] {
                let said = other_stream(&[vec![0x21; before], stream.clone()].concat()).unwrap_or_default();
                assert!(said.contains(name), "{name}: {said}");
            }
        }
        let archive = [vec![0x21; 512], page(b"\x01vorbis\0\0"), later_page(&[7; 200]), later_page(&[7; 90])].concat();
        for other in [
            adts(50),
            [adts(50), vec![0xFF; 500]].concat(),
            dolby(0x14, 768).repeat(2),
            b"\x56\xE1\x05".repeat(2),
            b"Just words, OggS and Gs. ".repeat(50),
            vec![0; 70_000],
            archive,
            [b"A list: OggS\0".as_slice(), &[0x21; 500]].concat(),
            // A picture with an area of one colour.
            [b"BM".as_slice(), &[0x47; 3000]].concat(),
        ] {
            assert_eq!(other_stream(&other), None, "{:?}", &other[..20]);
        }
        assert_eq!(other_audio(&[0x47; 512]), None);
    }

    #[test]
    fn pictures_are_called_by_their_names() {
        for (start, name) in [
            (b"\0\0\0\x0CjP  \r\n\x87\n".as_slice(), "JPEG 2000"),
            (b"\xFF\x4F\xFF\x51\0\x2F", "JPEG 2000"),
            (b"\0\0\0\x0CJXL \r\n\x87\n", "JPEG XL"),
            (b"\xFF\x0A\xFA\x1F", "JPEG XL"),
            (b"II\xBC\x01", "JPEG XR"),
            (b"II*\0", "TIFF"),
            (b"\0\0\0\x18ftypheic", "HEIC"),
            (b"abc", "not a JPEG or PNG"),
        ] {
            let said = other_picture(start);
            assert!(said.contains(name), "{name}: {said}");
        }
    }
}
