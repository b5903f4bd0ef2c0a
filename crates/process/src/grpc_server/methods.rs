//! Properties of each gRPC method, from the contracts' descriptors.

use std::collections::HashMap;
use std::sync::LazyLock;

use keeptrusts_webhooks_contracts::{DESCRIPTORS, SHOWN_SECRET_FIELDS};
use prost::Message;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{
    DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, MethodOptions,
};

#[derive(Debug)]
pub(super) struct Method {
    /// `package.Service/Method`.
    pub(super) name: String,
    /// The full name of the request message.
    pub(super) request: String,
    pub(super) kind: CallKind,
    /// The method changes nothing, so clients may call it again if its answer is refused.
    pub(super) reads: bool,
    /// The answer may contain a secret.
    pub(super) answers_secrets: bool,
}

/// Which pools and limits a call is subject to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// Publishes, and may use the pools' reserve.
    Publish,
    /// Answers as soon as it can.
    Answer,
    /// Waits for somebody else: a receiver, a renderer.
    Wait,
    /// Publishes a stream of events: the request is a stream.
    PublishStream,
    /// Streams its answer until the client ends it.
    Watch,
    /// Streams without a key: reflection, and watches of health.
    Open,
    /// A health check.
    Health,
}

/// The calls that publish or wait. That answers are streams is in the descriptors.
const KINDS: [(&str, CallKind); 6] = [
    ("IngestService/PublishEvent", CallKind::Publish),
    ("IngestService/BatchPublishEvents", CallKind::Publish),
    ("IngestService/StreamEvents", CallKind::PublishStream),
    ("DispatchService/SendTest", CallKind::Wait),
    ("NotificationService/TestChannel", CallKind::Wait),
    ("EndpointService/PreviewPayload", CallKind::Wait),
];
const PACKAGE: &str = "keeptrusts.webhooks.v1.";
const HEALTH: &str = "/grpc.health.v1.Health/";
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: [&str; 2] =
    ["/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/"];

/// The method of a path (`/package.Service/Method`). None: the contracts have no such method.
pub(super) fn of(path: &str) -> Option<&'static Method> {
    static METHODS: LazyLock<HashMap<String, Method>> = LazyLock::new(read);
    METHODS.get(path.strip_prefix('/')?)
}

pub(super) fn kind_of(path: &str) -> CallKind {
    match of(path) {
        Some(method) => method.kind,
        None if path == HEALTH_CHECK => CallKind::Health,
        None if is_health(path) || REFLECTION.iter().any(|it| path.starts_with(it)) => {
            CallKind::Open
        }
        None => CallKind::Answer,
    }
}

pub(super) fn is_health(path: &str) -> bool {
    path.starts_with(HEALTH)
}

fn read() -> HashMap<String, Method> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap_or_default().file;
    let messages = Messages::of(&files);
    let services = files
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    let methods = services.flat_map(|(package, service)| {
        let service_name = format!("{package}.{}", service.name());
        let messages = &messages;
        service.method.iter().map(move |method| {
            let answers_secrets = messages.have_secret(method.output_type(), MAX_LEVELS);
            let name = format!("{service_name}/{}", method.name());
            let request = method.input_type().trim_start_matches('.').to_owned();
            let kind = kind(&name, method);
            let level = method.options.as_ref().map(MethodOptions::idempotency_level);
            let reads = level == Some(IdempotencyLevel::NoSideEffects);
            (name.clone(), Method { name, request, kind, reads, answers_secrets })
        })
    });
    methods.collect()
}

/// How many levels of nested messages are searched. Our messages are not recursive.
const MAX_LEVELS: usize = 16;

/// The messages of the contracts by their full names, which begin with a dot as in descriptors.
struct Messages<'a>(HashMap<String, &'a DescriptorProto>);

