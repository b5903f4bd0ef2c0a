//! The paths of field masks: each one that the contract names is a field of its resource, as libraries for
//! masks demand (AIP-161), and is accepted.

use keeptrusts_webhooks_contracts::DESCRIPTORS;
use keeptrusts_webhooks_contracts::api::{UpdateChannel, UpdateEndpoint};
use keeptrusts_webhooks_contracts::v1;
use prost::Message;
use prost_types::field_descriptor_proto::Label;
use prost_types::{FieldMask, FileDescriptorSet};

const ENDPOINT_SERVICE: &str =
    include_str!("../../../../proto/keeptrusts/webhooks/v1/endpoint_service.proto");
const NOTIFICATION_SERVICE: &str =
    include_str!("../../../../proto/keeptrusts/webhooks/v1/notification_service.proto");

/// The names between backquotes in the comment of a message's `update_mask`.
fn documented(proto: &str, message: &str) -> Vec<String> {
    let (_, message) = proto.split_once(&format!("message {message} {{")).expect("its message");
    let (before, _) = message.split_once("update_mask = ").expect("its mask");
    let (_, comment) = before.rsplit_once("// Any of ").expect("the names of the fields");
    let mut names: Vec<_> = comment.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The fields of a message of the API.
fn fields(message: &str) -> Vec<prost_types::FieldDescriptorProto> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
    let files = files.into_iter().filter(|file| file.package() == "keeptrusts.webhooks.v1");
    let mut messages = files.flat_map(|file| file.message_type);
    messages.find(|candidate| candidate.name() == message).expect("a message").field
}

fn mask(path: &str) -> Option<FieldMask> {
    Some(FieldMask { paths: vec![path.to_owned()] })
}

/// Whether a violation says that there is no such path.
fn refuses_path<T>(checked: Result<T, keeptrusts_webhooks_contracts::api::Violations>) -> bool {
    let violations = checked.err().map(|violations| violations.into_vec()).unwrap_or_default();
    violations.iter().any(|violation| violation.field.starts_with("update_mask"))
}

fn endpoint_refuses(path: &str) -> bool {
    refuses_path(UpdateEndpoint::try_from(v1::UpdateEndpointRequest {
        endpoint: Some(v1::Endpoint::default()),
        update_mask: mask(path),
        ..Default::default()
    }))
}

fn channel_refuses(path: &str) -> bool {
    refuses_path(UpdateChannel::try_from(v1::UpdateChannelRequest {
        channel: Some(v1::Channel::default()),
        update_mask: mask(path),
        ..Default::default()
    }))
}

#[test]
fn documented_paths_are_fields_of_the_resource_and_are_accepted() {
    let services = [
        (
            ENDPOINT_SERVICE,
            "UpdateEndpointRequest",
            "Endpoint",
            endpoint_refuses as fn(&str) -> bool,
        ),
        (NOTIFICATION_SERVICE, "UpdateChannelRequest", "Channel", channel_refuses),
    ];
    for (proto, request, resource, refuses) in services {
        let (documented, fields) = (documented(proto, request), fields(resource));
        assert!(documented.len() > 8, "{documented:?}");
        for path in &documented {
            let is_field = fields.iter().any(|field| field.name() == path);
            assert!(path == "*" || is_field, "{path} is no field of {resource}");
            assert!(!refuses(path), "{path} is documented and refused");
        }
        // Nothing else is accepted, also not by the name of a oneof or a part of a field.
        for field in fields.iter().filter(|field| !documented.contains(&field.name().to_owned())) {
            assert!(refuses(field.name()), "{} is accepted and not documented", field.name());
        }
        for path in ["destination", "webhook.url", "url.host", "display_name.x", "ID"] {
            assert!(refuses(path), "{path}");
        }
        // A repeated field has no path into its elements.
        for field in fields.iter().filter(|field| field.label() == Label::Repeated) {
            assert!(refuses(&format!("{}.0", field.name())), "{}", field.name());
        }
    }
}
