//! Reads the bits of a scan between two markers: codes, numbers and whole blocks. Notes where a run of zeros shows a
//! hole.

use super::{Band, COEFFICIENTS, huffman::Huffman};
use crate::backend::media::{Result, source::Source};

/// Number of bytes copied from the file at once.
const BUFFER_BYTES: usize = 16 * 1024;
/// Number of consecutive zeros that indicate a hole if something else is wrong. In a complete picture they are the
/// codes of an even surface.
const HOLE_BYTES: u32 = 64;

pub(super) enum Block {
    Whole,
    Ends,
    Broken,
}

/// The bits between two markers.
pub(super) struct Bits<'a> {
    source: &'a mut Source,
    /// Offset of the byte behind the buffer.
    offset: u64,
    buffer: Vec<u8>,
    at: usize,
    held: u64,
    count: u32,
    /// The marker that ended the bits. Nothing behind it is read.
    pub(super) marker: Option<u8>,
    has_restarts: bool,
    /// Number of zeros in a row that were read last.
    zeros: u32,
    /// The unit that is being read.
    pub(super) unit: u64,
    /// The first unit with a hole.
    pub(super) hole: Option<u64>,
}

/// Bytes between the last block of a scan and the next marker.
pub(super) struct LeftOver {
    pub(super) filling: u64,
    pub(super) others: u64,
}

impl<'a> Bits<'a> {
    pub(super) fn new(source: &'a mut Source, offset: u64) -> Self {
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
    pub(super) fn block(&mut self, dc: &Huffman, ac: &Huffman) -> Result<Block> {
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
    pub(super) fn average(&mut self, dc: &Huffman) -> Result<Block> {
        self.fill()?;
        Ok(match self.code(dc) {
            None => self.without_code(),
            Some(size) if size > 16 => Block::Broken,
            Some(size) if self.skip(u32::from(size)) => Block::Whole,
            Some(_) => Block::Ends,
        })
    }

    pub(super) fn refined_average(&mut self) -> Result<Block> {
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
    pub(super) fn band(
        &mut self,
        ac: &Huffman,
        band: Band,
        nonzero: &mut u64,
        ended_blocks: &mut u32,
    ) -> Result<Block> {
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
    pub(super) fn refined_band(
        &mut self,
        ac: &Huffman,
        band: Band,
        nonzero: &mut u64,
        ended_blocks: &mut u32,
    ) -> Result<Block> {
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
    pub(super) fn restart(&mut self, number: u64) -> Result<bool> {
        self.fill()?;
        let found = self.marker.filter(|marker| self.count < 8 && matches!(marker, 0xD0..=0xD7));
        let Some(marker) = found else { return Ok(!self.has_restarts) };
        (self.held, self.count, self.marker) = (0, 0, None);
        self.has_restarts = true;
        Ok(u64::from(marker & 7) == number % 8)
    }

    /// Skips everything up to the next marker that begins a segment or ends the picture.
    pub(super) fn pass_left_over(&mut self) -> Result<LeftOver> {
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
    pub(super) fn marker_offset(&self) -> u64 {
        let behind = self.offset - (self.buffer.len() - self.at) as u64;
        behind.saturating_sub(2)
    }
}
