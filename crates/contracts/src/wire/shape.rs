//! The fields of messages that matter on the wire, from the descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::{limits, reader};
use crate::DESCRIPTORS;

/// The shapes of all messages of ours.
pub(super) static SHAPES: LazyLock<MessageShapes> = LazyLock::new(MessageShapes::read);

const STRUCT: &str = "google.protobuf.Struct";

pub(super) struct MessageShapes {
    by_name: HashMap<String, usize>,
    shapes: Vec<MessageShape>,
}

/// The fields of a message that the walk looks at: repeated fields, and messages.
pub(super) struct MessageShape {
    fields: Vec<FieldShape>,
}

pub(super) struct FieldShape {
    pub(super) number: u32,
    pub(super) name: &'static str,
    /// The most entries, if the field is repeated.
    pub(super) limit: Option<usize>,
    pub(super) kind: FieldKind,
}

/// The kind of a field's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// A number of variable length, or an enum. Packed if repeated.
    Number,
    /// A number of so many bytes. Packed if repeated.
    Fixed(usize),
    /// A message of ours, by its index in [`MessageShapes`].
    Message(usize),
    /// google.protobuf.Struct.
    Struct,
    /// A string, bytes, or a message without repeated fields.
    Other,
}

impl MessageShape {
    pub(super) fn field(&self, number: u32) -> Option<&FieldShape> {
        self.fields.iter().find(|field| field.number == number)
    }
}

impl MessageShapes {
    pub(super) fn of(&'static self, message: &str) -> Option<&'static MessageShape> {
        self.by_name.get(message).map(|index| &self.shapes[*index])
    }

    pub(super) fn at(&'static self, index: usize) -> &'static MessageShape {
        &self.shapes[index]
    }

    fn read() -> MessageShapes {
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
            let looked_at = |field: &FieldShape| field.limit.is_some() || field.kind.has_fields();
            MessageShape { fields: fields.filter(looked_at).collect() }
        };
        let shapes = messages.iter().map(shape).collect();
        MessageShapes { by_name, shapes }
    }
}

impl FieldKind {
    /// The kind of a value that is not a message.
    fn of_scalar(scalar: Type) -> FieldKind {
        match scalar {
            Type::Enum | Type::Bool => FieldKind::Number,
            Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 => FieldKind::Number,
            Type::Sint32 | Type::Sint64 => FieldKind::Number,
            Type::Fixed32 | Type::Sfixed32 | Type::Float => FieldKind::Fixed(4),
            Type::Fixed64 | Type::Sfixed64 | Type::Double => FieldKind::Fixed(8),
            Type::String | Type::Bytes | Type::Message | Type::Group => FieldKind::Other,
        }
    }

    /// The number of entries of a repeated field in one value of its bytes.
    pub(super) fn entries(self, bytes: &[u8]) -> usize {
        match self {
            FieldKind::Number => reader::varints(bytes),
            FieldKind::Fixed(width) => bytes.len() / width,
            FieldKind::Message(_) | FieldKind::Struct | FieldKind::Other => 1,
        }
    }

    fn has_fields(self) -> bool {
        matches!(self, FieldKind::Message(_) | FieldKind::Struct)
    }
}

fn full_name(package: &str, message: &DescriptorProto) -> String {
    format!("{package}.{}", message.name())
}

fn read_field(
    message: &str,
    field: &FieldDescriptorProto,
    by_name: &HashMap<String, usize>,
) -> FieldShape {
    let kind = match field.r#type() {
        Type::Message if field.type_name() == format!(".{STRUCT}") => FieldKind::Struct,
        Type::Message => {
            let known = by_name.get(field.type_name().trim_start_matches('.'));
            known.map_or(FieldKind::Other, |index| FieldKind::Message(*index))
        }
        scalar => FieldKind::of_scalar(scalar),
    };
    let is_repeated = field.label() == Label::Repeated;
    FieldShape {
        number: u32::try_from(field.number()).unwrap_or_default(),
        // Leaked: the shapes live as long as the process.
        name: Box::leak(field.name().to_owned().into_boxed_str()),
        // A repeated field without a limit is in responses only.
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

    /// The bytes of a packed field without its key and its length, which have one byte each.
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
            assert_eq!(FieldKind::of_scalar(scalar).entries(&bytes), 3, "{scalar:?}");
        }
        for whole in [Type::String, Type::Bytes] {
            assert_eq!(FieldKind::of_scalar(whole).entries(b"one"), 1, "{whole:?} is not packed");
        }
    }
}
