//! The files of the contracts, found by name, by a symbol in them, or by an extension that they define.
//!
//! A file is kept as the bytes that its compiler wrote: prost's types know no extension, so the options of
//! fields, which are extensions, would be lost with them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// A google.protobuf.FileDescriptorSet whose files are left encoded.
#[derive(Clone, PartialEq, Message)]
struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

#[derive(Debug, Default)]
pub(super) struct DescriptorIndex {
    files: HashMap<String, Bytes>,
    /// The files' names, by the full name of each message, field, oneof, enum, value, extension, service
    /// and method.
    symbols: HashMap<String, String>,
    /// The files' names, by the extended message and the number.
    extensions: HashMap<String, BTreeMap<i32, String>>,
    messages: BTreeSet<String>,
}

impl DescriptorIndex {
    /// Reads encoded FileDescriptorSets. Of files with the same name, the first one counts.
    pub(super) fn of(sets: &[&[u8]]) -> Result<DescriptorIndex, DecodeError> {
        let mut index = DescriptorIndex::default();
        for set in sets {
            for encoded in EncodedFiles::decode(*set)?.file {
                let file = FileDescriptorProto::decode(encoded.clone())?;
                if !index.files.contains_key(file.name()) {
                    index.add(&file);
                    index.files.insert(file.name().to_owned(), encoded);
                }
            }
        }
        Ok(index)
    }

    /// A file by its name.
    pub(super) fn file(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// The file that defines a symbol.
    pub(super) fn file_of_symbol(&self, symbol: &str) -> Option<&Bytes> {
        self.files.get(self.symbols.get(symbol)?)
    }

    /// The file that defines the extension of a message with this number.
    pub(super) fn file_of_extension(&self, message: &str, number: i32) -> Option<&Bytes> {
        self.files.get(self.extensions.get(message)?.get(&number)?)
    }

    /// The numbers of a message's extensions. None: there is no such message.
    pub(super) fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        let numbers = self.extensions.get(message);
        let numbers = numbers.map(|numbers| numbers.keys().copied().collect());
        numbers.or_else(|| self.messages.contains(message).then(Vec::new))
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let (name, package) = (file.name(), file.package());
        for message in &file.message_type {
            self.add_message(name, package, message);
        }
        for kind in &file.enum_type {
            self.add_enum(name, package, kind);
        }
        for extension in &file.extension {
            self.add_extension(name, package, extension);
        }
        for service in &file.service {
            let service_name = self.add_symbol(name, package, service.name());
            for method in &service.method {
                self.add_symbol(name, &service_name, method.name());
            }
        }
    }

    fn add_message(&mut self, file: &str, scope: &str, message: &DescriptorProto) {
        let name = self.add_symbol(file, scope, message.name());
        for field in &message.field {
            self.add_symbol(file, &name, field.name());
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(file, &name, oneof.name());
        }
        for nested in &message.nested_type {
            self.add_message(file, &name, nested);
        }
        for kind in &message.enum_type {
            self.add_enum(file, &name, kind);
        }
        for extension in &message.extension {
            self.add_extension(file, &name, extension);
        }
        self.messages.insert(name);
    }

    /// The values of an enum are named in the scope of the enum itself, as in C++.
    fn add_enum(&mut self, file: &str, scope: &str, kind: &EnumDescriptorProto) {
        let name = self.add_symbol(file, scope, kind.name());
        for value in &kind.value {
            self.add_symbol(file, scope, value.name());
            // Some clients ask so.
            self.add_symbol(file, &name, value.name());
        }
    }

    fn add_extension(&mut self, file: &str, scope: &str, extension: &FieldDescriptorProto) {
        self.add_symbol(file, scope, extension.name());
        let extended = extension.extendee().trim_start_matches('.').to_owned();
        let numbers = self.extensions.entry(extended).or_default();
        numbers.entry(extension.number()).or_insert_with(|| file.to_owned());
    }

