//! Publishes 10,000 events over one stream, and waits until all are durable.

#![allow(clippy::print_stdout, reason = "an example prints")]

use futures_util::future::try_join_all;
use keeptrusts_webhooks_client::{Client, Event};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder_from_env().build()?;
    let publisher = client.event_publisher("default").start();
    let mut acknowledgements = Vec::new();
    for number in 0..10_000 {
        let event = Event::new("default", "export.completed", format!(r#"{{"export": {number}}}"#));
        acknowledgements.push(publisher.publish(event).await?);
    }
    println!("{} events are durable", try_join_all(acknowledgements).await?.len());
    Ok(publisher.close().await?)
}
