//! An event's data as values of the engine. The types are ours, so that nothing is lost: numbers keep
//! their text, and objects the order of their members. The reader is the one that checked the event
//! when it was published, so reading does not fail.

use std::cmp::Ordering;
use std::fmt;
use std::sync::{Arc, OnceLock};

use keeptrusts_webhooks_domain::json::{self, Json, JsonError, Member};
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr, ValueKind};

pub(super) fn value(data: &str) -> Result<Value, JsonError> {
    json::read(data, |text, json| match json {
        Json::Null => Value::from(()),
        Json::Boolean(value) => Value::from(value),
        Json::Number => number(text),
        Json::String(text) => Value::from(text),
        Json::Array(items) => Value::from_object(Array { items, size: text.len() }),
        Json::Object(members) => Value::from_object(Map::new(members, text.len())),
    })
}

/// A JSON number. The engine's own integer if the engine writes it unchanged, otherwise a number that
/// keeps its text.
pub(super) fn number(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if text != "-0" => Value::from(number),
        _ => Value::from_object(Number::new(text)),
    }
}

/// Whether a value is a number, of the engine's or of ours.
pub(super) fn is_number(value: &Value) -> bool {
    value.kind() == ValueKind::Number || value.downcast_object_ref::<Number>().is_some()
}

/// The length of the JSON of an array or object of the event, in bytes.
pub(super) fn size(value: &Value) -> Option<usize> {
    let array = value.downcast_object_ref::<Array>().map(|array| array.size);
    array.or_else(|| value.downcast_object_ref::<Map>().map(|map| map.size))
}

/// A number with its text, as it was written or computed.
pub(super) struct Number {
    text: Box<str>,
    /// Computed once, because the engine asks often, at no charge.
    is_zero: bool,
}

impl Number {
    fn new(text: &str) -> Number {
        let mut mantissa = text.bytes().take_while(|byte| !matches!(byte, b'e' | b'E'));
        Number { text: text.into(), is_zero: !mantissa.any(|byte| matches!(byte, b'1'..=b'9')) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.is_zero
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(super) struct Array {
    items: Vec<Value>,
    size: usize,
}

impl Array {
    pub(super) fn items(&self) -> &[Value] {
        &self.items
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", self.items.len())
    }
}

impl Object for Array {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, index: &Value) -> Option<Value> {
        self.items.get(index.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.items.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

pub(super) struct Map {
    members: Vec<(Value, Value)>,
    /// The members' indices, ordered by the lengths of their names and then by the names, so that a
    /// look-up compares names of one length only. Made by the first look-up.
    index: OnceLock<Vec<usize>>,
    size: usize,
}

/// Up to this many members are searched without an index.
const MAX_UNINDEXED: usize = 8;

impl Map {
    fn new(members: Vec<Member<'_, Value>>, size: usize) -> Map {
        let members = members.into_iter().map(|member| (Value::from(member.name), member.value));
        Map { members: members.collect(), index: OnceLock::new(), size }
    }

    /// In the order in which they were written.
    pub(super) fn members(&self) -> &[(Value, Value)] {
        &self.members
    }

    /// How many bytes finding a name may compare. A few more if there are thousands of members whose
    /// names have the same length.
    pub(super) fn bytes_to_find(name: &str) -> usize {
        name.len().saturating_mul(MAX_UNINDEXED)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let place = match self.members.len() {
            0..=MAX_UNINDEXED => self.members.iter().position(|(it, _)| it.as_str() == Some(name)),
            _ => {
                let index = self.index.get_or_init(|| {
                    let mut index: Vec<_> = (0..self.members.len()).collect();
                    index.sort_unstable_by(|a, b| compare(self.name(*a), self.name(*b)));
                    index
                });
                let position = index.binary_search_by(|place| compare(self.name(*place), name));
                position.ok().map(|position| index[position])
            }
        };
        place.map(|place| &self.members[place].1)
    }

    fn name(&self, place: usize) -> &str {
        self.members[place].0.as_str().unwrap_or_default()
    }
}

fn compare(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object of {}", self.members.len())
    }
}

impl Object for Map {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        self.get(name.as_str()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        self.get(name).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|map| Box::new(map.members.iter().map(|(name, _)| name.clone())))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.members.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
