//! The limits on everything that users send.

use std::ops::RangeInclusive;
use std::time::Duration;

/// An organization's id: characters of a-z, 0-9, `-` and `_`.
pub const MAX_ORGANIZATION_ID_CHARS: usize = 64;
/// An endpoint's name, in characters.
pub const MAX_NAME_CHARS: usize = 100;
/// An endpoint's description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 1_000;
/// The reason given for disabling an endpoint, in characters.
pub const MAX_REASON_CHARS: usize = 500;
/// An endpoint's URL, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;
/// A secret, in bytes of UTF-8, at least. A shorter one could be guessed from a signature.
pub const MIN_SECRET_BYTES: usize = 16;
/// A secret, in bytes of UTF-8, at most.
pub const MAX_SECRET_BYTES: usize = 256;
/// The key in base64 after `whsec_`, in bytes (Standard Webhooks 1.0, "Signature
/// scheme": "between 24 bytes (192 bits) and 64 bytes (512 bits)").
pub const STANDARD_KEY_BYTES: RangeInclusive<usize> = 24..=64;
/// An event's `data`, in bytes of JSON text.
pub const MAX_DATA_BYTES: usize = 256 * 1024;
/// The levels of objects and arrays in a body that receivers get, the outermost included. Some
/// receivers read no more (System.Text.Json by default).
pub const MAX_PAYLOAD_DEPTH: usize = 64;
/// The same in an event's `data`. Every format may put a few levels around it.
pub const MAX_DATA_DEPTH: usize = MAX_PAYLOAD_DEPTH - 4;
/// The template of an endpoint's custom payload format, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 16 * 1024;
/// PagerDuty's routing key, in characters.
pub const ROUTING_KEY_CHARS: usize = 32;
/// The values in an event's `data` if it is sent as a Struct. In JSON each takes at least two bytes.
pub const MAX_DATA_VALUES: usize = MAX_DATA_BYTES / 2;
/// An idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// A request's id, in characters of ASCII.
pub const MAX_REQUEST_ID_CHARS: usize = 128;
/// How long a request's id is remembered.
pub const REQUEST_ID_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The notification channels of an organization.
pub const MAX_CHANNELS: u64 = 50;
/// The endpoints that a channel can be limited to.
pub const MAX_CHANNEL_ENDPOINTS: usize = 100;
/// The recipients of an e-mail channel; see also [`crate::mail_limits`].
pub const MAX_RECIPIENTS: usize = 20;
/// The event types in a request, repetitions included. Fewer exist.
pub const MAX_EVENT_TYPES: usize = 100;
/// The notification types in a request, repetitions included. Fewer exist.
pub const MAX_SUBSCRIPTIONS: usize = 100;
/// The paths in the mask of an update, repetitions included. Fewer exist.
pub const MAX_MASK_PATHS: usize = 100;
/// The most values that a filter of a list may name.
pub const MAX_FILTER_VALUES: usize = 100;
/// The events of one BatchPublishEvents request.
pub const MAX_EVENTS_PER_BATCH: usize = 1_000;
/// How long an old secret may go on signing beside the new one, at most.
pub const MAX_ROTATION_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long an old secret goes on signing by default.
pub const DEFAULT_ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The retries of a retry schedule.
pub const MAX_RETRIES: usize = 32;
/// A wait of a retry schedule.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long one response may keep the endpoint's other deliveries waiting.
pub const MAX_ENDPOINT_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long a key that expires is valid, at least.
pub const MIN_KEY_LIFE: Duration = Duration::from_secs(60);
/// How long a key that expires is valid, at most: 10 years.
pub const MAX_KEY_LIFE: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);
/// How long a session lasts, at least.
pub const MIN_SESSION_LIFE: Duration = Duration::from_secs(60);
/// How long a session lasts by default.
pub const DEFAULT_SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session lasts, at most.
pub const MAX_SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The subject of a web token in the audit trail, in characters. A longer one is cut.
pub const MAX_ACTOR_CHARS: usize = 200;
/// The deliveries that a replay schedules in a second, by default.
pub const DEFAULT_REPLAY_RATE: u32 = 100;
/// The deliveries that a replay schedules in a second, at most.
pub const MAX_REPLAY_RATE: u32 = 5_000;
/// The deliveries of a replay that are counted in advance. Beyond that, the count is "or more".
pub const MAX_REPLAY_COUNT: u64 = 100_000;
/// The missed events, attempts or events that are read for that count, whether they match or not.
pub const MAX_REPLAY_ROWS_COUNTED: usize = 500_000;
/// The replays of an organization that may be running at the same time.
pub const MAX_RUNNING_REPLAYS: u64 = 10;
