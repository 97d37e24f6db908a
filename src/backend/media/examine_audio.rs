//! The second look at a track: every sample is decoded and measured, and written to a copy where its kind needs one.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use symphonia::{
    core::{
        codecs::audio::{
            AudioCodecParameters, AudioDecoderOptions,
            well_known::{CODEC_ID_AAC, CODEC_ID_ALAC},
        },
        errors::Error as SymphoniaError,
        formats::{FormatOptions, FormatReader, TrackType},
        io::{MediaSource, MediaSourceStream},
        packet::Packet,
        units::{Duration, Timestamp},
    },
    default::{
        formats::{FlacReader, MpaReader},
        get_codecs,
    },
};

use super::{
    Deadline, Result, damaged, deadline, incomplete,
    judge::{self, AudioHeader, Samples},
    listening::ListeningCopy,
    meter::Meter,
    mp4::Packets,
    shielded,
    source::Source,
};
use crate::domain::media::{AudioCodec, AudioContainer, AudioFacts, MediaLimits, Peaks};

/// The size was judged when the file arrived; limits may have become smaller since.
const NO_LIMITS: MediaLimits = MediaLimits { max_audio_bytes: u64::MAX, max_cover_bytes: u64::MAX };
/// An MP3 cut out of a longer one leans on bytes that are gone: its first frames may be silent.
const FORGIVEN_MP3_FRAMES: u64 = 2;
/// What encoders add and declare differently at both ends: a few blocks.
const END_TOLERANCE_FRAMES: u64 = 8192;

/// Decodes a track's file to its end. Takes about a second for ten minutes of music; memory is constant. Of a kind of file that
/// not every browser plays, a copy to listen to is made at `copy`, which takes some seconds more.
///
/// # Errors
/// Refused with 422 if the file cannot be decoded whole (or as [`judge_audio`](super::judge_audio) does), out of time at the first
/// packet behind the deadline, else I/O.
pub fn examine_audio(path: &Path, copy: &Path, deadline: &Deadline) -> Result<(AudioFacts, Peaks)> {
    let header = judge::audio_of(&mut Source::open(path, deadline)?, &NO_LIMITS)?;
    let meter = Meter::new(header.sample_rate_hz, header.channels, header.bit_depth)?;
    let mut ear = Ear { meter, copy: None, deadline: deadline.clone() };
    if ListeningCopy::is_needed(&header) {
        ear.copy = ListeningCopy::create(copy, &header).map(Some).or_else(Ear::without_copy)?;
    }
    match &header.samples {
        Samples::Plain(layout) => layout.play(path, |samples| ear.hear(samples))?,
        Samples::Coded { .. } | Samples::Packets { .. } => shielded(|| decode(path, &header, &mut ear))?,
    }
    if ear.meter.frames() == 0 {
        return damaged("there is no sound in it");
    }
    let has_listening_copy = match ear.copy {
        Some(copy) => copy.finish().map(Some).or_else(Ear::without_copy)?.is_some(),
        None => false,
    };
    let measured = ear.meter.finish();
    let facts = AudioFacts {
        container: header.container,
        codec: header.codec,
        duration_ms: measured.duration_ms,
        // The rules have bounded these three.
        sample_rate_hz: header.sample_rate_hz.cast_signed(),
        bit_depth: header.bit_depth.map(u16::cast_signed),
        channels: header.channels.cast_signed(),
        integrated_lufs: measured.integrated_lufs,
        true_peak_dbtp: measured.true_peak_dbtp,
        clipped_samples: measured.clipped_samples,
        packaging: header.packaging,
        has_listening_copy,
    };
    Ok((facts, measured.peaks))
}

/// What becomes of every sample.
struct Ear {
    meter: Meter,
    copy: Option<ListeningCopy>,
    deadline: Deadline,
}

impl Ear {
    /// The sound of one packet, or of one block of plain samples.
    fn hear(&mut self, samples: &[f32]) -> Result<()> {
        fail::fail_point!("packet-decoded");
        self.deadline.check()?;
        self.meter.add(samples)?;
        if let Some(copy) = &mut self.copy
            && let Err(error) = copy.add(samples)
        {
            self.copy = Self::without_copy(error)?;
        }
        Ok(())
    }

    /// A track that cannot be copied is as good as another: who cannot play it may open it. A full disk is a reason to try again.
    fn without_copy<T>(error: io::Error) -> Result<Option<T>> {
        if error.raw_os_error().is_some() {
            return Err(error.into());
        }
        tracing::warn!(error = ?error, "a track gets no copy to listen to");
        Ok(None)
    }
}

