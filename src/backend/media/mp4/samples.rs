//! Locates the packets of the sound. Their positions are read from the sample tables (`stbl`) and from fragments
//! (`moof`) as they are needed.
//!
//! Every table is read once, from its first entry to its last, through a small buffer. So the work grows only with the
//! number of packets, and memory does not grow with it at all. A reader that searches a table for each packet takes the
//! product of both: hours for a few megabytes.

use std::{ops::Range, sync::Arc};

use crate::backend::media::{
    Result, damaged, incomplete,
    source::{Source, be32},
};

/// Maximum number of packets. Six hours of AAC at 96 kHz are 2,025,000 packets of 1,024 samples, and six hours of ALAC
/// at 192 kHz are 1,012,500 packets of 4,096 samples.
pub(super) const MAX_PACKETS: u32 = 4_000_000;
/// Maximum bytes of a packet. An ALAC packet of 65,536 samples that are not compressed has 512 kB. AAC has at most 768
/// bytes for each channel.
pub(super) const MAX_PACKET_BYTES: u32 = 1024 * 1024;
/// Maximum number of runs. Six hours in fragments of a quarter of a second are 86,400. Each takes about 150 bytes of
/// memory.
pub(super) const MAX_RUNS: usize = 100_000;
/// Number of entries that are read at a time.
const BUFFERED_ENTRIES: u32 = 1024;

/// A table, whose entries lie in the file at equal distances.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    next: u64,
    left: u32,
    /// Distance from one entry to the next: at most 16 bytes.
    stride: u64,
    buffer: Vec<u8>,
    read: usize,
}

impl Table {
    /// Creates a table. Returns None if `count` entries do not fit into the bytes up to `end`.
    pub(super) fn new(start: u64, count: u32, stride: u64, end: u64) -> Option<Self> {
        let fits = start.checked_add(u64::from(count) * stride).is_some_and(|table_end| table_end <= end);
        fits.then_some(Self { next: start, left: count, stride, buffer: Vec::new(), read: 0 })
    }

    /// Moves the start by `bytes`, to a field inside of each entry.
    pub(super) fn at_field(mut self, bytes: u64) -> Self {
        self.next += bytes;
        self
    }

    /// Returns the first `N` bytes of the next entry, or None behind the last.
    fn next<const N: usize>(&mut self, source: &mut Source) -> Result<Option<[u8; N]>> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.read >= self.buffer.len() {
            let entries = u64::from(self.left.min(BUFFERED_ENTRIES));
            // A buffer has at most 16 kB. The bytes behind the field in the last entry are not needed.
            let bytes = ((entries - 1) * self.stride) as usize + N;
            let Some(buffer) = source.copy(self.next, bytes)? else { return incomplete() };
            self.buffer = buffer;
            self.read = 0;
            self.next += entries * self.stride;
        }
        let entry = self.buffer.get(self.read..self.read + N).and_then(|entry| entry.try_into().ok());
        self.read += self.stride as usize;
        self.left -= 1;
        Ok(entry)
    }

    /// Sums the first numbers of all entries that are left.
    pub(super) fn sum(mut self, source: &mut Source) -> Result<u64> {
        let mut sum = 0_u64;
        while let Some(number) = self.number(source)? {
            sum += u64::from(number);
        }
        Ok(sum)
    }

    fn number(&mut self, source: &mut Source) -> Result<Option<u32>> {
        Ok(self.next::<4>(source)?.map(u32::from_be_bytes))
    }
}

/// The number of bytes of each packet.
#[derive(Clone, Debug)]
pub(super) enum Sizes {
    Same(u32),
    Each(Table),
    /// The size that `trex` declares for the whole track.
    Default,
}

/// Consecutive packets: a run of a fragment.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) track: u32,
    /// Offset of the first packet. None if the run begins where the run before it ends.
    pub(super) offset: Option<u64>,
    pub(super) packets: u32,
    pub(super) sizes: Sizes,
    /// Duration of its packets together, in the time scale of the track. 0 if nothing declares it.
    pub(super) duration: u64,
    /// Time at which the run begins, if its fragment declares it.
    pub(super) decode_time: Option<u64>,
    /// Number of gaps in the numbers of all fragments up to the run's own.
    pub(super) gaps: u32,
}

