//! Publishes an event, and goes on trying if the server is away. KEEPTRUSTS_WEBHOOKS_ADDRESS and
//! KEEPTRUSTS_WEBHOOKS_API_KEY say where and as whom.

#![allow(clippy::print_stdout, reason = "an example prints")]

use keeptrusts_webhooks_client::{Client, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder_from_env().build()?;
    let event = Event::new("default", "policy.violation", r#"{"policy": "no-customer-data"}"#);
    println!("published {}", client.publish(event).await?.event_id);
    Ok(())
}
