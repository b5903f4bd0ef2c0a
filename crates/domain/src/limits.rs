//! Every limit on what users give us, in one place.

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
/// A secret, in bytes of UTF-8. Shorter ones could be guessed from a signature.
pub const MIN_SECRET_BYTES: usize = 16;
/// A secret, in bytes of UTF-8.
pub const MAX_SECRET_BYTES: usize = 256;
/// The key that stands in base64 behind `whsec_`, in bytes (Standard Webhooks 1.0, "Signature
/// scheme": "between 24 bytes (192 bits) and 64 bytes (512 bits)").
pub const STANDARD_KEY_BYTES: RangeInclusive<usize> = 24..=64;
/// An event's `data`, in bytes of JSON text.
pub const MAX_DATA_BYTES: usize = 256 * 1024;
/// The levels of objects and arrays in what a receiver is sent, itself included: some stop there
/// (System.Text.Json unless told otherwise).
pub const MAX_PAYLOAD_DEPTH: usize = 64;
/// The same in an event's `data`, so that every format can put a few around it.
pub const MAX_DATA_DEPTH: usize = MAX_PAYLOAD_DEPTH - 4;
/// The template of an endpoint's custom payload format, in bytes.
pub const MAX_TEMPLATE_BYTES: usize = 16 * 1024;
/// PagerDuty's routing key, in characters.
pub const ROUTING_KEY_CHARS: usize = 32;
/// The values in an event's `data` when it is given as a structure: in JSON each takes two bytes.
pub const MAX_DATA_VALUES: usize = MAX_DATA_BYTES / 2;
/// An idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// An organization's notification channels.
pub const MAX_CHANNELS: u64 = 50;
/// The endpoints that a channel can be limited to.
pub const MAX_CHANNEL_ENDPOINTS: usize = 100;
/// The recipients of an e-mail channel; see also [`crate::mail_limits`].
pub const MAX_RECIPIENTS: usize = 20;
/// The event types of a request, repetitions counted. There are fewer.
pub const MAX_EVENT_TYPES: usize = 100;
/// The types of notifications that a channel's request names, repetitions counted. There are fewer.
pub const MAX_SUBSCRIPTIONS: usize = 100;
/// The fields that an update's mask names, repetitions counted. There are fewer.
pub const MAX_MASK_PATHS: usize = 100;
/// The events of one PublishEvents call.
pub const MAX_EVENTS_PER_BATCH: usize = 1_000;
/// How long an old secret may go on signing beside the new one.
pub const MAX_ROTATION_OVERLAP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long it does unless the request says otherwise.
pub const DEFAULT_ROTATION_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);
/// The retries of a schedule.
pub const MAX_RETRIES: usize = 32;
/// The longest wait of a retry schedule.
pub const MAX_RETRY_DELAY: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long one answer may keep an endpoint's other deliveries waiting.
pub const MAX_ENDPOINT_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long a key is valid that does not last for ever.
pub const MIN_KEY_LIFE: Duration = Duration::from_secs(60);
/// How long at the most: 10 years.
pub const MAX_KEY_LIFE: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);
/// How long a session lasts at the least.
pub const MIN_SESSION_LIFE: Duration = Duration::from_secs(60);
/// How long a session lasts unless the request says otherwise.
pub const DEFAULT_SESSION_LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session lasts at the most.
pub const MAX_SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// What a web token calls its subject is cut to so many characters in the audit trail.
pub const MAX_ACTOR_CHARS: usize = 200;
/// How many deliveries a second a replay schedules unless the request says otherwise.
pub const DEFAULT_REPLAY_RATE: u32 = 100;
/// How many at the most.
pub const MAX_REPLAY_RATE: u32 = 5_000;
/// How many deliveries of a replay are counted beforehand; beyond that there are just more.
pub const MAX_REPLAY_COUNT: u64 = 100_000;
/// How many missed events, attempts or events are looked at for that, whether the replay is about
/// them or not.
pub const MAX_REPLAY_ROWS_COUNTED: usize = 500_000;
/// The replays of an organization that may be running.
pub const MAX_RUNNING_REPLAYS: usize = 10;
