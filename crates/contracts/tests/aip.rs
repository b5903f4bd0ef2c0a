//! The API follows AIP (https://google.aip.dev), as far as descriptors show it.

use std::collections::BTreeSet;

use keeptrusts_webhooks_contracts::API_DESCRIPTORS;
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, Value,
};

const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// google.api.FieldBehavior (AIP-203).
const OPTIONAL: i32 = 1;
const REQUIRED: i32 = 2;
const OUTPUT_ONLY: i32 = 3;
const INPUT_ONLY: i32 = 4;
const IDENTIFIER: i32 = 8;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(API_DESCRIPTORS).expect("descriptors")
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let services = pool.services().filter(|service| service.package_name() == PACKAGE);
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn messages(pool: &DescriptorPool) -> impl Iterator<Item = MessageDescriptor> {
    pool.all_messages().filter(|message| message.package_name() == PACKAGE)
}

fn enums(pool: &DescriptorPool) -> impl Iterator<Item = EnumDescriptor> {
    pool.all_enums().filter(|kind| kind.package_name() == PACKAGE)
}

fn behaviors(field: &FieldDescriptor) -> Vec<i32> {
    let pool = field.parent_pool();
    let behavior = pool.get_extension_by_name("google.api.field_behavior").expect("imported");
    let options = field.options();
    let values = options.get_extension(&behavior).as_list().map(<[Value]>::to_vec);
    values.unwrap_or_default().iter().filter_map(Value::as_enum_number).collect()
}

fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let file = file.file_descriptor_proto();
    let mut locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let location = locations.find(|location| location.path == path);
    location.map(|location| location.leading_comments().trim().to_owned()).unwrap_or_default()
}

/// Every message of ours that a request can have in it, the requests included.
fn in_requests(pool: &DescriptorPool) -> Vec<MessageDescriptor> {
    let mut waiting: Vec<_> = methods(pool).iter().map(MethodDescriptor::input).collect();
    let (mut names, mut found) = (BTreeSet::new(), Vec::new());
    while let Some(message) = waiting.pop() {
        if message.package_name() == PACKAGE && names.insert(message.full_name().to_owned()) {
            waiting.extend(message.fields().filter_map(|field| match field.kind() {
                Kind::Message(inner) => Some(inner),
                _ => None,
            }));
            found.push(message);
        }
    }
    found
}

fn field(message: &MessageDescriptor, name: &str) -> FieldDescriptor {
    let field = message.get_field_by_name(name);
    field.unwrap_or_else(|| panic!("{} has no {name}", message.full_name()))
}

/// The methods whose names begin with a verb, and what follows it.
fn standard(pool: &DescriptorPool, verb: &str) -> Vec<(MethodDescriptor, String)> {
    let named = methods(pool).into_iter().filter_map(|method| {
        let noun = method.name().strip_prefix(verb)?.to_owned();
        Some((method, noun))
    });
    let named: Vec<_> = named.collect();
    assert!(!named.is_empty(), "no method is called {verb}");
    named
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn aip_203_every_field_that_a_request_can_have_says_how_it_behaves() {
    for field in in_requests(&pool()).iter().flat_map(MessageDescriptor::fields) {
        let behaviors = behaviors(&field);
        let name = field.full_name();
        let kinds = [OPTIONAL, REQUIRED, OUTPUT_ONLY, IDENTIFIER];
        let count = kinds.iter().filter(|kind| behaviors.contains(kind)).count();
        assert_eq!(count, 1, "{name} is either optional, required, output only or an identifier");
        let is_of_request = field.parent_message().name().ends_with("Request");
        let is_output = behaviors.contains(&OUTPUT_ONLY) || behaviors.contains(&IDENTIFIER);
        assert!(!(is_of_request && is_output), "{name}: what a request has is input");
        let is_in_oneof = field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic());
        assert!(
            !(is_in_oneof && behaviors.contains(&REQUIRED)),
            "{name}: one of several is not required"
        );
    }
}

#[test]
fn aip_203_a_secret_that_comes_in_a_resource_never_goes_out_with_it() {
    for field in in_requests(&pool()).iter().flat_map(MessageDescriptor::fields) {
        let is_of_request = field.parent_message().name().ends_with("Request");
        let redacted =
            field.options().get_field_by_name("debug_redact").and_then(|it| it.as_bool());
        if redacted == Some(true) && !is_of_request {
            assert!(behaviors(&field).contains(&INPUT_ONLY), "{}", field.full_name());
        }
    }
}

