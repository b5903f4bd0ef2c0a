//! What requests of the API have in common.

use prost::Message;

/// Only requests of the API implement the traits here, so that these can grow.
pub trait Sealed {}

/// A request with one response.
pub trait UnaryRequest: Message + Clone + Default + Sealed + 'static {
    /// Its response.
    type Response: Message + Default + Send + 'static;
    /// The path of its method, `/package.Service/Method`.
    const PATH: &'static str;

    /// Does what it takes so that the request may be sent again, and says whether it may: gives it a
    /// `request_id` or `idempotency_key` of its own if it can have one and has none.
    fn make_repeatable(&mut self) -> bool;
}

/// A request for a page of a list (AIP-158).
pub trait ListRequest: UnaryRequest {
    /// What is listed.
    type Item: Send + 'static;

    /// Asks for the page of this token.
    fn set_page_token(&mut self, token: String);

    /// The items of a page, and the token of the next one; empty: it was the last.
    fn into_page(response: Self::Response) -> (Vec<Self::Item>, String);
}

/// A request for a stream of responses.
pub trait WatchRequest: Message + Clone + Default + Sealed + 'static {
    /// One of its responses.
    type Response: Message + Default + Send + 'static;
    /// The path of its method, `/package.Service/Method`.
    const PATH: &'static str;
    /// Whether a response has a token to resume after it. Such a watch never ends of itself; one without
    /// begins anew with the present state, and ends with what it watches.
    const RESUMES: bool;

    /// Asks for what comes after this response, and says whether there is more in it than where that is:
    /// the first response of a watch has nothing else.
    fn resume_after(&mut self, last: &Self::Response) -> bool;
}

/// An id of the client's for what has none: a UUID of version 7 (RFC 9562 section 5.7).
pub(crate) fn ensure_id(id: &mut String) {
    if id.is_empty() {
        *id = uuid::Uuid::now_v7().to_string();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn requests_get_ids_of_their_own_and_keep_those_that_they_have() {
        let mut request = v1::CreateEndpointRequest::default();
        assert!(request.make_repeatable());
        let id = request.request_id.clone();
        assert_eq!(id.len(), 36);
        assert!(request.make_repeatable());
        assert_eq!(request.request_id, id);

        let mut event = v1::PublishEventRequest::default();
        assert!(event.make_repeatable());
        assert!(!event.idempotency_key.is_empty() && event.idempotency_key != id);
    }

    #[test]
    fn each_event_of_a_batch_gets_a_key_of_its_own() {
        let mine =
            v1::PublishEventRequest { idempotency_key: "mine".to_owned(), ..Default::default() };
        let requests = vec![Default::default(), mine, Default::default()];
        let mut batch = v1::BatchPublishEventsRequest { requests, ..Default::default() };
        assert!(batch.make_repeatable());
        let keys: Vec<_> = batch.requests.iter().map(|event| &*event.idempotency_key).collect();
        assert_eq!(keys[1], "mine");
        assert!(keys[0] != keys[2] && !keys[0].is_empty() && !keys[2].is_empty());
    }

    #[test]
    fn what_is_not_idempotent_and_has_no_id_is_never_repeated() {
        assert!(!v1::RevealSecretRequest::default().make_repeatable());
        assert!(!v1::EndSessionRequest::default().make_repeatable());
        assert!(v1::GetEndpointRequest::default().make_repeatable());
        assert!(v1::DeleteEndpointRequest::default().make_repeatable());
    }
}
