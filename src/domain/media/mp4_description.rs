//! The sample description of an MP4 (`stsd`), as browser and server both read it: the codec of a track, its rate and
//! channels, or why we don't take it.

use super::AudioCodec;

/// The largest number of samples of an ALAC packet. Apple's encoder uses 4,096. The decoder keeps as many samples of each
/// channel as the file declares.
const MAX_ALAC_FRAME_SAMPLES: u32 = 16 * 4096;
/// The offset of the boxes in an entry that describes pictures.
pub const PICTURE_CHILDREN_START: usize = 86;

/// The kinds of streams in an ES descriptor (ISO 14496-1, table 5; MP4RA).
pub mod stream_kind {
    pub const MPEG4_AUDIO: u8 = 0x40;
    pub const MPEG2_AAC_LC: u8 = 0x67;
    pub const JPEG: u8 = 0x6C;
    pub const PNG: u8 = 0x6D;
}

/// The audio object type of AAC-LC in MPEG-4 audio (ISO 14496-3, table 1.17).
const AAC_LC: u32 = 2;
/// The marker of spectral band replication behind the configuration of AAC-LC.
const SYNC_EXTENSION: u32 = 0x2B7;

/// The codec of a track and the facts from its sample description.
#[derive(Clone, Debug)]
pub struct Mp4Sound {
    pub codec: AudioCodec,
    pub sample_rate_hz: u32,
    pub channels: u16,
    pub bit_depth: Option<u16>,
    /// The codec's configuration, for the decoder.
    pub config: Vec<u8>,
}

/// Why a sample entry describes no sound that we take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoSound {
    /// The sentence of the refusal.
    WrongKind(String),
    /// The end of the sentence "This file is damaged: …".
    Damaged(&'static str),
}

fn wrong_kind<T>(message: impl Into<String>) -> Result<T, NoSound> {
    Err(NoSound::WrongKind(message.into()))
}

fn damaged<T>(what: &'static str) -> Result<T, NoSound> {
    Err(NoSound::Damaged(what))
}

/// Reads an audio sample entry (ISO 14496-12) and the box that describes its codec.
///
/// # Errors
/// Why the entry describes no sound that we take.
pub fn sound(entry: &[u8]) -> Result<Mp4Sound, NoSound> {
    let children_start = match be16(entry, 16) {
        // QuickTime's versions of the entry have additional numbers.
        1 => 52,
        2 => 72,
        _ => 36,
    };
    let children = entry.get(children_start..).unwrap_or_default();
    let name = match entry.get(4..8) {
        Some(b"mp4a") => return aac(entry, children),
        Some(b"alac") => return alac(children),
        Some(b"drms" | b"enca") => {
            return wrong_kind("This file is protected against copying. Upload the master it was made from.");
        }
        None => return damaged("its header does not name a sample format"),
        Some(b".mp3" | b"ms\0\x55") => "MP3",
        Some(b"fLaC") => "FLAC",
        Some(b"Opus") => "Opus",
        Some(b"ac-3" | b"AC-3" | b"sac3") => "Dolby Digital (AC-3)",
        Some(b"ec-3") => "Dolby Digital Plus (E-AC-3)",
        Some(b"ac-4") => "Dolby AC-4",
        Some(b"mlpa") => "Dolby TrueHD",
        Some(b"dtsc" | b"dtse" | b"dtsh" | b"dtsl" | b"dtsx") => "DTS",
        Some(b"samr" | b"sawb" | b"sawp") => "AMR",
        Some(b"mhm1" | b"mha1" | b"mhm2" | b"mha2") => "MPEG-H",
        Some(b"QDM2" | b"QDMC") => "QDesign Music",
        Some(b"ima4" | b"ms\0\x02" | b"ms\0\x11") => "ADPCM",
        Some(b"alaw" | b"ulaw") => "A-law or µ-law",
        Some(
            b"lpcm" | b"sowt" | b"twos" | b"in24" | b"in32" | b"fl32" | b"fl64" | b"raw " | b"NONE" | b"ipcm" | b"fpcm",
        ) => {
            return wrong_kind(
                "This MP4 or QuickTime file holds PCM. Export it as WAV or AIFF and upload that file: it sounds the same.",
            );
        }
        Some(_) => return other_codec(None),
    };
    other_codec(Some(name))
}

