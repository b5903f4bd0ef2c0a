//! `ktw test`.

use clap::Args;
use keeptrusts_webhooks_client::v1;

use super::attempts;
use crate::completion;
use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::references::EndpointArgument;
use crate::session::Session;

/// Sends a test to an endpoint and shows the outcome.
///
/// That is the request and the response. A test is never retried and changes no statistics. The exit status
/// is 9 if the receiver did not answer 2xx.
#[derive(Args)]
pub(crate) struct Test {
    #[command(flatten)]
    endpoint: EndpointArgument,
    /// Send the sample data of this type instead of `webhook.test`.
    #[arg(long = "type", value_name = "TYPE", default_value = "", hide_default_value = true, add = completion::event_types())]
    event_type: String,
}

impl Test {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = v1::SendTestRequest {
            organization_id: session.organization().await?,
            endpoint_id: self.endpoint.id(session).await?,
            event_type: self.event_type,
            ..Default::default()
        };
        let response = session.client.send_test(request).await?;
        let attempt = response.attempt.unwrap_or_default();
        session.print(&attempts::VIEW, &to_json("Attempt", &attempt)).await?;
        match attempt.outcome() {
            v1::attempt::Outcome::Delivered => Ok(()),
            _ => Err(Failure::Check(format!("the test was not delivered: {}", attempt.error))),
        }
    }
}
