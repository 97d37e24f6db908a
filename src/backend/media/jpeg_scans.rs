//! Checks whether the scans of a sequential JPEG have data for the whole picture. Decoders fill missing parts with gray and broken parts
//! with anything, without a complaint.

use super::{
    Result, damaged, incomplete,
    jpeg::JpegLayout,
    source::{Source, be16},
};

/// Bytes of a file that are copied at once.
const BUFFER_BYTES: usize = 16 * 1024;
const END_OF_IMAGE: u8 = 0xD9;

/// Walks through all scans without computing a pixel, and checks that each block is there and each of its codes is in its table. Returns
/// `false` if this check cannot tell; a decoder perhaps can. The work grows with the bytes of the file, as each block takes two bits at
/// least.
///
/// # Errors
/// Refused as incomplete or damaged; I/O.
pub(super) fn are_whole(source: &mut Source, layout: &JpegLayout, (width_px, height_px): (u32, u32)) -> Result<bool> {
    if layout.is_progressive {
        return Ok(false);
    }
    let mut missing: Vec<u8> = layout.components.iter().map(|component| component.id).collect();
    let mut tables = Tables::default();
    let mut restart_interval = 0;
    let mut offset = 2;
    while let Some([0xFF, marker]) = source.array::<2>(offset)? {
        match marker {
            END_OF_IMAGE => break,
            // Filling, and markers without content.
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
        let Some(size) = source.array::<2>(offset + 2)? else { break };
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
                let mut bits = Bits { source, offset, buffer: Vec::new(), at: 0, held: 0, count: 0, marker: None };
                scan.check(&mut bits, &tables, restart_interval)?;
                missing.retain(|id| scan.components.iter().all(|component| component.id != *id));
                // Bytes between the last block and the next marker are filling.
                offset = bits.next_segment()?;
            }
            _ => {}
        }
    }
    Ok(missing.is_empty())
}

/// Huffman tables, for averages and for the rest, four of each.
#[derive(Default)]
struct Tables([[Option<Huffman>; 4]; 2]);

#[derive(Clone)]
struct Huffman {
    /// For codes of each length: the first code that is longer, and what to add to a code to find its value.
    ends: [u32; 17],
    places: [i32; 17],
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
        let (mut ends, mut places) = ([0; 17], [0; 17]);
        let (mut code, mut place) = (0_u32, 0_i32);
        for (length, count) in (1..).zip(counts) {
            places[length] = place - code.cast_signed();
            code += u32::from(*count);
            place += i32::from(*count);
            ends[length] = code;
            code <<= 1;
        }
        Self { ends, places, values: values.to_vec() }
    }
}

struct ScanComponent {
    id: u8,
    /// Blocks in each unit.
    blocks: u64,
    dc: usize,
    ac: usize,
}

struct Scan {
    components: Vec<ScanComponent>,
    units: u64,
}

impl Scan {
    fn read(bytes: &[u8], layout: &JpegLayout, (width, height): (u32, u32)) -> Option<Self> {
        let frame = &layout.components;
        let max_h = u32::from(frame.iter().map(|of| of.sampling.0).max()?.max(1));
        let max_v = u32::from(frame.iter().map(|of| of.sampling.1).max()?.max(1));
        let count = usize::from(*bytes.first()?);
        let named = bytes.get(1..)?.as_chunks::<2>().0.get(..count)?;
        let mut units = u64::from(width.div_ceil(8 * max_h)) * u64::from(height.div_ceil(8 * max_v));
        let mut components = Vec::new();
        for [id, tables] in named {
            let (h, v) = frame.iter().find(|of| of.id == *id)?.sampling;
            let (h, v) = (u32::from(h), u32::from(v));
            let mut blocks = u64::from(h * v);
            // A component alone in its scan comes block by block, without the blocks that would only fill a unit.
            if count == 1 {
                let across = (width * h).div_ceil(max_h).div_ceil(8);
                units = u64::from(across) * u64::from((height * v).div_ceil(max_v).div_ceil(8));
                blocks = 1;
            }
            components.push(ScanComponent {
                id: *id,
                blocks,
                dc: usize::from(tables >> 4),
                ac: usize::from(tables & 15),
            });
        }
        (!components.is_empty()).then_some(Self { components, units })
    }

