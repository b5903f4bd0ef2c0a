//! `ktw watch`.

use std::pin::pin;

use clap::Args;
use futures_util::TryStreamExt;
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::output::{Column, Kind, View, message};
use crate::session::Session;

const VIEW: View = View {
    message: "WatchDeliveriesResponse",
    plural: "changes",
    id: "delivery.id",
    columns: &[
        Column::new("TIME", "attempt.start_time", Kind::Time),
        Column::new("DELIVERY", "delivery.id", Kind::Text),
        Column::new("STATE", "delivery.state", Kind::Enum),
        Column::new("STATUS", "attempt.status_code", Kind::Text),
        Column::new("TOOK", "attempt.duration", Kind::Duration),
        Column::new("TYPE", "delivery.event_type", Kind::Text),
        Column::new("ENDPOINT", "delivery.endpoint_id", Kind::Text),
        Column::new("ERROR", "attempt.error", Kind::Text),
    ],
};

/// Shows deliveries as they happen, until it is interrupted. If the connection is lost, it is made again
/// and nothing is missed.
#[derive(Args)]
pub(crate) struct Watch {
    /// Only to this endpoint; may be repeated.
    #[arg(long, value_name = "ENDPOINT")]
    endpoint: Vec<String>,
}

impl Watch {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let request = v1::WatchDeliveriesRequest {
            organization_id: session.organization().await?,
            endpoint_ids: self.endpoint,
            ..Default::default()
        };
        // A watch waits for a server that is away: at its beginning it should be there.
        session.caller().await?;
        let mut changes = pin!(session.client.watch(request));
        if session.output.is_for_people() {
            message("Waiting for deliveries. Ctrl+C ends it.");
        }
        let mut is_first = true;
        loop {
            let change = tokio::select! {
                change = changes.try_next() => change?,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            let Some(change) = change else { return Ok(()) };
            let item = to_json("WatchDeliveriesResponse", &change);
            session.output.item(&VIEW, &item, is_first)?;
            is_first = false;
        }
    }
}
