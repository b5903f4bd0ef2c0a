//! What a request has in it, counted on the wire, before anything is made of it.
//!
//! Protocol Buffers turn two bytes of a repeated field into a value of 24 and more, and whatever
//! checks the values makes a violation of each. So every repeated field of a request has a limit in
//! [`limits`], and a request that exceeds one is refused after a walk over its bytes that keeps
//! nothing but counts. The walk also estimates what the message will take up in memory.
//!
//! Decision: docs/decisions/requests-are-counted-on-the-wire.md

mod limits;
mod reader;
mod shape;

use keeptrusts_webhooks_domain::limits::MAX_DATA_VALUES;
use keeptrusts_webhooks_domain::violation::Violation;

use reader::{Reader, Token, Value};
use shape::{Kind, SHAPES, Shape};

/// What an element of a repeated field takes up beside its own bytes: a String, or a Value in a
/// vector that has room for twice as many.
const ELEMENT_BYTES: usize = 64;
/// What a Struct with a single field takes up: a leaf of a BTreeMap has room for eleven.
const STRUCT_BYTES: usize = 640;
/// The levels that prost reads; what is nested more deeply it refuses.
const MAX_LEVELS: usize = 100;

/// Walks over a request message of this full name (`keeptrusts.webhooks.v1.PublishEventRequest`).
/// How many bytes it will take up in memory, estimated, these included.
///
/// Bytes that are no message are walked over as far as they are one: whoever decodes them says
/// what is wrong.
pub fn examine(message: &str, bytes: &[u8]) -> Result<usize, Violation> {
    let Some(shape) = SHAPES.of(message) else { return Ok(bytes.len()) };
    let mut examination = Examination { memory: bytes.len(), path: Vec::new() };
    examination.message(shape, &mut Counts::default(), bytes)?;
    Ok(examination.memory)
}

struct Examination {
    memory: usize,
    /// The fields that lead to where the walk is, with their index if they are repeated.
    path: Vec<(&'static str, Option<usize>)>,
}

/// How often each field of one message was met. A message that is not repeated is merged of all its
/// occurrences, so that they count together.
#[derive(Default)]
struct Counts {
    elements: Vec<(u32, usize)>,
    parts: Vec<(u32, Counts)>,
}

impl Counts {
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

    fn part(&mut self, field: u32) -> &mut Counts {
        let at = match self.parts.iter().position(|(known, _)| *known == field) {
            Some(at) => at,
            None => {
                self.parts.push((field, Counts::default()));
                self.parts.len() - 1
            }
        };
        &mut self.parts[at].1
    }
}

impl Examination {
    fn message(
        &mut self,
        shape: &'static Shape,
        counts: &mut Counts,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        if self.path.len() >= MAX_LEVELS {
            return Ok(());
        }
        for Token { field: number, value } in Reader::new(bytes) {
            let Some(field) = shape.field(number) else { continue };
            let mut index = None;
            if let Some(limit) = field.limit {
                let count = match value {
                    Value::Bytes(bytes) => field.kind.entries(bytes),
                    _ => 1,
                };
                self.memory += count * ELEMENT_BYTES;
                let count = counts.add(number, count);
                index = Some(count.saturating_sub(1));
                if count > limit {
                    let description = format!("has more than {limit} entries, which is its limit");
                    return Err(self.violation(field.name, description));
                }
            }
            let Value::Bytes(inner) = value else { continue };
            self.path.push((field.name, index));
            match field.kind {
                // Each element of its own is a message of its own.
                Kind::Message(shape) if index.is_some() => {
                    self.message(SHAPES.at(shape), &mut Counts::default(), inner)?;
                }
                Kind::Message(shape) => {
                    self.message(SHAPES.at(shape), counts.part(number), inner)?;
                }
                Kind::Struct => self.structure(counts.part(number), inner)?,
                Kind::Number | Kind::Fixed(_) | Kind::Other => {}
            }
            self.path.pop();
        }
        Ok(())
    }

    /// A google.protobuf.Struct, with all that is in it: its values are counted together.
    fn structure(&mut self, counts: &mut Counts, bytes: &[u8]) -> Result<(), Violation> {
        let tally = tally(Node::Struct, bytes, 0);
        self.memory += tally.values * ELEMENT_BYTES + tally.structs * STRUCT_BYTES;
        if counts.add(0, tally.values) > MAX_DATA_VALUES {
            let description = format!("has more than {MAX_DATA_VALUES} values, which is its limit");
            let (name, _) = self.path.pop().unwrap_or(("data", None));
            return Err(self.violation(name, description));
        }
        Ok(())
    }

    fn violation(&self, field: &str, description: String) -> Violation {
        let mut path = String::new();
        for (name, index) in &self.path {
            path.push_str(name);
            if let Some(index) = index {
                path.push_str(&format!("[{index}]"));
            }
            path.push('.');
        }
        Violation::new(path + field, description)
    }
}

/// The messages of google/protobuf/struct.proto.
#[derive(Clone, Copy)]
enum Node {
    Struct,
    Entry,
    Value,
    List,
}

#[derive(Default)]
struct Tally {
    values: usize,
    structs: usize,
}

fn tally(node: Node, bytes: &[u8], level: usize) -> Tally {
    let mut tally = Tally::default();
    if level >= MAX_LEVELS {
        return tally;
    }
    for Token { field, value } in Reader::new(bytes) {
        let Value::Bytes(inner) = value else { continue };
        let below = match (node, field) {
            (Node::Struct, 1) => {
                tally.structs += usize::from(tally.values == 0);
                tally.values += 1;
                Node::Entry
            }
            (Node::List, 1) => {
                tally.values += 1;
                Node::Value
            }
            (Node::Entry, 2) => Node::Value,
            (Node::Value, 5) => Node::Struct,
            (Node::Value, 6) => Node::List,
            _ => continue,
        };
        let inner = self::tally(below, inner, level + 1);
        tally.values += inner.values;
        tally.structs += inner.structs;
    }
    tally
}

#[cfg(test)]
mod tests;