fn other_codec<T>(name: Option<&str>) -> Result<T, NoSound> {
    let holds = name.map_or("neither ALAC nor AAC".to_owned(), |name| format!("{name}, neither ALAC nor AAC"));
    wrong_kind(format!("This MP4 file holds {holds}. Upload a WAV, FLAC, AIFF, ALAC, AAC (M4A) or MP3 file."))
}

/// Refuses AAC that may be fine, because our decoder supports only AAC-LC.
fn other_profile<T>(name: &str) -> Result<T, NoSound> {
    wrong_kind(format!("We cannot decode this file: it holds {name}. Export it as AAC-LC, or better as WAV or FLAC."))
}

/// Whether a track of pictures holds stills: a cover, or one for each chapter.
pub fn is_still(entry: &[u8]) -> bool {
    match entry.get(4..8) {
        Some(b"jpeg" | b"mjpa" | b"mjpb" | b"png " | b"gif " | b"tiff" | b"raw ") => true,
        Some(b"mp4v") => {
            let esds = entry.get(PICTURE_CHILDREN_START..).and_then(|children| child(children, b"esds"));
            esds.and_then(|body| stream(body.get(4..)?))
                .is_some_and(|(kind, _)| matches!(kind, stream_kind::JPEG | stream_kind::PNG))
        }
        _ => false,
    }
}

/// Returns the body of the box `kind` among the children of a sample entry, perhaps inside QuickTime's `wave`.
fn child<'a>(children: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    child_box(children, kind).or_else(|| child_box(child_box(children, b"wave")?, kind))
}

pub fn child_box<'a>(mut children: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    while children.len() >= 8 {
        let size = be32(children, 0) as usize;
        let body = children.get(8..size)?;
        if &children[4..8] == kind {
            return Some(body);
        }
        children = &children[size..];
    }
    None
}

fn alac(children: &[u8]) -> Result<Mp4Sound, NoSound> {
    // The cookie follows a version and flags.
    let cookie = child(children, b"alac").and_then(|body| body.get(4..));
    let Some(cookie) = cookie.filter(|cookie| cookie.len() >= 24) else {
        return damaged("its header does not name a sample format");
    };
    if be32(cookie, 0) == 0 || be32(cookie, 0) > MAX_ALAC_FRAME_SAMPLES {
        return damaged("its header names an impossible block size");
    }
    Ok(Mp4Sound {
        codec: AudioCodec::Alac,
        sample_rate_hz: be32(cookie, 20),
        channels: u16::from(cookie[9]),
        bit_depth: Some(u16::from(cookie[5])),
        config: cookie.to_vec(),
    })
}