    fn tables<'a>(&self, tables: &'a Tables) -> Option<Vec<(u64, &'a Huffman, &'a Huffman)>> {
        let [dc, ac] = &tables.0;
        let of = |component: &ScanComponent| {
            Some((component.blocks, dc.get(component.dc)?.as_ref()?, ac.get(component.ac)?.as_ref()?))
        };
        self.components.iter().map(of).collect()
    }

    fn check(&self, bits: &mut Bits, tables: &[(u64, &Huffman, &Huffman)], restart_interval: u64) -> Result<()> {
        for unit in 0..self.units {
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                bits.restart()?;
            }
            for (blocks, dc, ac) in tables {
                for _ in 0..*blocks {
                    match bits.block(dc, ac)? {
                        Block::Whole => {}
                        // Some encoders are a bit short at their very end.
                        Block::Ends if unit + 1 == self.units => return Ok(()),
                        Block::Ends if matches!(bits.marker, Some(0xD0..=0xD7)) => {
                            return damaged("a part of the picture is missing");
                        }
                        Block::Ends => return incomplete(),
                        Block::Broken => return damaged("the picture cannot be decoded"),
                    }
                }
            }
        }
        Ok(())
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
    /// The marker that ended the bits. It is not read past.
    marker: Option<u8>,
}

impl Bits<'_> {
    fn byte(&mut self) -> Result<Option<u8>> {
        if self.at == self.buffer.len() {
            self.buffer.clear();
            self.buffer.extend_from_slice(self.source.upto(self.offset, BUFFER_BYTES)?);
            self.offset += self.buffer.len() as u64;
            self.at = 0;
        }
        let byte = self.buffer.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    /// Holds 32 bits and more, unless they end before.
    fn fill(&mut self) -> Result<()> {
        while self.count <= 56 && self.marker.is_none() {
            let Some(byte) = self.byte()? else {
                self.marker = Some(0);
                break;
            };
            if byte == 0xFF {
                // Filling may stand before a marker.
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
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
        Ok(())
    }

    /// Reads a code. `None` if the bits have ended, or hold no code of the table.
    fn code(&mut self, table: &Huffman) -> Option<u8> {
        for length in 1..=16_u32.min(self.count) {
            let code = (self.held >> (self.count - length)) as u32 & ((1 << length) - 1);
            if code < table.ends[length as usize] {
                self.count -= length;
                let place = usize::try_from(code.cast_signed() + table.places[length as usize]).ok()?;
                return table.values.get(place).copied();
            }
        }
        None
    }

    fn skip(&mut self, bits: u32) -> bool {
        let is_there = bits <= self.count;
        self.count -= bits.min(self.count);
        is_there
    }

    fn block(&mut self, dc: &Huffman, ac: &Huffman) -> Result<Block> {
        let mut place = 0;
        while place < 64 {
            // A code and its number have 32 bits at most.
            self.fill()?;
            let Some(symbol) = self.code(if place == 0 { dc } else { ac }) else {
                return Ok(if self.count < 16 && self.marker.is_some() { Block::Ends } else { Block::Broken });
            };
            let (zeros, size) = if place == 0 { (0, symbol) } else { (symbol >> 4, symbol & 15) };
            if place > 0 && size == 0 && zeros < 15 {
                return Ok(Block::Whole);
            }
            place += u32::from(zeros);
            if place > 63 && size > 0 || size > 16 {
                return Ok(Block::Broken);
            }
            if !self.skip(u32::from(size)) {
                return Ok(Block::Ends);
            }
            place += 1;
        }
        Ok(Block::Whole)
    }

    /// Some encoders announce restart markers and write none: then the bits go on.
    fn restart(&mut self) -> Result<()> {
        self.fill()?;
        if self.count < 8 && matches!(self.marker, Some(0xD0..=0xD7)) {
            (self.held, self.count, self.marker) = (0, 0, None);
        }
        Ok(())
    }

    /// The place of the next marker that begins a segment or ends the picture.
    fn next_segment(&mut self) -> Result<u64> {
        (self.held, self.count) = (0, 0);
        loop {
            self.fill()?;
            match self.marker {
                Some(0xD0..=0xD7) => self.marker = None,
                Some(_) => break,
                None => {}
            }
            self.count = 0;
        }
        let behind = self.offset - (self.buffer.len() - self.at) as u64;
        Ok(behind.saturating_sub(2))
    }
}