/// The tables of one track, as they stand in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct SampleTables {
    /// `stts`: packets in a row of one duration.
    pub(super) durations: Option<Table>,
    /// `ctts`: packets in a row of one composition offset.
    pub(super) compositions: Option<Table>,
    /// `stsc`: chunks in a row with equally many packets.
    pub(super) groups: Option<Table>,
    /// `stsz`
    pub(super) sizes: Option<Sizes>,
    pub(super) packets: u32,
    /// `stco` or `co64`
    pub(super) chunks: Option<Table>,
}

impl SampleTables {
    /// Reads the tables that do not tell where packets lie. They are checked as well, because they are part of a file
    /// that other decoders will get. Returns the duration of all packets together.
    ///
    /// # Errors
    /// Refused if an entry stands for nothing, or if there are more entries than packets.
    fn validate(&self, source: &mut Source) -> Result<u64> {
        let duration = self.duration(source)?;
        self.sum_of(&self.compositions, source)?;
        let Some(mut groups) = self.groups.clone() else { return Ok(duration) };
        let mut next_chunk = 1;
        while let Some(group) = groups.next::<8>(source)? {
            let (first_chunk, packets) = (be32(&group, 0), be32(&group, 4));
            if packets == 0 {
                return stands_for_nothing();
            }
            // The first entry describes the first chunk, and each entry at least one.
            if first_chunk < next_chunk || (next_chunk == 1 && first_chunk != 1) {
                return contradiction();
            }
            next_chunk = first_chunk.saturating_add(1);
        }
        Ok(duration)
    }

    /// Returns the duration of all packets together, in the time scale of the track. 0 if nothing declares it.
    ///
    /// # Errors
    /// Refused as [`validate`](Self::validate) does.
    pub(super) fn duration(&self, source: &mut Source) -> Result<u64> {
        self.sum_of(&self.durations, source)
    }

    /// Sums the numbers of a table, each times the packets that it stands for.
    fn sum_of(&self, table: &Option<Table>, source: &mut Source) -> Result<u64> {
        let Some(mut table) = table.clone() else { return Ok(0) };
        if table.left > self.packets {
            return contradiction();
        }
        let mut sum = 0_u64;
        while let Some(entry) = table.next::<8>(source)? {
            let (count, each) = (be32(&entry, 0), be32(&entry, 4));
            if count == 0 {
                return stands_for_nothing();
            }
            sum = sum.saturating_add(u64::from(count) * u64::from(each));
        }
        Ok(sum)
    }
}

/// The packets of one track, in their order.
#[derive(Clone, Debug)]
pub(in crate::backend::media) struct Packets {
    tables: SampleTables,
    /// Number of chunks begun so far.
    chunk: u32,
    packets_per_chunk: u32,
    /// The first chunk of the next group, and how many packets each of that group has.
    next_group: Option<(u32, u32)>,
    runs: Arc<[Run]>,
    next_run: usize,
    /// Size that `trex` declares.
    default_size: u32,
    sizes: Sizes,
    left_in_run: u32,
    offset: u64,
    packets: u32,
    bytes: u64,
    /// Duration of the packets of the sample tables together. 0 if nothing declares it.
    table_duration: u64,
}

impl Packets {
    /// Creates the walk through the packets of a track.
    ///
    /// # Errors
    /// Refused if the tables contradict each other.
    pub(super) fn new(
        source: &mut Source,
        mut tables: SampleTables,
        runs: Vec<Run>,
        default_size: u32,
    ) -> Result<Self> {
        if tables.packets > MAX_PACKETS {
            return too_many();
        }
        let table_duration = tables.validate(source)?;
        let sizes = tables.sizes.take().unwrap_or(Sizes::Default);
        let next_group = first_group(&mut tables, source)?;
        let packets = Self {
            tables,
            chunk: 0,
            packets_per_chunk: 0,
            next_group,
            runs: runs.into(),
            next_run: 0,
            default_size,
            sizes,
            left_in_run: 0,
            offset: 0,
            packets: 0,
            bytes: 0,
            table_duration,
        };
        Ok(packets)
    }

