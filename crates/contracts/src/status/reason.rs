//! The reasons of errors: programs match the `reason` of an ErrorInfo.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// Why a request failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The reason on the wire: upper case with underscores, as AIP-193 asks.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Reason::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// Fields break their rules; see the BadRequest.
    InvalidField "INVALID_FIELD";
    /// The organization has no such endpoint.
    EndpointNotFound "ENDPOINT_NOT_FOUND";
    /// The organization has no such notification channel.
    ChannelNotFound "CHANNEL_NOT_FOUND";
    /// The id of the new endpoint is taken, or was once.
    EndpointExists "ENDPOINT_EXISTS";
    /// The id of the new notification channel is taken, or was once.
    ChannelExists "CHANNEL_EXISTS";
    /// The organization has no such event.
    EventNotFound "EVENT_NOT_FOUND";
    /// The organization has no such delivery.
    DeliveryNotFound "DELIVERY_NOT_FOUND";
    /// The organization has no such attempt.
    AttemptNotFound "ATTEMPT_NOT_FOUND";
    /// The endpoint is disabled, and the request would send to it.
    EndpointDisabled "ENDPOINT_DISABLED";
    /// The endpoint was deleted, and the request would send to it.
    EndpointDeleted "ENDPOINT_DELETED";
    /// The organization has no such replay.
    ReplayNotFound "REPLAY_NOT_FOUND";
    /// The endpoint has a replay that is running.
    ReplayRunning "REPLAY_RUNNING";
    /// The organization has as many running replays as it may have.
    TooManyReplays "TOO_MANY_REPLAYS";
    /// The replay has ended, so there is nothing to cancel.
    ReplayEnded "REPLAY_ENDED";
    /// The delivery has ended, so there is nothing to cancel.
    DeliveryEnded "DELIVERY_ENDED";
    /// The organization has no such notification.
    NotificationNotFound "NOTIFICATION_NOT_FOUND";
    /// The event's body is no longer kept, so there is nothing to send.
    BodyExpired "BODY_EXPIRED";
    /// The organization's data was erased, and it cannot have secrets any more.
    OrganizationErased "ORGANIZATION_ERASED";
    /// The endpoint's configuration has changed since it was read.
    StaleEtag "STALE_ETAG";
    /// A stored credential would go to another server; see the BadRequest.
    CredentialRequired "CREDENTIAL_REQUIRED";
    /// The idempotency key was used for an event with other content.
    IdempotencyKeyReused "IDEMPOTENCY_KEY_REUSED";
    /// The request's id was used for another request.
    RequestIdReused "REQUEST_ID_REUSED";
    /// The organization is out of the caller's reach, or does not exist.
    OrganizationNotFound "ORGANIZATION_NOT_FOUND";
    /// The organization has no such key.
    KeyNotFound "KEY_NOT_FOUND";
    /// The request has no valid token.
    Unauthenticated "UNAUTHENTICATED";
    /// The caller's role may not call the method.
    PermissionDenied "PERMISSION_DENIED";
    /// The caller's token is not that of a session.
    NotASession "NOT_A_SESSION";
    /// The caller's token is that of a session, which cannot open another session.
    AlreadyASession "ALREADY_A_SESSION";
    /// Too many wrong tokens have come from this address.
    TooManyFailedLogins "TOO_MANY_FAILED_LOGINS";
    /// The caller creates keys or sessions faster than it may.
    TooManyKeys "TOO_MANY_KEYS";
    /// The organization publishes faster than it may.
    PublishQuotaExceeded "PUBLISH_QUOTA_EXCEEDED";
    /// The organization has as many endpoints as it may have.
    TooManyEndpoints "TOO_MANY_ENDPOINTS";
    /// The organization has as many notification channels as it may have.
    TooManyChannels "TOO_MANY_CHANNELS";
    /// An e-mail channel cannot be created, because the server sends no mail.
    MailNotConfigured "MAIL_NOT_CONFIGURED";
    /// The organization has used up its messages or recipients of mail for now.
    MailLimitExceeded "MAIL_LIMIT_EXCEEDED";
    /// The database cannot be reached, or cannot do this now; the message says why.
    DatabaseUnavailable "DATABASE_UNAVAILABLE";
    /// The keys of the issuer of web tokens cannot be fetched.
    IssuerUnavailable "ISSUER_UNAVAILABLE";
    /// The list has too many rows to be sorted.
    TooManyToSort "TOO_MANY_TO_SORT";
    /// Too much work is waiting.
    Overloaded "OVERLOADED";
    /// The organization, caller or address has as many requests in flight as it may have.
    TooManyRequests "TOO_MANY_REQUESTS";
    /// The key or the organization has as many watches as it may have.
    TooManyWatches "TOO_MANY_WATCHES";
    /// The key or the organization has as many streams of events as it may have.
    TooManyStreams "TOO_MANY_STREAMS";
    /// The request is larger than this server accepts.
    RequestTooLarge "REQUEST_TOO_LARGE";
    /// The request has more headers than this server accepts.
    TooManyHeaders "TOO_MANY_HEADERS";
    /// There is no such method, or this process does not serve it.
    MethodNotFound "METHOD_NOT_FOUND";
    /// The request's compression is not supported; `grpc-accept-encoding` lists the supported ones.
    EncodingNotSupported "ENCODING_NOT_SUPPORTED";
    /// This process is shutting down.
    ShuttingDown "SHUTTING_DOWN";
    /// The client did not read what a watch showed; it can resume.
    NotRead "NOT_READ";
    /// The caller's deadline passed first.
    DeadlineExceeded "DEADLINE_EXCEEDED";
    /// A defect of this program.
    Internal "INTERNAL";
}

