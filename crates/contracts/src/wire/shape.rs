//! What messages look like on the wire, from their descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::{limits, reader};
use crate::DESCRIPTORS;

/// Every message of ours.
pub(super) static SHAPES: LazyLock<Shapes> = LazyLock::new(Shapes::read);

const STRUCT: &str = "google.protobuf.Struct";

pub(super) struct Shapes {
    by_name: HashMap<String, usize>,
    shapes: Vec<Shape>,
}

/// The fields of a message that a walk looks at: those that are repeated, and those that are
/// messages.
pub(super) struct Shape {
    fields: Vec<Field>,
}

pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: &'static str,
    /// How many entries it may have, if it is repeated.
    pub(super) limit: Option<usize>,
    pub(super) kind: Kind,
}

/// What a field's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number of variable length, an enum for instance. Repeated ones are packed.
    Number,
    /// A number of so many bytes. Repeated ones are packed.
    Fixed(usize),
    /// A message of ours.
    Message(usize),
    /// google.protobuf.Struct.
    Struct,
    /// A text, or a message that has no repeated field.
    Other,
}

impl Shape {
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.fields.iter().find(|field| field.number == number)
    }
}

impl Shapes {
    pub(super) fn of(&'static self, message: &str) -> Option<&'static Shape> {
        self.by_name.get(message).map(|index| &self.shapes[*index])
    }

    pub(super) fn at(&'static self, index: usize) -> &'static Shape {
        &self.shapes[index]
    }

    fn read() -> Shapes {
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file;
        let messages: Vec<(String, &DescriptorProto)> = files
            .iter()
            .flat_map(|file| {
                let named = |message| (full_name(file.package(), message), message);
                file.message_type.iter().map(named)
            })
            .collect();
        let by_name: HashMap<_, _> =
            messages.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        let shape = |(name, message): &(String, &DescriptorProto)| {
            let fields = message.field.iter().map(|field| read_field(name, field, &by_name));
            let looked_at = |field: &Field| field.limit.is_some() || field.kind.has_fields();
            Shape { fields: fields.filter(looked_at).collect() }
        };
        let shapes = messages.iter().map(shape).collect();
        Shapes { by_name, shapes }
    }
}

impl Kind {
    /// What a field's value is, unless it is a message.
    fn of_scalar(scalar: Type) -> Kind {
        match scalar {
            Type::Enum | Type::Bool => Kind::Number,
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => Kind::Number,
            Type::Sint32 | Type::Sint64 => Kind::Number,
            Type::Fixed32 | Type::Sfixed32 | Type::Float => Kind::Fixed(4),
            Type::Fixed64 | Type::Sfixed64 | Type::Double => Kind::Fixed(8),
            Type::String | Type::Bytes | Type::Message | Type::Group => Kind::Other,
        }
    }

    /// How many entries of a repeated field such bytes are.
    pub(super) fn entries(self, bytes: &[u8]) -> usize {
        match self {
            Kind::Number => reader::varints(bytes),
            Kind::Fixed(width) => bytes.len() / width,
            Kind::Message(_) | Kind::Struct | Kind::Other => 1,
        }
    }

    fn has_fields(self) -> bool {
        matches!(self, Kind::Message(_) | Kind::Struct)
    }
}

fn full_name(package: &str, message: &DescriptorProto) -> String {
    format!("{package}.{}", message.name())
}

fn read_field(
    message: &str,
    field: &FieldDescriptorProto,
    by_name: &HashMap<String, usize>,
) -> Field {
    let kind = match field.r#type() {
        Type::Message if field.type_name() == format!(".{STRUCT}") => Kind::Struct,
        Type::Message => {
            let known = by_name.get(field.type_name().trim_start_matches('.'));
            known.map_or(Kind::Other, |index| Kind::Message(*index))
        }
        scalar => Kind::of_scalar(scalar),
    };
    let is_repeated = field.label() == Label::Repeated;
    Field {
        number: u32::try_from(field.number()).unwrap_or_default(),
        // As long as the process, as the shapes are.
        name: Box::leak(field.name().to_owned().into_boxed_str()),
        // Without a limit of its own it is in answers only, of which a request has none.
        limit: is_repeated.then(|| limits::of(message, field.name()).unwrap_or(usize::MAX)),
        kind,
    }
}

#[cfg(test)]
mod tests {
    use prost::encoding::{
        bool, double, fixed32, fixed64, float, int32, int64, sfixed32, sfixed64, sint32, sint64,
        uint32, uint64,
    };

    use super::*;

    /// A packed field's bytes without its key and its length, each of one byte.
    macro_rules! packed {
        ($scalar:ident, $values:expr) => {{
            let mut bytes = Vec::new();
            $scalar::encode_packed(1, &$values, &mut bytes);
            bytes.split_off(2)
        }};
    }

    #[test]
    fn every_entry_of_a_packed_field_counts_whatever_its_type() {
        let packed = [
            (Type::Bool, packed!(bool, [true, false, true])),
            (Type::Enum, packed!(int32, [1, 2, 300])),
            (Type::Int32, packed!(int32, [1, -1, 300])),
            (Type::Int64, packed!(int64, [1, -1, 300])),
            (Type::Uint32, packed!(uint32, [1, 2, 300])),
            (Type::Uint64, packed!(uint64, [1, 2, u64::MAX])),
            (Type::Sint32, packed!(sint32, [1, -1, 300])),
            (Type::Sint64, packed!(sint64, [1, i64::MIN, 300])),
            (Type::Fixed32, packed!(fixed32, [1, 2, 3])),
            (Type::Fixed64, packed!(fixed64, [1, 2, 3])),
            (Type::Sfixed32, packed!(sfixed32, [1, -1, 3])),
            (Type::Sfixed64, packed!(sfixed64, [1, -1, 3])),
            (Type::Float, packed!(float, [1.0, -1.0, 3.0])),
            (Type::Double, packed!(double, [1.0, -1.0, 3.0])),
        ];
        for (scalar, bytes) in packed {
            assert_eq!(Kind::of_scalar(scalar).entries(&bytes), 3, "{scalar:?}");
        }
        for whole in [Type::String, Type::Bytes] {
            assert_eq!(Kind::of_scalar(whole).entries(b"one"), 1, "{whole:?} is not packed");
        }
    }
}