    /// Walks through all packets.
    ///
    /// # Errors
    /// Refused if there is none, or if one of them is empty, impossibly large, or behind the end of the file.
    pub(super) fn validate(&self, source: &mut Source) -> Result<()> {
        let mut all = self.clone();
        while all.next(source)?.is_some() {}
        if all.packets == 0 {
            return damaged("there is no sound in it");
        }
        Ok(())
    }

    /// The duration of all packets together, in the time scale of the track. None if only decoding can tell.
    pub(super) fn duration(&self) -> Option<u64> {
        // Fragments would add to it.
        (self.runs.is_empty() && self.table_duration > 0).then_some(self.table_duration)
    }

    pub(super) fn table_duration(&self) -> u64 {
        self.table_duration
    }

    /// Returns the mean duration of the packets of the sample tables.
    pub(super) fn table_packet_duration(&self) -> u64 {
        self.table_duration / u64::from(self.tables.packets.max(1))
    }

    pub(super) fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the range of the next packet, or None behind the last.
    pub(in crate::backend::media) fn next(&mut self, source: &mut Source) -> Result<Option<Range<u64>>> {
        while self.left_in_run == 0 {
            if !self.begin_run(source)? {
                return Ok(None);
            }
        }
        self.left_in_run -= 1;
        let size = match &mut self.sizes {
            Sizes::Same(size) => *size,
            Sizes::Default => self.default_size,
            Sizes::Each(table) => match table.number(source)? {
                Some(size) => size,
                None => return contradiction(),
            },
        };
        if size == 0 {
            return stands_for_nothing();
        }
        if size > MAX_PACKET_BYTES {
            return damaged("one of its packets is larger than any real one");
        }
        self.packets += 1;
        if self.packets > MAX_PACKETS {
            return too_many();
        }
        let (start, end) = (self.offset, self.offset.saturating_add(u64::from(size)));
        if end > source.length() {
            return incomplete();
        }
        self.offset = end;
        self.bytes += u64::from(size);
        if self.bytes > source.length() {
            return damaged("its pieces overlap");
        }
        Ok(Some(start..end))
    }

    /// Begins the next run: first those of the sample tables, then those of the fragments. Returns false if there is
    /// none left.
    fn begin_run(&mut self, source: &mut Source) -> Result<bool> {
        if self.tables.packets > 0 {
            self.begin_chunk(source)?;
            return Ok(true);
        }
        let Some(run) = self.runs.get(self.next_run) else { return Ok(false) };
        self.next_run += 1;
        self.offset = run.offset.unwrap_or(self.offset);
        self.left_in_run = run.packets;
        self.sizes = run.sizes.clone();
        Ok(true)
    }

    fn begin_chunk(&mut self, source: &mut Source) -> Result<()> {
        let offset = match &mut self.tables.chunks {
            Some(chunks) if chunks.stride == 8 => chunks.next(source)?.map(u64::from_be_bytes),
            Some(chunks) => chunks.number(source)?.map(u64::from),
            None => None,
        };
        self.chunk += 1;
        if let Some((_, packets)) = self.next_group.filter(|(first_chunk, _)| *first_chunk == self.chunk) {
            self.packets_per_chunk = packets;
            self.next_group = first_group(&mut self.tables, source)?;
        }
        self.left_in_run = self.packets_per_chunk.min(self.tables.packets);
        self.tables.packets -= self.left_in_run;
        match offset {
            Some(offset) if self.left_in_run > 0 => self.offset = offset,
            _ => return contradiction(),
        }
        Ok(())
    }
}

/// Reads the next entry of `stsc`: its first chunk, and the number of packets in each of its chunks.
fn first_group(tables: &mut SampleTables, source: &mut Source) -> Result<Option<(u32, u32)>> {
    let group = match &mut tables.groups {
        Some(groups) => groups.next::<8>(source)?,
        None => None,
    };
    Ok(group.map(|group| (be32(&group, 0), be32(&group, 4))))
}

pub(super) fn too_many<T>() -> Result<T> {
    damaged("it consists of too many pieces")
}

pub(super) fn contradiction<T>() -> Result<T> {
    damaged("the numbers in its tables contradict each other")
}

pub(super) fn stands_for_nothing<T>() -> Result<T> {
    damaged("an entry in its tables is empty")
}
