//! Reads the Huffman tables of a JPEG (ITU-T T.81, B.2.4.2).

/// Huffman tables: four for averages, and four for the other coefficients.
#[derive(Default)]
pub(super) struct Tables(pub(super) [[Option<Huffman>; 4]; 2]);

#[derive(Clone)]
pub(super) struct Huffman {
    /// For codes of each length: the first code that is longer.
    pub(super) ends: [u32; 17],
    /// For codes of each length: the number to add to a code to find the index of its value.
    pub(super) offsets: [i32; 17],
    pub(super) values: Vec<u8>,
}

impl Tables {
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
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