fn aac(entry: &[u8], children: &[u8]) -> Result<Mp4Sound, NoSound> {
    let esds = child(children, b"esds").and_then(|body| body.get(4..));
    let Some((kind, config)) = esds.and_then(stream) else {
        return damaged("its header does not name a sample format");
    };
    match kind {
        stream_kind::MPEG4_AUDIO | stream_kind::MPEG2_AAC_LC => {}
        0x69 | 0x6B => return other_codec(Some("MP3")),
        0x66 => return other_profile("AAC Main"),
        0x68 => return other_profile("AAC SSR"),
        0xA5 => return other_codec(Some("Dolby Digital (AC-3)")),
        0xA6 => return other_codec(Some("Dolby Digital Plus (E-AC-3)")),
        0xA9..=0xAC => return other_codec(Some("DTS")),
        0xAD => return other_codec(Some("Opus")),
        0xDD => return other_codec(Some("Vorbis")),
        0xE1 => return other_codec(Some("QCELP")),
        _ => return other_codec(None),
    }
    let Some(config) = config else { return damaged("its header does not name a sample format") };
    const RATES_HZ: [u32; 13] =
        [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
    // AudioSpecificConfig (ISO 14496-3): 5 bits object type, 4 bits rate, 4 bits channels.
    let bits = be32(&[config, &[0; 4]].concat(), 0);
    let (profile, rate, channels) = (bits >> 27, bits >> 23 & 0xF, bits >> 19 & 0xF);
    match profile {
        AAC_LC if has_sync_extension(config) => return he_aac(),
        AAC_LC => {}
        5 | 29 => return he_aac(),
        1 => return other_profile("AAC Main"),
        3 => return other_profile("AAC SSR"),
        4 => return other_profile("AAC LTP"),
        6 => return other_profile("AAC Scalable"),
        17 => return other_profile("AAC-LC for unreliable connections (ER AAC LC)"),
        19 => return other_profile("AAC LTP for unreliable connections (ER AAC LTP)"),
        20 => return other_profile("AAC Scalable for unreliable connections (ER AAC Scalable)"),
        23 => return other_profile("AAC-LD"),
        // 31 means that six more bits name the type, from 32 on.
        31 => {
            return match 32 + (bits >> 21 & 0x3F) {
                32..=34 => other_codec(Some("MPEG audio (MP3)")),
                36 => other_codec(Some("MPEG-4 ALS")),
                37 | 38 => other_codec(Some("MPEG-4 SLS")),
                39 => other_profile("AAC-ELD"),
                42 => other_profile("xHE-AAC (USAC)"),
                _ => other_codec(None),
            };
        }
        _ => return other_codec(None),
    }
    let Some(sample_rate_hz) = RATES_HZ.get(rate as usize).copied() else {
        return damaged("its header names an impossible sample rate");
    };
    let channels = if channels == 0 { be16(entry, 24) } else { channels as u16 };
    Ok(Mp4Sound { codec: AudioCodec::Aac, sample_rate_hz, channels, bit_depth: None, config: config.to_vec() })
}

fn he_aac<T>() -> Result<T, NoSound> {
    wrong_kind("This is HE-AAC or another variant for low bit rates. Export AAC-LC, or better WAV or FLAC.")
}

/// Whether the configuration of AAC-LC goes on with one of HE-AAC, for decoders that support it.
fn has_sync_extension(config: &[u8]) -> bool {
    // The extension follows 13 bits and the three of GASpecificConfig. Its marker is followed by 5 bits object type and
    // one that says whether it is used.
    let bits = be32(&[config.get(2..).unwrap_or_default(), &[0; 4]].concat(), 0);
    bits >> 21 == SYNC_EXTENSION && bits >> 15 & 1 == 1
}

/// Reads the kind of a stream and its codec's own configuration from an ES descriptor (ISO 14496-1).
fn stream(es: &[u8]) -> Option<(u8, Option<&[u8]>)> {
    let es = descriptor(es, 3)?;
    let flags = *es.get(2)?;
    let mut end = 3;
    // dependsOn_ES_ID
    if flags & 0x80 != 0 {
        end += 2;
    }
    // URLlength and URLstring
    if flags & 0x40 != 0 {
        end += 1 + usize::from(*es.get(end)?);
    }
    // OCR_ES_Id
    if flags & 0x20 != 0 {
        end += 2;
    }
    let decoder = descriptor(es.get(end..)?, 4)?;
    Some((*decoder.first()?, decoder.get(13..).and_then(|rest| descriptor(rest, 5))))
}

fn descriptor(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (found, mut rest) = bytes.split_first()?;
    let mut size = 0;
    for _ in 0..4 {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        size = size << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    rest.get(..size).filter(|_| *found == tag)
}

/// Reads a number at `at`. Missing bytes make a 0, which no entry has where it matters.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_be_bytes)
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}