fn decode(path: &Path, header: &AudioHeader, ear: &mut Ear) -> Result<()> {
    let (mut feed, parameters) = Feed::open(path, header, ear)?;
    let options = AudioDecoderOptions::default().verify(true);
    let mut decoder =
        get_codecs().make_audio_decoder(&parameters, &options).or_else(|error| refuse(error, &ear.meter))?;

    let mut samples: Vec<f32> = Vec::new();
    let mut packets = 0_u64;
    while let Some(packet) = feed.next(&ear.meter)? {
        packets += 1;
        // FLAC frames are numbered: what the demuxer skipped as unreadable shows as a gap.
        if header.container == AudioContainer::Flac && u64::try_from(packet.pts.get()) != Ok(ear.meter.frames()) {
            return damaged(&format!("a part at {} cannot be decoded", ear.meter.position()));
        }
        let decoded = match decoder.decode(&packet) {
            Ok(decoded) => decoded,
            Err(SymphoniaError::DecodeError(_))
                if header.container == AudioContainer::Mp3 && packets <= FORGIVEN_MP3_FRAMES =>
            {
                continue;
            }
            Err(error) => return refuse(error, &ear.meter),
        };
        let spec = decoded.spec();
        if (spec.rate(), spec.channels().count()) != (header.sample_rate_hz, usize::from(header.channels)) {
            return damaged(&format!("its sample rate or its channels change at {}", ear.meter.position()));
        }
        decoded.copy_to_vec_interleaved(&mut samples);
        ear.hear(&samples)?;
    }
    if header.frames.is_some_and(|declared| ear.meter.frames() + END_TOLERANCE_FRAMES < declared) {
        return incomplete();
    }
    if decoder.finalize().verify_ok == Some(false) {
        return damaged("its checksum does not match its sound");
    }
    Ok(())
}

/// Where packets come from: from what the judge found, not from what a probe would guess again.
enum Feed {
    /// Frames that lie one behind another: a reader finds where each ends.
    Stream(Box<dyn FormatReader>),
    /// Packets that tables point at.
    Tables(Source, Box<Packets>),
}

impl Feed {
    fn open(path: &Path, header: &AudioHeader, ear: &Ear) -> Result<(Self, AudioCodecParameters)> {
        let (head, start, end) = match &header.samples {
            Samples::Coded { head, start, end } => (head.clone(), *start, *end),
            Samples::Packets { config, packets } => {
                let codec = if header.codec == AudioCodec::Alac { CODEC_ID_ALAC } else { CODEC_ID_AAC };
                let mut parameters = AudioCodecParameters::new();
                parameters.for_codec(codec).with_extra_data(config.clone().into());
                return Ok((Self::Tables(Source::open(path, &ear.deadline)?, packets.clone()), parameters));
            }
            Samples::Plain(_) => return damaged("it does not say what its samples are"),
        };
        let part = Part { head, file: File::open(path)?, start, end, position: 0, deadline: ear.deadline.clone() };
        let stream = MediaSourceStream::new(Box::new(part), Default::default());
        let options = FormatOptions::default();
        let reader: std::result::Result<Box<dyn FormatReader>, SymphoniaError> = match header.container {
            AudioContainer::Flac => FlacReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
            _ => MpaReader::try_new(stream, options).map(|reader| Box::new(reader) as _),
        };
        let reader = reader.or_else(|error| refuse(error, &ear.meter))?;
        let Some(track) = reader.default_track(TrackType::Audio) else { return damaged("there is no sound in it") };
        let parameters = track.codec_params.as_ref().and_then(|parameters| parameters.audio()).cloned();
        match parameters {
            Some(parameters) => Ok((Self::Stream(reader), parameters)),
            None => damaged("it does not say what its samples are"),
        }
    }

    fn next(&mut self, meter: &Meter) -> Result<Option<Packet>> {
        match self {
            Self::Stream(reader) => reader.next_packet().or_else(|error| refuse(error, meter)),
            Self::Tables(source, packets) => {
                let Some(place) = packets.next(source)? else { return Ok(None) };
                // At most a megabyte.
                let Some(data) = source.bytes(place)? else { return incomplete() };
                Ok(Some(Packet::new(0, Timestamp::ZERO, Duration::ZERO, data)))
            }
        }
    }
}

/// A decoder's complaint as a sentence; a failing disk stays what it is.
fn refuse<T>(error: SymphoniaError, meter: &Meter) -> Result<T> {
    match error {
        SymphoniaError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => incomplete(),
        SymphoniaError::IoError(error) if error.raw_os_error().is_some() || deadline::is_out_of_time(&error) => {
            Err(error.into())
        }
        _ => damaged(&format!("it cannot be decoded from {} on", meter.position())),
    }
}

/// `head`, followed by a part of a file.
struct Part {
    head: Vec<u8>,
    file: File,
    start: u64,
    end: u64,
    /// From the beginning of `head`.
    position: u64,
    /// Asked at every read: a decoder that looks for its next packet for long gives nothing back meanwhile.
    deadline: Deadline,
}

impl Part {
    fn length(&self) -> u64 {
        self.head.len() as u64 + (self.end - self.start)
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.deadline.check()?;
        let in_head =
            usize::try_from(self.position).ok().and_then(|position| self.head.get(position..)).unwrap_or_default();
        let count = if in_head.is_empty() {
            let offset = self.start.saturating_add(self.position - self.head.len() as u64);
            let left = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
            if left == 0 {
                // A file may point so far behind its end that the system refuses to go there; that is the file's fault.
                return Ok(0);
            }
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read(&mut buffer[..left])?
        } else {
            let count = in_head.len().min(buffer.len());
            buffer[..count].copy_from_slice(&in_head[..count]);
            count
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.length())
    }
}