/// A kind of resource that can be looked up by an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// An endpoint.
    Endpoint,
    /// An event.
    Event,
    /// A delivery.
    Delivery,
    /// An attempt.
    Attempt,
    /// A key.
    Key,
    /// A replay.
    Replay,
    /// A notification channel.
    Channel,
    /// A notification.
    Notification,
}

/// A kind of resource whose id may be made by the caller who creates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceWithCallersId {
    /// An endpoint.
    Endpoint,
    /// A notification channel.
    Channel,
}

impl From<ResourceWithCallersId> for Resource {
    fn from(resource: ResourceWithCallersId) -> Resource {
        match resource {
            ResourceWithCallersId::Endpoint => Resource::Endpoint,
            ResourceWithCallersId::Channel => Resource::Channel,
        }
    }
}

impl Resource {
    /// The resource's name in messages and metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Resource::Endpoint => "endpoint",
            Resource::Event => "event",
            Resource::Delivery => "delivery",
            Resource::Attempt => "attempt",
            Resource::Key => "key",
            Resource::Replay => "replay",
            Resource::Channel => "channel",
            Resource::Notification => "notification",
        }
    }

    /// Whether a user can delete it.
    pub(super) const fn can_be_deleted(self) -> bool {
        matches!(self, Resource::Endpoint | Resource::Channel)
    }

    pub(super) const fn not_found(self) -> Reason {
        match self {
            Resource::Endpoint => Reason::EndpointNotFound,
            Resource::Event => Reason::EventNotFound,
            Resource::Delivery => Reason::DeliveryNotFound,
            Resource::Attempt => Reason::AttemptNotFound,
            Resource::Key => Reason::KeyNotFound,
            Resource::Replay => Reason::ReplayNotFound,
            Resource::Channel => Reason::ChannelNotFound,
            Resource::Notification => Reason::NotificationNotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    use keeptrusts_webhooks_domain::violation::ViolationReason;

    use super::*;

    #[test]
    fn reasons_are_spelled_as_error_info_demands() {
        // error_details.proto: at most 63 characters, [A-Z][A-Z0-9_]+[A-Z0-9].
        let names = Reason::ALL.iter().map(|reason| reason.name());
        for name in names.chain(ViolationReason::ALL.iter().map(|reason| reason.name())) {
            assert!(name.len() <= 63, "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn the_page_about_the_api_lists_exactly_these_reasons() {
        let errors = Reason::ALL.iter().map(|reason| reason.name());
        assert_listed("\n## Errors\n", errors.collect());
        let violations = ViolationReason::ALL.iter().map(|reason| reason.name());
        assert_listed("\n### Fields at fault\n", violations.collect());
    }

    /// The first cells of the table below the heading are these reasons.
    fn assert_listed(heading: &str, mut expected: Vec<&str>) {
        let page = include_str!("../../../../docs/api.md");
        let (_, section) = page.split_once(heading).expect("the section");
        let section = section.split("\n#").next().unwrap_or_default();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        let listed = rows.flat_map(|row| {
            let reasons = row.split(" | ").next().unwrap_or_default();
            reasons.split('`').skip(1).step_by(2)
        });
        let mut listed: Vec<&str> = listed.collect();
        listed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(listed, expected);
    }
}
