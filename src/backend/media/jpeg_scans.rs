//! Checks whether the scans of a JPEG have data for the whole picture. Decoders fill missing parts with gray and broken
//! parts with anything, without an error.

use super::{
    Result, damaged, incomplete,
    jpeg::JpegLayout,
    refused,
    source::{Source, be16},
};

/// Number of bytes copied from the file at once.
const BUFFER_BYTES: usize = 16 * 1024;
const END_OF_IMAGE: u8 = 0xD9;
/// Maximum bytes between the last block of a scan and the next marker. Cameras leave some there. More bytes are the
/// rest of a picture from which a piece was removed.
const MAX_LEFT_OVER_BYTES: u64 = 32;
/// Number of consecutive zeros that indicate a hole if something else is wrong. In a complete picture they are the
/// codes of an even surface.
const HOLE_BYTES: u32 = 64;
const COEFFICIENTS: usize = 64;

/// Walks through all scans without computing a pixel. Checks that each block is there, that each of its codes is in its
/// table, and that progressive scans come down to the last bit of each coefficient. Returns `false` if this check
/// cannot decide; a decoder perhaps can.
///
/// The work grows with the bytes of the file and with the number of its scans, because each scan covers all blocks. The
/// memory is 8 bytes for each block of a progressive picture, which is 18 MB for the largest.
///
/// # Errors
/// Refused as incomplete or damaged. Otherwise I/O.
pub(super) fn are_complete(
    source: &mut Source,
    layout: &JpegLayout,
    (width_px, height_px): (u32, u32),
) -> Result<bool> {
    let mut sent = SentCoefficients::new(layout);
    let mut tables = Tables::default();
    let mut restart_interval = 0;
    let mut offset = 2;
    while let Some([0xFF, marker]) = source.read_array::<2>(offset)? {
        match marker {
            END_OF_IMAGE => break,
            // Fill bytes, and markers without content.
            0xFF => {
                offset += 1;
                continue;
            }
            0x01 | 0xD0..=0xD7 => {
                offset += 2;
                continue;
            }
            _ => {}
        }
        let Some(size) = source.read_array::<2>(offset + 2)? else { break };
        let (content, next) = (offset + 4, offset + 2 + u64::from(be16(&size, 0)));
        let bytes = match marker {
            0xC4 | 0xDA | 0xDD => source.bytes(content..next)?.unwrap_or_default(),
            _ => Vec::new(),
        };
        offset = next;
        match marker {
            0xC4 => tables.read(&bytes),
            0xDD => restart_interval = u64::from(be16(&bytes, 0)),
            0xDA => {
                // A scan that this check cannot follow is left to the decoder.
                let Some(scan) = Scan::read(&bytes, layout, (width_px, height_px)) else { return Ok(false) };
                let Some(tables) = scan.tables(&tables) else { return Ok(false) };
                if !sent.add(&scan) {
                    return damaged("a part of the picture is missing");
                }
                let mut bits = Bits::new(source, offset);
                scan.check(&mut bits, &tables, restart_interval, &mut sent)?;
                let LeftOver { filling, others } = bits.pass_left_over()?;
                // Behind a hole, each further byte shows that decoding lost its way in the hole or that the hole goes
                // on.
                let is_lost = match bits.hole {
                    Some(_) => others > 0 || filling > MAX_LEFT_OVER_BYTES,
                    None => others > MAX_LEFT_OVER_BYTES,
                };
                if is_lost {
                    return scan.damaged(&bits);
                }
                offset = bits.marker_offset();
            }
            _ => {}
        }
    }
    match (sent.is_whole(), layout.is_progressive) {
        (true, _) => Ok(true),
        // The missing scans are the ones that come last.
        (false, true) => refused(
            422,
            "This file is incomplete: the scans that make its picture sharp are missing. Export it again and upload the new file.",
        ),
        (false, false) => Ok(false),
    }
}

/// The coefficients of each component that the scans so far have sent.
struct SentCoefficients {
    components: Vec<SentComponent>,
}

struct SentComponent {
    id: u8,
    /// Lowest bit of each coefficient that was sent. None if none was sent.
    low_bits: [Option<u8>; COEFFICIENTS],
    /// Bit mask of the nonzero coefficients of each block. Empty until a scan reports them.
    nonzero: Vec<u64>,
}

impl SentCoefficients {
    fn new(layout: &JpegLayout) -> Self {
        let component = |id| SentComponent { id, low_bits: [None; COEFFICIENTS], nonzero: Vec::new() };
        Self { components: layout.components.iter().map(|of| component(of.id)).collect() }
    }

