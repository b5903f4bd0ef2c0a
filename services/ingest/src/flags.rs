//! The flags of the ingest service.

use std::num::NonZeroU32;

use clap::Args;
use keeptrusts_webhooks_process::flags::positive_number;

/// A smaller quota would refuse a whole batch for ever.
const LARGEST_BATCH: u32 = 1_000;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct IngestFlags {
    /// How many events a second an organization may publish to this process, and as many at once;
    /// more are answered RESOURCE_EXHAUSTED. At least 1000, so that a whole batch fits.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value = "20000",
        value_parser = positive_number(LARGEST_BATCH)
    )]
    pub publish_quota: NonZeroU32,
}
