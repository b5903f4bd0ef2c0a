//! Follows deliveries, also across restarts of the server.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::pin::pin;

use futures_util::TryStreamExt;
use keeptrusts_webhooks_client::{Client, v1};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder_from_env().build()?;
    let organization_id = "default".to_owned();
    let request = v1::WatchDeliveriesRequest { organization_id, ..Default::default() };
    let mut changes = pin!(client.watch(request));
    while let Some(change) = changes.try_next().await? {
        let delivery = change.delivery.unwrap_or_default();
        println!("{} {} {:?}", delivery.id, delivery.event_type, delivery.state());
    }
    Ok(())
}
