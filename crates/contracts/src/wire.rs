//! Counts the entries of a request's repeated fields in its bytes, before it is decoded.
//!
//! Two bytes of a repeated field become a value of 24 bytes or more, and a check may make a violation of
//! each. So every repeated field of a request has a limit in [`limits`]. A request that exceeds one is
//! refused after a walk over its bytes that keeps only counts. The walk also estimates the memory that
//! the decoded message will need.
//!
//! Decision: docs/decisions/requests-are-counted-on-the-wire.md

mod limits;
mod reader;
mod shape;

use keeptrusts_webhooks_domain::limits::MAX_DATA_VALUES;
use keeptrusts_webhooks_domain::violation::Violation;

use reader::{Reader, WireField, WireValue};
use shape::{FieldKind, MessageShape, SHAPES};

/// The memory of an element of a repeated field beside its own bytes: a String, or a Value in a vector
/// with room for twice as many.
const ELEMENT_BYTES: usize = 64;
/// The memory of a Struct with a single field: a leaf of a BTreeMap has room for eleven.
const STRUCT_BYTES: usize = 640;
/// The levels that prost decodes. It refuses messages that are nested more deeply.
const MAX_LEVELS: usize = 100;

/// Checks a request message with this full name (`keeptrusts.webhooks.v1.PublishEventRequest`), and
/// estimates its memory in bytes, `bytes` included.
///
/// If the bytes are not a valid message, the walk ends where they stop being one. Decoding reports the
/// error.
pub fn examine(message: &str, bytes: &[u8]) -> Result<usize, Violation> {
    let Some(shape) = SHAPES.of(message) else { return Ok(bytes.len()) };
    let mut examination = Examination { memory: bytes.len(), path: Vec::new() };
    examination.message(shape, &mut FieldCounts::default(), bytes)?;
    Ok(examination.memory)
}

struct Examination {
    memory: usize,
    /// The fields from the message to the present place, with their index if they are repeated.
    path: Vec<(&'static str, Option<usize>)>,
}

/// How often each field of one message occurs. The occurrences of a message field that is not repeated are
/// merged, so they count together.
#[derive(Default)]
struct FieldCounts {
    elements: Vec<(u32, usize)>,
    parts: Vec<(u32, FieldCounts)>,
}

impl FieldCounts {
    fn add(&mut self, field: u32, count: usize) -> usize {
        let known = self.elements.iter_mut().find(|(known, _)| *known == field);
        match known {
            Some((_, elements)) => {
                *elements += count;
                *elements
            }
            None => {
                self.elements.push((field, count));
                count
            }
        }
    }

    fn part(&mut self, field: u32) -> &mut FieldCounts {
        let at = match self.parts.iter().position(|(known, _)| *known == field) {
            Some(at) => at,
            None => {
                self.parts.push((field, FieldCounts::default()));
                self.parts.len() - 1
            }
        };
        &mut self.parts[at].1
    }
}

impl Examination {
    fn message(
        &mut self,
        shape: &'static MessageShape,
        counts: &mut FieldCounts,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        if self.path.len() >= MAX_LEVELS {
            return Ok(());
        }
        for WireField { field: number, value } in Reader::new(bytes) {
            let Some(field) = shape.field(number) else { continue };
            let mut index = None;
            if let Some(limit) = field.limit {
                let count = match value {
                    WireValue::Bytes(bytes) => field.kind.entries(bytes),
                    _ => 1,
                };
                self.memory += count * ELEMENT_BYTES;
                let count = counts.add(number, count);
                index = Some(count.saturating_sub(1));
                if count > limit {
                    let description = format!("has more than {limit} entries, which is its limit");
                    return Err(self.too_many(field.name, description));
                }
            }
            let WireValue::Bytes(inner) = value else { continue };
            self.path.push((field.name, index));
            match field.kind {
                // Each element of a repeated field is a message of its own.
                FieldKind::Message(shape) if index.is_some() => {
                    self.message(SHAPES.at(shape), &mut FieldCounts::default(), inner)?;
                }
                FieldKind::Message(shape) => {
                    self.message(SHAPES.at(shape), counts.part(number), inner)?;
                }
                FieldKind::Struct => self.structure(counts.part(number), inner)?,
                FieldKind::Number | FieldKind::Fixed(_) | FieldKind::Other => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    /// A google.protobuf.Struct. All values inside it are counted together.
    fn structure(&mut self, counts: &mut FieldCounts, bytes: &[u8]) -> Result<(), Violation> {
        let size = measure_struct(StructNode::Struct, bytes, 0);
        self.memory += size.values * ELEMENT_BYTES + size.structs * STRUCT_BYTES;
        if counts.add(0, size.values) > MAX_DATA_VALUES {
            let description = format!("has more than {MAX_DATA_VALUES} values, which is its limit");
            let (name, _) = self.path.pop().unwrap_or(("data", None));
            return Err(self.too_many(name, description));
        }
        Ok(())
    }

    fn too_many(&self, field: &str, description: String) -> Violation {
        let mut path = String::new();
        for (name, index) in &self.path {
            path.push_str(name);
            if let Some(index) = index {
                path.push_str(&format!("[{index}]"));
            }
            path.push('.');
        }
        Violation::too_many(path + field, description)
    }
}

/// The messages of google/protobuf/struct.proto.
#[derive(Clone, Copy)]
enum StructNode {
    Struct,
    Entry,
    Value,
    List,
}

#[derive(Default)]
struct StructSize {
    values: usize,
    structs: usize,
}

fn measure_struct(node: StructNode, bytes: &[u8], level: usize) -> StructSize {
    let mut size = StructSize::default();
    if level >= MAX_LEVELS {
        return size;
    }
    for WireField { field, value } in Reader::new(bytes) {
        let WireValue::Bytes(inner) = value else { continue };
        let below = match (node, field) {
            (StructNode::Struct, 1) => {
                size.structs += usize::from(size.values == 0);
                size.values += 1;
                StructNode::Entry
            }
            (StructNode::List, 1) => {
                size.values += 1;
                StructNode::Value
            }
            (StructNode::Entry, 2) => StructNode::Value,
            (StructNode::Value, 5) => StructNode::Struct,
            (StructNode::Value, 6) => StructNode::List,
            _ => continue,
        };
        let inner = measure_struct(below, inner, level + 1);
        size.values += inner.values;
        size.structs += inner.structs;
    }
    size
}

#[cfg(test)]
mod tests;