    /// Records a scan. Returns false if the scan does not continue where those before it ended.
    fn add(&mut self, scan: &Scan) -> bool {
        let Band { first, last, high_bit, low_bit } = scan.band;
        let mut follows = true;
        for component in &mut self.components {
            if scan.components.iter().any(|of| of.id == component.id) {
                for sent in component.low_bits.iter_mut().take(last + 1).skip(first) {
                    // Each scan after the first one of a band adds one bit.
                    follows &= high_bit == sent.unwrap_or(0) && (high_bit == 0 || high_bit == low_bit + 1);
                    *sent = Some(low_bit);
                }
            }
        }
        follows || !scan.is_progressive
    }

    fn is_whole(&self) -> bool {
        self.components.iter().all(|of| of.low_bits.iter().all(|low_bit| *low_bit == Some(0)))
    }

    /// Returns the masks of the component, with room for `blocks` blocks.
    fn nonzero(&mut self, id: u8, blocks: u64) -> &mut [u64] {
        let Some(component) = self.components.iter_mut().find(|of| of.id == id) else { return &mut [] };
        component.nonzero.resize(usize::try_from(blocks).unwrap_or(0), 0);
        &mut component.nonzero
    }
}

/// Huffman tables: four for averages, and four for the other coefficients.
#[derive(Default)]
struct Tables([[Option<Huffman>; 4]; 2]);

#[derive(Clone)]
struct Huffman {
    /// For codes of each length: the first code that is longer.
    ends: [u32; 17],
    /// For codes of each length: the number to add to a code to find the index of its value.
    offsets: [i32; 17],
    values: Vec<u8>,
}

impl Tables {
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((head, rest)) = bytes.split_at_checked(17) {
            let count = head[1..].iter().map(|count| usize::from(*count)).sum();
            let Some((values, rest)) = rest.split_at_checked(count) else { return };
            let slot =
                self.0.get_mut(usize::from(head[0] >> 4)).and_then(|class| class.get_mut(usize::from(head[0] & 15)));
            if let Some(slot) = slot {
                *slot = Some(Huffman::new(&head[1..], values));
            }
            bytes = rest;
        }
    }
}

impl Huffman {
    fn new(counts: &[u8], values: &[u8]) -> Self {
        let (mut ends, mut offsets) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0_u32, 0_i32);
        for (length, count) in (1..).zip(counts) {
            offsets[length] = index - code.cast_signed();
            code += u32::from(*count);
            index += i32::from(*count);
            ends[length] = code;
            code <<= 1;
        }
        Self { ends, offsets, values: values.to_vec() }
    }
}

struct ScanComponent {
    id: u8,
    /// Number of blocks in each unit.
    blocks: u64,
    dc: usize,
    ac: usize,
}

/// The coefficients that a scan sends, and which of their bits.
#[derive(Clone, Copy)]
struct Band {
    first: usize,
    last: usize,
    /// Lowest bit that was sent before, or 0 if none was.
    high_bit: u8,
    low_bit: u8,
}

struct Scan {
    components: Vec<ScanComponent>,
    is_progressive: bool,
    band: Band,
    units: u64,
    /// Number of units beside each other.
    columns: u64,
    unit_height_px: u32,
}

/// The tables of a component in a scan. A table that the scan needs is present.
struct ScanTables<'a> {
    blocks: u64,
    dc: Option<&'a Huffman>,
    ac: Option<&'a Huffman>,
}

