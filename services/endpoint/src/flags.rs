//! The flags of the endpoint service.

use clap::Args;
use keeptrusts_webhooks_process::flags::whole_number;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct EndpointFlags {
    /// How many endpoints an organization may have.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 1_000,
        value_parser = whole_number::<u32>(1..)
    )]
    pub max_endpoints_per_organization: u32,
}
