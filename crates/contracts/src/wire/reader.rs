//! Reads the fields of an encoded message.
//! <https://protobuf.dev/programming-guides/encoding/>

/// A field's number and its value.
pub(super) struct WireField<'a> {
    pub(super) field: u32,
    pub(super) value: WireValue<'a>,
}

/// A value by its wire type.
pub(super) enum WireValue<'a> {
    /// A number, of variable or of fixed length.
    Number,
    /// A string, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// Reads field after field, until the end or until the bytes are no message. Groups are skipped with their
/// contents; no message of ours has any.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for (index, byte) in self.bytes.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[index + 1..];
                return Some(value);
            }
        }
        None
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = WireField<'a>;

    fn next(&mut self) -> Option<WireField<'a>> {
        let mut open_groups = 0_usize;
        loop {
            let key = self.varint()?;
            let field = u32::try_from(key >> 3).ok()?;
            let value = match key & 7 {
                0 => self.varint().map(|_| WireValue::Number)?,
                1 => self.take(8).map(|_| WireValue::Number)?,
                5 => self.take(4).map(|_| WireValue::Number)?,
                2 => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    WireValue::Bytes(self.take(length)?)
                }
                3 => {
                    open_groups += 1;
                    continue;
                }
                4 => {
                    open_groups = open_groups.checked_sub(1)?;
                    continue;
                }
                _ => return None,
            };
            if open_groups == 0 {
                return Some(WireField { field, value });
            }
        }
    }
}

/// The number of packed numbers of variable length.
pub(super) fn varints(packed: &[u8]) -> usize {
    packed.iter().filter(|byte| **byte & 0x80 == 0).count()
}