#[test]
fn aip_126_the_first_value_of_an_enum_means_nothing() {
    for kind in enums(&pool()) {
        let first = kind.get_value(0).expect("a first value");
        let name = snake(kind.name()).to_uppercase() + "_UNSPECIFIED";
        assert_eq!(first.name(), name);
        let comment = comment(&kind.parent_file(), first.path());
        let means_nothing = ["Never sent by the server.", "Not valid", "Not given"];
        assert!(
            means_nothing.iter().any(|words| comment.starts_with(words)),
            "{name} means something: say it of the fields that are of this type"
        );
    }
}

#[test]
fn aip_131_to_135_requests_and_responses_are_named_after_their_methods() {
    for method in methods(&pool()) {
        assert_eq!(method.input().name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
    }
}

#[test]
fn every_request_names_its_organization_first() {
    let exceptions = ["WhoAmIRequest", "EndSessionRequest", "StreamEventsRequest"];
    for method in methods(&pool()) {
        let input = method.input();
        if !exceptions.contains(&input.name()) {
            let organization = field(&input, "organization_id");
            assert_eq!((organization.number(), organization.kind()), (1, Kind::String));
        }
    }
}

#[test]
fn aip_131_get_takes_an_id_and_returns_the_resource() {
    for (method, noun) in standard(&pool(), "Get") {
        if pool().get_message_by_name(&format!("{PACKAGE}.{noun}")).is_none() {
            continue; // A computed view, such as GetEndpointStats.
        }
        let id = field(&method.input(), &format!("{}_id", snake(&noun)));
        assert_eq!(behaviors(&id), [REQUIRED], "{}", id.full_name());
        assert!(
            matches!(field(&method.output(), &snake(&noun)).kind(), Kind::Message(it) if it.name() == noun)
        );
    }
}

#[test]
fn aip_132_and_158_lists_have_pages() {
    for (method, _) in standard(&pool(), "List") {
        let (input, output) = (method.input(), method.output());
        assert_eq!(field(&input, "page_size").kind(), Kind::Int32);
        for name in ["page_size", "page_token"] {
            assert_eq!(behaviors(&field(&input, name)), [OPTIONAL], "{}.{name}", input.name());
        }
        assert_eq!(field(&output, "next_page_token").kind(), Kind::String);
        let items = output.get_field(1).expect("the items");
        assert!(items.is_list(), "{}", items.full_name());
    }
}

#[test]
fn aip_133_to_135_create_update_and_delete_have_the_fields_of_their_kind() {
    let pool = pool();
    for (method, noun) in standard(&pool, "Create") {
        // A session is opened with the caller's own token; it has nothing to configure.
        if noun != "Session" {
            assert_eq!(behaviors(&field(&method.input(), &snake(&noun))), [REQUIRED]);
        }
        assert_eq!(field(&method.input(), "request_id").kind(), Kind::String, "AIP-155");
    }
    for (method, noun) in standard(&pool, "Update") {
        assert_eq!(behaviors(&field(&method.input(), &snake(&noun))), [REQUIRED]);
        let mask = field(&method.input(), "update_mask").kind();
        assert!(matches!(mask, Kind::Message(it) if it.full_name() == "google.protobuf.FieldMask"));
        assert_eq!(field(&method.input(), "allow_missing").kind(), Kind::Bool);
        field(&pool.get_message_by_name(&format!("{PACKAGE}.{noun}")).expect("it"), "etag");
    }
    for (method, noun) in standard(&pool, "Delete") {
        assert_eq!(behaviors(&field(&method.input(), &format!("{}_id", snake(&noun)))), [REQUIRED]);
        assert_eq!(field(&method.input(), "allow_missing").kind(), Kind::Bool);
        assert_eq!(field(&method.input(), "etag").kind(), Kind::String, "AIP-154");
    }
}

#[test]
fn methods_say_whether_they_may_be_repeated() {
    let level = |method: &MethodDescriptor| {
        let options = method.options();
        options.get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number())
    };
    for (verbs, expected) in [
        (["Get", "List", "Watch"].as_slice(), 1),
        (["Update", "Delete", "Enable", "Disable"].as_slice(), 2),
    ] {
        for (method, _) in verbs.iter().flat_map(|verb| standard(&pool(), verb)) {
            assert_eq!(level(&method), Some(expected), "{}", method.full_name());
        }
    }
}

