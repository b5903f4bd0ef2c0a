//! The ingest service's flags.

use std::num::NonZeroU32;

use clap::Args;

/// What organizations may do.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct IngestFlags {
    /// How many events a second an organization may publish to this process, and as many at once;
    /// more are answered RESOURCE_EXHAUSTED. At least 1000, so that a whole batch fits.
    #[arg(
        long,
        value_name = "NUMBER",
        env = "KEEPTRUSTS_WEBHOOKS_PUBLISH_QUOTA",
        default_value = "20000",
        value_parser = quota
    )]
    pub publish_quota: NonZeroU32,
}

fn quota(text: &str) -> Result<NonZeroU32, String> {
    let number: Option<u32> = text.parse().ok().filter(|number| *number >= 1_000);
    number.and_then(NonZeroU32::new).ok_or_else(|| "write a number, 1000 or more".to_owned())
}
