//! Converts the API's messages to and from the domain's types.
//!
//! Requests come in through `TryFrom`: a message becomes a type whose values have been checked, or
//! [`Violations`] that name all of its wrong fields at once. A `?` in a handler turns violations into
//! a status. Responses go out through `From`. A handler gets its request as an
//! [`AuthorizedRequest`], together with the caller, and never touches raw strings.

mod access_requests;
mod audit;
mod audit_changes;
mod authorized_request;
mod delivery;
mod dispatch_requests;
mod endpoint;
mod endpoint_requests;
mod event;
mod field_mask;
mod fields;
mod identified_request;
mod ingest_requests;
mod key;
mod notification;
mod notification_requests;
mod page;
mod payload_format;
mod replay;
mod replay_requests;
mod response_size;
mod resume_point;
mod sorted_page;
mod struct_json;
mod trace;
mod view;
mod violations;
mod watch_response;

pub use access_requests::{CreateKey, CreateSession, EmptyRequest, KeyRef, ListKeys, RevokeKey};
pub use audit::{AuditCursor, ListAuditEntries};
pub use audit_changes::audit_changes;
pub use authorized_request::{AuthorizedRequest, HasOrganization, caller_of};
pub use delivery::{attempt_with_content, attempt_without_content};
pub use dispatch_requests::{
    DEFAULT_STATS_WINDOW, DeliveryRef, GetAttempt, GetDelivery, GetEndpointStats, GetHealthSummary,
    ListAttempts, ListDeliveries, MAX_STATS_WINDOW, SendTest, WatchDeliveries, WatchEvents,
    invalid_resume_token,
};
pub use endpoint_requests::{
    CreateEndpoint, DeleteEndpoint, DisableEndpoint, EndpointRef, EventTypeCursor, ListEndpoints,
    ListEventTypes, PreviewPayload, RotateSecret, UpdateEndpoint,
};
pub use event::event_with_body;
pub use identified_request::HasRequestId;
pub use ingest_requests::{GetEvent, ListEvents, Publish, PublishBatch};
pub use key::key_message;
pub use notification_requests::{
    CHANNEL_ENDPOINT_IDS, ChannelRef, CreateChannel, DeleteChannel, ListChannels,
    ListNotifications, NewDestination, NotificationRef, UpdateChannel, channel_destination_field,
    channel_secret_field,
};
pub use page::{
    DEFAULT_PAGE_SIZE, ListChunk, MAX_PAGE_SIZE, MAX_READS_PER_PAGE, Page, invalid_page_token,
};
pub use replay::replay_preview;
pub use replay_requests::{CreateReplay, ListReplays, ReplayRef};
pub use response_size::{MAX_RESPONSE_BYTES, ResponseBudget};
pub use resume_point::ResumePoint;
pub use sorted_page::{MAX_SORTED_ROWS, SortField, SortValue, Sortable, SortedPage, TooManyToSort};
pub use struct_json::struct_to_json;
pub use trace::trace_context_of;
pub use view::{CONTENT_BYTES_PER_READ, View, rows_of_one_read, rows_within};
pub use violations::Violations;
pub use watch_response::{WatchResponse, next_shown};
