//! The requests that may have an id of the caller's (AIP-155), and their digests.
//!
//! Decision: docs/decisions/a-repeated-request-is-decided-in-the-log.md

use keeptrusts_webhooks_domain::access::Caller;
use keeptrusts_webhooks_domain::request::{IdentifiedRequest, RequestDigest, RequestId};
use keeptrusts_webhooks_domain::violation::Violation;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::v1;

/// A message with a `request_id`.
pub trait HasRequestId: Message {
    /// The method that the message is the request of.
    const METHOD: &'static str;

    /// Takes the request's id out. Empty: it has none.
    fn take_request_id(&mut self) -> String;

    /// The field that says whether the request only wants to be checked. None: it has no such field.
    fn validate_only(&mut self) -> Option<&mut bool>;
}

macro_rules! has_request_id {
    ($($method:literal $request:ident $(($validate_only:ident))?;)*) => {
        $(impl HasRequestId for v1::$request {
            const METHOD: &'static str = $method;

            fn take_request_id(&mut self) -> String {
                std::mem::take(&mut self.request_id)
            }

            fn validate_only(&mut self) -> Option<&mut bool> {
                None $(.or(Some(&mut self.$validate_only)))?
            }
        })*

        /// The messages, and whether they can be validated only.
        #[cfg(test)]
        const IDENTIFIED: &[(&str, bool)] =
            &[$((stringify!($request), !concat!("" $(, stringify!($validate_only))?).is_empty())),*];
    };
}

has_request_id! {
    "CreateEndpoint" CreateEndpointRequest(validate_only);
    "RotateSecret" RotateSecretRequest;
    "CreateChannel" CreateChannelRequest(validate_only);
    "TestChannel" TestChannelRequest;
    "CreateKey" CreateKeyRequest;
    "CreateSession" CreateSessionRequest;
    "CreateReplay" CreateReplayRequest(validate_only);
    "SendTest" SendTestRequest;
    "RetryDelivery" RetryDeliveryRequest;
}

/// Takes the id out of a caller's request. None: it has none. A request that is only checked has the
/// identity of the one that it is the check of.
pub(super) fn identify<M: HasRequestId>(
    message: &mut M,
    caller: &Caller,
) -> Result<Option<IdentifiedRequest>, Violation> {
    let Some(id) = RequestId::optional(message.take_request_id())? else { return Ok(None) };
    let validate_only = message.validate_only().map(std::mem::take);
    let digest = digest(&id, message, caller);
    if let (Some(field), Some(validate_only)) = (message.validate_only(), validate_only) {
        *field = validate_only;
    }
    Ok(Some(IdentifiedRequest { id, digest }))
}

/// The digest of a request whose id was taken out. The encoding is deterministic: these messages have
/// no maps, and prost writes fields in the order of their numbers.
///
/// The content may have a credential, and the digest stays in the log, so whoever reads the database
/// can check guesses of it. That is no more than the signatures allow that lie beside it and that
/// receivers see, and it is why a secret has at least
/// [`MIN_SECRET_BYTES`](keeptrusts_webhooks_domain::limits::MIN_SECRET_BYTES); routing keys and the
/// URLs of incoming webhooks are long and random. With the ids of the request and the caller in
/// front, a guess has to be checked anew for each request.
fn digest<M: HasRequestId>(id: &RequestId, message: &M, caller: &Caller) -> RequestDigest {
    let mut digest = Sha256::new();
    // With their lengths, so that no two requests are the same bytes.
    for text in [id.as_str(), caller.actor.as_ref(), M::METHOD] {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    RequestDigest(digest.chain_update(message.encode_to_vec()).finalize().into())
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::access::{Credential, OrganizationScope, Role};
    use keeptrusts_webhooks_domain::ids::KeyId;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::DESCRIPTORS;

    fn caller(actor: &str) -> Caller {
        Caller {
            actor: actor.into(),
            name: "ci".into(),
            role: Role::Admin,
            organizations: OrganizationScope::All,
            expire_time: None,
            credential: Credential::Key(KeyId::MIN),
            address: None,
        }
    }

    fn identified<M: HasRequestId>(mut message: M, actor: &str) -> Option<IdentifiedRequest> {
        identify(&mut message, &caller(actor)).expect("a right id")
    }

    fn create_endpoint(request_id: &str, secret: &str) -> v1::CreateEndpointRequest {
        let secret = secret.to_owned();
        v1::CreateEndpointRequest {
            organization_id: "acme".to_owned(),
            endpoint: Some(v1::Endpoint { secret, ..Default::default() }),
            request_id: request_id.to_owned(),
            ..Default::default()
        }
    }

    fn request_of<M: HasRequestId + Default>(
        set: impl FnOnce(&mut M),
        actor: &str,
    ) -> IdentifiedRequest {
        let mut message = M::default();
        set(&mut message);
        identified(message, actor).expect("it is remembered")
    }

    #[test]
    fn method_caller_and_content_make_the_digest() {
        let first = identified(create_endpoint("1", "a secret"), "key_1");
        assert_eq!(identified(create_endpoint("1", "a secret"), "key_1"), first);
        assert_ne!(identified(create_endpoint("1", "another"), "key_1"), first);
        assert_ne!(identified(create_endpoint("1", "a secret"), "key_2"), first);
        // Two methods whose messages have the same bytes.
        let id = "1".to_owned();
        let replay = request_of(|of: &mut v1::CreateReplayRequest| of.request_id = id.clone(), "a");
        let endpoint = request_of(|of: &mut v1::CreateEndpointRequest| of.request_id = id, "a");
        assert_ne!(replay, endpoint);
    }

    #[test]
    fn a_request_that_is_only_checked_is_the_one_that_it_checks() {
        let real = create_endpoint("1", "a secret");
        let mut checked = v1::CreateEndpointRequest { validate_only: true, ..real.clone() };
        let identity = identify(&mut checked, &caller("key_1")).expect("a right id");
        assert_eq!(identity, identified(real, "key_1"));
        assert!(checked.validate_only, "it is checked only");
    }

    #[test]
    fn without_an_id_there_is_nothing_to_remember() {
        assert_eq!(identified(create_endpoint("", "a secret"), "key_1"), None);
        let wrong = identify(&mut create_endpoint("a b", ""), &caller("key_1"));
        assert_eq!(wrong.expect_err("not an id").field, "request_id");
    }

    #[test]
    fn every_message_with_a_request_id_is_one_of_these() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let api = files.iter().filter(|file| file.package() == "keeptrusts.webhooks.v1");
        let mut found = Vec::new();
        for message in api.flat_map(|file| &file.message_type) {
            let has = |name: &str| message.field.iter().any(|field| field.name() == name);
            if has("request_id") {
                found.push((message.name(), has("validate_only")));
            }
        }
        found.sort_unstable();
        let mut known = IDENTIFIED.to_vec();
        known.sort_unstable();
        assert_eq!(known, found);
    }
}
