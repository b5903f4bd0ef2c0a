//! What messages look like on the wire, from their descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::limits;
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
        Type::Enum | Type::Int32 | Type::Int64 | Type::Uint32 | Type::Uint64 | Type::Bool => {
            Kind::Number
        }
        _ => Kind::Other,
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
