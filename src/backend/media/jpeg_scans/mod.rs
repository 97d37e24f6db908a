//! Checks whether the scans of a JPEG have data for the whole picture. Decoders fill missing parts with gray and broken
//! parts with anything, without an error.

mod bits;
mod huffman;

use self::{
    bits::{Bits, Block, LeftOver},
    huffman::{Huffman, Tables},
};
use super::{
    Result, damaged, incomplete,
    jpeg::JpegLayout,
    refused,
    source::{Source, be16},
};
use crate::domain::problem::FileRefusal;

const END_OF_IMAGE: u8 = 0xD9;
/// Maximum bytes between the last block of a scan and the next marker. Cameras leave some there. More bytes are the
/// rest of a picture from which a piece was removed.
const MAX_LEFT_OVER_BYTES: u64 = 32;
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
            FileRefusal::Incomplete,
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