#[test]
fn aip_140_to_142_names_say_what_a_field_is() {
    // A unit or a number of things, the size of a page (AIP-158), a place in a sequence, a code.
    const INTEGERS: [&str; 6] =
        ["_bytes", "_per_second", "_count", "page_size", "number", "status_code"];
    for field in messages(&pool()).flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let (name, full_name) = (field.name(), field.full_name());
        assert_eq!(name, name.to_lowercase(), "{full_name}");
        if let Kind::Message(message) = field.kind() {
            let is_time = message.full_name() == "google.protobuf.Timestamp";
            let named_so = name == "time" || name.ends_with("_time");
            assert_eq!(is_time, named_so, "{full_name}: a time, and no other, is called so");
        }
        match field.kind() {
            Kind::Bool => assert!(!name.starts_with("is_"), "{full_name}"),
            Kind::Int32 | Kind::Int64 => {
                let is_named = INTEGERS.iter().any(|ending| name.ends_with(ending));
                assert!(is_named, "{full_name}: the name must tell the unit");
            }
            Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => {
                panic!("{full_name}: not every language has unsigned numbers")
            }
            _ => {}
        }
    }
}

#[test]
fn aip_148_resources_have_the_standard_fields() {
    let pool = pool();
    for name in ["Endpoint", "Channel", "Key", "Event", "Delivery", "Replay", "Notification"] {
        let resource = pool.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("a resource");
        assert_eq!(behaviors(&field(&resource, "id")), [IDENTIFIER], "{name}");
        assert_eq!(behaviors(&field(&resource, "organization_id")), [OUTPUT_ONLY], "{name}");
        assert_eq!(behaviors(&field(&resource, "create_time")), [OUTPUT_ONLY], "{name}");
    }
    let entry = pool.get_message_by_name(&format!("{PACKAGE}.AuditEntry")).expect("it");
    assert_eq!(behaviors(&field(&entry, "create_time")), [OUTPUT_ONLY]);
    for name in ["Endpoint", "Channel", "Key"] {
        let resource = pool.get_message_by_name(&format!("{PACKAGE}.{name}")).expect("a resource");
        assert_eq!(behaviors(&field(&resource, "display_name")), [REQUIRED], "{name}");
    }
}

#[test]
fn aip_216_a_state_is_set_by_the_server_alone() {
    for message in messages(&pool()) {
        let states = message.fields().filter(|field| field.name() == "state");
        for state in states.filter(|field| !behaviors(field).is_empty()) {
            assert_eq!(behaviors(&state), [OUTPUT_ONLY], "{}", state.full_name());
            assert!(matches!(state.kind(), Kind::Enum(kind) if kind.name() == "State"));
        }
    }
}

#[test]
fn aip_192_everything_has_a_comment() {
    let pool = pool();
    // Actions of the audit trail say what they are by their names.
    let of_enums = enums(&pool).filter(|kind| kind.name() != "AuditAction").flat_map(|kind| {
        let file = kind.parent_file();
        kind.values()
            .map(|value| (file.clone(), value.path().to_vec(), value.full_name().to_owned()))
            .collect::<Vec<_>>()
    });
    let of_messages = messages(&pool).flat_map(|message| {
        let file = message.parent_file();
        let itself = (file.clone(), message.path().to_vec(), message.full_name().to_owned());
        let fields = message
            .fields()
            .map(|it| (file.clone(), it.path().to_vec(), it.full_name().to_owned()));
        fields.chain([itself]).collect::<Vec<_>>()
    });
    let of_methods = methods(&pool).into_iter().map(|method| {
        (method.parent_file(), method.path().to_vec(), method.full_name().to_owned())
    });
    for (file, path, name) in of_enums.chain(of_messages).chain(of_methods.collect::<Vec<_>>()) {
        assert!(!comment(&file, &path).is_empty(), "{name} has no comment");
    }
}