    fn add_symbol(&mut self, file: &str, scope: &str, name: &str) -> String {
        let symbol = if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") };
        self.symbols.entry(symbol.clone()).or_insert_with(|| file.to_owned());
        symbol
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_contracts::{API_DESCRIPTORS, DESCRIPTORS};

    use super::*;

    const FIELD_OPTIONS: &str = "google.protobuf.FieldOptions";

    fn index() -> DescriptorIndex {
        DescriptorIndex::of(&[API_DESCRIPTORS]).expect("descriptors")
    }

    fn name_of(file: Option<&Bytes>) -> Option<String> {
        file.map(|file| {
            FileDescriptorProto::decode(file.clone()).expect("a file").name().to_owned()
        })
    }

    #[test]
    fn a_file_is_found_by_its_name_and_by_everything_in_it() {
        let index = index();
        let file = "keeptrusts/webhooks/v1/endpoint.proto";
        assert!(index.file(file).is_some());
        for symbol in [
            "Endpoint",
            "Endpoint.url",
            "Endpoint.State",
            "Endpoint.STATE_ACTIVE",
            "Endpoint.State.STATE_ACTIVE",
            "PayloadFormat",
            "PAYLOAD_FORMAT_SLACK",
        ] {
            let found = index.file_of_symbol(&format!("keeptrusts.webhooks.v1.{symbol}"));
            assert_eq!(name_of(found).as_deref(), Some(file), "{symbol}");
        }
        for (symbol, file) in [
            ("keeptrusts.webhooks.v1.IngestService.PublishEvent", "ingest_service"),
            ("keeptrusts.webhooks.v1.Channel.destination", "notification"),
            ("google.api.field_behavior", "field_behavior"),
            ("buf.validate.FieldRules.string", "validate"),
        ] {
            let found = name_of(index.file_of_symbol(symbol)).expect(symbol);
            assert!(found.ends_with(&format!("/{file}.proto")), "{symbol}: {found}");
        }
        assert_eq!(index.file_of_symbol("keeptrusts.webhooks.v1.Nothing"), None);
        assert_eq!(index.file("nothing.proto"), None);
    }

    #[test]
    fn a_file_is_served_as_it_was_compiled_with_its_options_and_comments() {
        let all = EncodedFiles::decode(API_DESCRIPTORS).expect("descriptors").file;
        let served = index().file("keeptrusts/webhooks/v1/endpoint.proto").expect("a file").clone();
        assert!(all.contains(&served));
        let text = |words: &str| served.windows(words.len()).any(|part| part == words.as_bytes());
        assert!(text("^[0-9A-Za-z]{32}$"), "a pattern of a rule");
        assert!(text("A webhook receiver of an organization"), "a comment");
    }

    #[test]
    fn an_extension_is_found_by_its_message_and_number() {
        let index = index();
        let field_behavior = index.file_of_extension(FIELD_OPTIONS, 1052);
        assert_eq!(name_of(field_behavior).as_deref(), Some("google/api/field_behavior.proto"));
        let rules = index.file_of_extension("google.protobuf.OneofOptions", 1159);
        assert_eq!(name_of(rules).as_deref(), Some("buf/validate/validate.proto"));
        assert_eq!(index.file_of_extension(FIELD_OPTIONS, 1), None);
        assert_eq!(index.extension_numbers(FIELD_OPTIONS), Some(vec![1052, 1159]));
        assert_eq!(index.extension_numbers("keeptrusts.webhooks.v1.Endpoint"), Some(Vec::new()));
        assert_eq!(index.extension_numbers("keeptrusts.webhooks.v1.Nothing"), None);
    }

    #[test]
    fn the_records_of_the_log_are_nobodys_contract() {
        let records = "keeptrusts/webhooks/log/v1/record.proto";
        let everything = DescriptorIndex::of(&[DESCRIPTORS]).expect("descriptors");
        assert!(everything.file(records).is_some(), "the file's name");
        assert!(index().file(records).is_none());
    }
}