impl<'a> Messages<'a> {
    fn of(files: &'a [FileDescriptorProto]) -> Messages<'a> {
        let mut messages = HashMap::new();
        let mut left: Vec<_> = files
            .iter()
            .flat_map(|file| {
                file.message_type.iter().map(|it| (format!(".{}", file.package()), it))
            })
            .collect();
        while let Some((scope, message)) = left.pop() {
            let name = format!("{scope}.{}", message.name());
            left.extend(message.nested_type.iter().map(|nested| (name.clone(), nested)));
            messages.insert(name, message);
        }
        Messages(messages)
    }

    /// Whether a message contains a secret. Below the last level everything counts as one.
    fn have_secret(&self, message: &str, levels: usize) -> bool {
        if message.starts_with(".google.protobuf.") {
            return false;
        }
        let Some(levels) = levels.checked_sub(1) else { return true };
        let has_secret = SHOWN_SECRET_FIELDS.iter().any(|field| is_field_of(field, message));
        has_secret
            || self.0.get(message).is_some_and(|message| {
                message.field.iter().any(|field| self.have_secret(field.type_name(), levels))
            })
    }
}

/// Whether the full name of a field is that of a field of the message.
fn is_field_of(field: &str, message: &str) -> bool {
    field.rsplit_once('.').is_some_and(|(owner, _)| Some(owner) == message.strip_prefix('.'))
}

fn kind(name: &str, method: &MethodDescriptorProto) -> CallKind {
    let short = name.strip_prefix(PACKAGE).unwrap_or(name);
    match KINDS.iter().find(|(known, _)| *known == short) {
        Some((_, kind)) => *kind,
        None if method.server_streaming() => CallKind::Watch,
        None => CallKind::Answer,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_kind_of_a_call_follows_from_its_path() {
        let kind = |method: &str| kind_of(&format!("/{PACKAGE}{method}"));
        for (method, expected) in KINDS {
            assert!(of(&format!("/{PACKAGE}{method}")).is_some(), "{method} is in the contracts");
            assert_eq!(kind(method), expected, "{method}");
        }
        assert_eq!(kind("DispatchService/WatchDeliveries"), CallKind::Watch);
        assert_eq!(kind("DispatchService/WatchReplay"), CallKind::Watch);
        assert_eq!(kind("IngestService/GetEvent"), CallKind::Answer);
        assert_eq!(kind("IngestService/Nothing"), CallKind::Answer);
        assert_eq!(kind_of("/grpc.health.v1.Health/Watch"), CallKind::Open);
        assert_eq!(kind_of("/grpc.health.v1.Health/Check"), CallKind::Health);
        assert_eq!(
            kind_of("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            CallKind::Open
        );
    }

    #[test]
    fn answers_with_secrets_are_found_in_the_contracts() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let messages = Messages::of(&files);
        let methods = files.iter().flat_map(|file| &file.service).flat_map(|it| &it.method);
        let secret: Vec<_> = methods
            .filter(|method| messages.have_secret(method.output_type(), MAX_LEVELS))
            .map(MethodDescriptorProto::name)
            .collect();
        // Endpoints and channels have fields for secrets, but no answer has them.
        let expected =
            ["CreateEndpoint", "RotateSecret", "RevealSecret", "CreateKey", "CreateSession"];
        assert_eq!(secret, expected);
    }

    #[test]
    fn methods_with_pages_or_streams_change_nothing() {
        // Their answers are large, and may be refused if there is no memory.
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let paged: HashSet<_> = files
            .iter()
            .flat_map(|file| &file.message_type)
            .filter(|message| message.field.iter().any(|field| field.name() == "page_size"))
            .map(DescriptorProto::name)
            .collect();
        let methods = read();
        let large = methods.values().filter(|method| {
            let request = method.request.rsplit('.').next().unwrap_or_default();
            method.kind == CallKind::Watch || paged.contains(request)
        });
        assert!(large.clone().count() > 8);
        for method in large {
            assert!(method.reads, "{}", method.name);
        }
        for name in ["IngestService/BatchPublishEvents", "AccessService/CreateKey"] {
            let method = of(&format!("/{PACKAGE}{name}")).expect("it is in the contracts");
            assert!(!method.reads, "{name}");
        }
    }

    #[test]
    fn the_requests_that_are_streams_are_read_message_by_message_and_all_others_whole() {
        // A streamed request that was received whole would wait for its client to end it. Another
        // request that was read by messages could have a second one, which no service expects.
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let services =
            files.iter().flat_map(|file| file.service.iter().map(move |it| (file.package(), it)));
        let methods = services.flat_map(|(package, service)| {
            let name = move |method: &str| format!("{package}.{}/{method}", service.name());
            service.method.iter().map(move |method| (name(method.name()), method))
        });
        assert!(methods.clone().count() > 25);
        let kinds = read();
        for (name, method) in methods {
            let by_message = kinds[&name].kind == CallKind::PublishStream;
            assert_eq!(by_message, method.client_streaming(), "{name}");
        }
        assert_eq!(
            kind_of("/keeptrusts.webhooks.v1.IngestService/StreamEvents"),
            CallKind::PublishStream
        );
    }
}
