//! Creates an endpoint, and lists all of them.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::pin::pin;

use futures_util::TryStreamExt;
use keeptrusts_webhooks_client::{Client, v1};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder_from_env().build()?;
    let organization_id = "default".to_owned();
    let endpoint = v1::Endpoint {
        display_name: "siem".to_owned(),
        url: "https://siem.example.com/webhooks".to_owned(),
        event_types: vec!["policy.violation".to_owned()],
        ..Default::default()
    };
    let request = v1::CreateEndpointRequest {
        organization_id: organization_id.clone(),
        endpoint: Some(endpoint),
        ..Default::default()
    };
    println!("its secret is {}", client.create_endpoint(request).await?.secret);

    let request = v1::ListEndpointsRequest { organization_id, ..Default::default() };
    let mut endpoints = pin!(client.items(request));
    while let Some(endpoint) = endpoints.try_next().await? {
        println!("{} {}", endpoint.id, endpoint.url);
    }
    Ok(())
}