impl Scan {
    fn read(bytes: &[u8], layout: &JpegLayout, (width, height): (u32, u32)) -> Option<Self> {
        let frame = &layout.components;
        let max_h = u32::from(frame.iter().map(|of| of.sampling.0).max()?.max(1));
        let max_v = u32::from(frame.iter().map(|of| of.sampling.1).max()?.max(1));
        let count = usize::from(*bytes.first()?);
        let named = bytes.get(1..)?.as_chunks::<2>().0.get(..count)?;
        let (mut columns, mut rows) = (width.div_ceil(8 * max_h), height.div_ceil(8 * max_v));
        let mut unit_height_px = 8 * max_v;
        let mut components = Vec::new();
        for [id, tables] in named {
            let (h, v) = frame.iter().find(|of| of.id == *id)?.sampling;
            let (h, v) = (u32::from(h), u32::from(v));
            let mut blocks = u64::from(h * v);
            // A component that is alone in its scan comes block by block, without the blocks that would only fill up a
            // unit.
            if count == 1 {
                columns = (width * h).div_ceil(max_h).div_ceil(8);
                rows = (height * v).div_ceil(max_v).div_ceil(8);
                unit_height_px = 8 * max_v / v.max(1);
                blocks = 1;
            }
            components.push(ScanComponent {
                id: *id,
                blocks,
                dc: usize::from(tables >> 4),
                ac: usize::from(tables & 15),
            });
        }
        let band = match bytes.get(1 + 2 * count..)? {
            _ if !layout.is_progressive => Band { first: 0, last: COEFFICIENTS - 1, high_bit: 0, low_bit: 0 },
            [first, last, bits, ..] => {
                let (first, last) = (usize::from(*first), usize::from(*last));
                let is_dc = first == 0 && last == 0;
                let is_ac = first > 0 && first <= last && last < COEFFICIENTS && count == 1;
                Some(Band { first, last, high_bit: bits >> 4, low_bit: bits & 15 }).filter(|_| is_dc || is_ac)?
            }
            _ => return None,
        };
        (!components.is_empty()).then_some(Self {
            components,
            is_progressive: layout.is_progressive,
            band,
            units: u64::from(columns) * u64::from(rows),
            columns: u64::from(columns).max(1),
            unit_height_px,
        })
    }

    fn tables<'a>(&self, tables: &'a Tables) -> Option<Vec<ScanTables<'a>>> {
        let [dc, ac] = &tables.0;
        let needs_dc = !self.is_progressive || (self.band.first == 0 && self.band.high_bit == 0);
        let needs_ac = !self.is_progressive || self.band.first > 0;
        let of = |component: &ScanComponent| {
            let dc = dc.get(component.dc).and_then(Option::as_ref);
            let ac = ac.get(component.ac).and_then(Option::as_ref);
            let is_there = (dc.is_some() || !needs_dc) && (ac.is_some() || !needs_ac);
            is_there.then_some(ScanTables { blocks: component.blocks, dc, ac })
        };
        self.components.iter().map(of).collect()
    }

    fn check(
        &self,
        bits: &mut Bits,
        tables: &[ScanTables],
        restart_interval: u64,
        sent: &mut SentCoefficients,
    ) -> Result<()> {
        let is_ac = self.is_progressive && self.band.first > 0;
        let nonzero = match self.components.as_slice() {
            [component] if is_ac => sent.nonzero(component.id, self.units),
            _ => &mut [],
        };
        // Number of blocks that have no more coefficients in this band.
        let mut ended_blocks = 0;
        for unit in 0..self.units {
            bits.unit = unit;
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                if !bits.restart(unit / restart_interval - 1)? {
                    return self.damaged(bits);
                }
                ended_blocks = 0;
            }
            for tables in tables {
                for _ in 0..tables.blocks {
                    let found = match (tables.dc, tables.ac) {
                        (Some(dc), Some(ac)) if !self.is_progressive => bits.block(dc, ac)?,
                        (_, Some(ac)) if is_ac => {
                            let mut unused = 0;
                            let nonzero =
                                usize::try_from(unit).ok().and_then(|at| nonzero.get_mut(at)).unwrap_or(&mut unused);
                            match self.band.high_bit {
                                0 => bits.band(ac, self.band, nonzero, &mut ended_blocks)?,
                                _ => bits.refined_band(ac, self.band, nonzero, &mut ended_blocks)?,
                            }
                        }
                        (Some(dc), _) if self.band.high_bit == 0 => bits.average(dc)?,
                        _ => bits.refined_average()?,
                    };
                    match found {
                        Block::Whole => {}
                        // Some encoders lack a few bits at the very end.
                        Block::Ends if unit + 1 == self.units && bits.hole.is_none() => return Ok(()),
                        Block::Ends if bits.hole.is_none() && !matches!(bits.marker, Some(0xD0..=0xD7)) => {
                            return incomplete();
                        }
                        Block::Ends | Block::Broken => return self.damaged(bits),
                    }
                }
            }
        }
        if ended_blocks > 0 { self.damaged(bits) } else { Ok(()) }
    }

    /// Refuses the picture, and names the row where decoders lose their way.
    fn damaged<T>(&self, bits: &Bits) -> Result<T> {
        let unit = bits.hole.unwrap_or(bits.unit);
        let row_px = unit / self.columns * u64::from(self.unit_height_px);
        damaged(&format!(
            "a part of the picture is missing or cannot be decoded, from about row {row_px} of its pixels on"
        ))
    }
}

enum Block {
    Whole,
    Ends,
    Broken,
}

/// The bits between two markers.
struct Bits<'a> {
    source: &'a mut Source,
    /// Offset of the byte behind the buffer.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    held: u64,
    count: u32,
    /// The marker that ended the bits. Nothing behind it is read.
    marker: Option<u8>,
    has_restarts: bool,
    /// Number of zeros in a row that were read last.
    zeros: u32,
    /// The unit that is being read.
    unit: u64,
    /// The first unit with a hole.
    hole: Option<u64>,
}

/// Bytes between the last block of a scan and the next marker.
struct LeftOver {
    filling: u64,
    others: u64,
}

impl<'a> Bits<'a> {
    fn new(source: &'a mut Source, offset: u64) -> Self {
        Self {
            source,
            offset,
            buffer: Vec::new(),
            at: 0,
            held: 0,
            count: 0,
            marker: None,
            has_restarts: false,
            zeros: 0,
            unit: 0,
            hole: None,
        }
    }

    fn byte(&mut self) -> Result<Option<u8>> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.buffer.extend_from_slice(self.source.read_up_to(self.offset, BUFFER_BYTES)?);
            self.offset += self.buffer.len() as u64;
            self.at = 0;
        }
        let byte = self.buffer.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Reads until at least 32 bits are held, unless they end before.
    fn fill(&mut self) -> Result<()> {
        while self.count <= 56 && self.marker.is_none() {
            let Some(byte) = self.byte()? else {
                self.marker = Some(0);
                break;
            };
            if byte == 0xFF {
                // Fill bytes may stand before a marker.
                let next = loop {
                    match self.byte()? {
                        Some(0xFF) => {}
                        next => break next,
                    }
                };
                if next != Some(0) {
                    self.marker = Some(next.unwrap_or(0));
                    break;
                }
            }
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            if self.zeros == HOLE_BYTES {
                self.hole = self.hole.or(Some(self.unit));
            }
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
        Ok(())
    }

    /// Reads a code. Returns None if the bits have ended or hold no code of the table.
    fn code(&mut self, table: &Huffman) -> Option<u8> {
        for length in 1..=16_u32.min(self.count) {
            let code = (self.held >> (self.count - length)) as u32 & ((1 << length) - 1);
            if code < table.ends[length as usize] {
                self.count -= length;
                let index = usize::try_from(code.cast_signed() + table.offsets[length as usize]).ok()?;
                return table.values.get(index).copied();
            }
        }
        None
    }

    fn skip(&mut self, bits: u32) -> bool {
        let is_there = bits <= self.count;
        self.count -= bits.min(self.count);
        is_there
    }

    /// Reads up to 16 bits. Returns None if they have ended.
    fn number(&mut self, bits: u32) -> Option<u32> {
        let number = self.held.unbounded_shr(self.count.saturating_sub(bits)) as u32 & ((1 << bits) - 1);
        self.skip(bits).then_some(number)
    }

    /// Classifies a block with a code that is in no table: either the bits have ended, or the block is broken.
    fn without_code(&self) -> Block {
        if self.count < 16 && self.marker.is_some() { Block::Ends } else { Block::Broken }
    }

    /// Reads all coefficients of a block of a sequential picture.
    fn block(&mut self, dc: &Huffman, ac: &Huffman) -> Result<Block> {
        let mut index = 0;
        while index < COEFFICIENTS as u32 {
            // A code and its number have at most 32 bits.
            self.fill()?;
            let Some(symbol) = self.code(if index == 0 { dc } else { ac }) else { return Ok(self.without_code()) };
            let (zeros, size) = if index == 0 { (0, symbol) } else { (symbol >> 4, symbol & 15) };
            if index > 0 && size == 0 && zeros < 15 {
                return Ok(Block::Whole);
            }
            index += u32::from(zeros);
            if index > 63 && size > 0 || size > 16 {
                return Ok(Block::Broken);
            }
            if !self.skip(u32::from(size)) {
                return Ok(Block::Ends);
            }
            index += 1;
        }
        Ok(Block::Whole)
    }

    /// Reads the average of a block of a progressive picture.
    fn average(&mut self, dc: &Huffman) -> Result<Block> {
        self.fill()?;
        Ok(match self.code(dc) {
            None => self.without_code(),
            Some(size) if size > 16 => Block::Broken,
            Some(size) if self.skip(u32::from(size)) => Block::Whole,
            Some(_) => Block::Ends,
        })
    }

    fn refined_average(&mut self) -> Result<Block> {
        Ok(if self.one()? { Block::Whole } else { Block::Ends })
    }

    /// Skips a bit. Returns false if the bits have ended.
    fn one(&mut self) -> Result<bool> {
        if self.count == 0 {
            self.fill()?;
        }
        Ok(self.skip(1))
    }

    /// Reads the coefficients of a block in the first scan of their band (ITU-T T.81, G.1.2.2).
    fn band(&mut self, ac: &Huffman, band: Band, nonzero: &mut u64, ended_blocks: &mut u32) -> Result<Block> {
        if *ended_blocks > 0 {
            *ended_blocks -= 1;
            return Ok(Block::Whole);
        }
        let mut index = band.first;
        while index <= band.last {
            self.fill()?;
            let Some(symbol) = self.code(ac) else { return Ok(self.without_code()) };
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros < 15 {
                let Some(more) = self.number(u32::from(zeros)) else { return Ok(Block::Ends) };
                *ended_blocks = (1 << zeros) + more - 1;
                return Ok(Block::Whole);
            }
            index += usize::from(zeros);
            if size > 0 {
                if index > band.last {
                    return Ok(Block::Broken);
                }
                if !self.skip(u32::from(size)) {
                    return Ok(Block::Ends);
                }
                *nonzero |= 1 << index;
            }
            index += 1;
        }
        Ok(Block::Whole)
    }

    /// Reads one more bit of the coefficients of a block (ITU-T T.81, G.1.2.3): one bit for each coefficient that is
    /// not zero, and codes for those that are zero so far.
    fn refined_band(&mut self, ac: &Huffman, band: Band, nonzero: &mut u64, ended_blocks: &mut u32) -> Result<Block> {
        let mut index = band.first;
        while *ended_blocks == 0 && index <= band.last {
            self.fill()?;
            let Some(symbol) = self.code(ac) else { return Ok(self.without_code()) };
            let (mut zeros, size) = (symbol >> 4, symbol & 15);
            match size {
                0 if zeros < 15 => {
                    let Some(more) = self.number(u32::from(zeros)) else { return Ok(Block::Ends) };
                    *ended_blocks = (1 << zeros) + more;
                    break;
                }
                0 => {}
                // The sign of the new coefficient.
                1 if self.skip(1) => {}
                1 => return Ok(Block::Ends),
                _ => return Ok(Block::Broken),
            }
            while index <= band.last {
                if *nonzero >> index & 1 == 1 {
                    if !self.one()? {
                        return Ok(Block::Ends);
                    }
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                index += 1;
            }
            if size > 0 {
                if index > band.last {
                    return Ok(Block::Broken);
                }
                *nonzero |= 1 << index;
            }
            index += 1;
        }
        if *ended_blocks > 0 {
            *ended_blocks -= 1;
            let rest = (index..=band.last).filter(|index| *nonzero >> index & 1 == 1).count() as u32;
            for _ in 0..rest {
                if !self.one()? {
                    return Ok(Block::Ends);
                }
            }
        }
        Ok(Block::Whole)
    }

    /// Skips the restart marker with this number. The numbers count from 0 to 7, over and over. Some encoders announce
    /// restart markers and write none; the bits then go on. Returns false if another marker stands here, or none
    /// although there was one before.
    fn restart(&mut self, number: u64) -> Result<bool> {
        self.fill()?;
        let found = self.marker.filter(|marker| self.count < 8 && matches!(marker, 0xD0..=0xD7));
        let Some(marker) = found else { return Ok(!self.has_restarts) };
        (self.held, self.count, self.marker) = (0, 0, None);
        self.has_restarts = true;
        Ok(u64::from(marker & 7) == number % 8)
    }

    /// Skips everything up to the next marker that begins a segment or ends the picture.
    fn pass_left_over(&mut self) -> Result<LeftOver> {
        let mut left_over = LeftOver { filling: 0, others: 0 };
        // Zeros here are no hole in the picture, so `hole` is restored afterwards.
        let hole = self.hole;
        loop {
            self.fill()?;
            for at in 0..self.count / 8 {
                match (self.held >> (8 * at)) as u8 {
                    0 | 0xFF => left_over.filling += 1,
                    _ => left_over.others += 1,
                }
            }
            self.count = 0;
            match self.marker {
                Some(0xD0..=0xD7) => self.marker = None,
                Some(_) => break,
                None => {}
            }
        }
        self.hole = hole;
        Ok(left_over)
    }

    /// Returns the offset of the marker that ended the bits.
    fn marker_offset(&self) -> u64 {
        let behind = self.offset - (self.buffer.len() - self.at) as u64;
        behind.saturating_sub(2)
    }
}
