//! `ktw deliveries`.

use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::v1;

use crate::descriptors::to_json;
use crate::failure::Failure;
use crate::options::{Between, ListOptions, TypeFilter, value_of};
use crate::output::{Column, Kind, View};
use crate::prompt;
use crate::references::EndpointFilter;
use crate::session::Session;

pub(super) const VIEW: View = View {
    message: "Delivery",
    plural: "deliveries",
    id: "id",
    columns: &[
        Column::new("CREATED", "create_time", Kind::Time),
        Column::new("ID", "id", Kind::Text),
        Column::new("STATE", "state", Kind::Enum),
        Column::new("ATTEMPTS", "attempt_count", Kind::Number),
        Column::new("NEXT ATTEMPT", "next_attempt_time", Kind::Time),
        Column::new("TYPE", "event_type", Kind::Text),
        Column::new("ENDPOINT", "endpoint_id", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists deliveries, the newest first.
    List(List),
    /// Shows a delivery with its attempts.
    Get(One),
    /// Requests another attempt at once, with the same bytes.
    Retry(One),
    /// Cancels a waiting delivery.
    Cancel(Cancel),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    endpoints: EndpointFilter,
    /// Only of this event.
    #[arg(
        id = "event_id",
        long = "event",
        value_name = "EVENT",
        default_value = "",
        hide_default_value = true
    )]
    event: String,
    #[command(flatten)]
    types: TypeFilter,
    /// Only in this state; may be repeated.
    #[arg(id = "states", long = "state", value_name = "STATE", value_parser = value_of("Delivery.State"))]
    states: Vec<i32>,
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    list: ListOptions,
}

#[derive(Args)]
pub(crate) struct One {
    /// The delivery's id.
    #[arg(id = "delivery_id", value_name = "DELIVERY")]
    id: String,
}

#[derive(Args)]
pub(crate) struct Cancel {
    /// The delivery's id.
    #[arg(id = "delivery_id", value_name = "DELIVERY")]
    id: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

impl Command {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        let organization_id = session.organization().await?;
        let delivery = match self {
            Command::List(list) => return list.run(session, organization_id).await,
            Command::Get(One { id: delivery_id }) => {
                let view = v1::DeliveryView::Full.into();
                let request = v1::GetDeliveryRequest { organization_id, delivery_id, view };
                session.client.get_delivery(request).await?.delivery
            }
            Command::Retry(One { id: delivery_id }) => {
                let request =
                    v1::RetryDeliveryRequest { organization_id, delivery_id, ..Default::default() };
                session.client.retry_delivery(request).await?.delivery
            }
            Command::Cancel(Cancel { id: delivery_id, yes }) => {
                if !yes {
                    prompt::confirm(&format!("Cancel the delivery {delivery_id}?"))?;
                }
                let request = v1::CancelDeliveryRequest { organization_id, delivery_id };
                session.client.cancel_delivery(request).await?.delivery
            }
        };
        session.print(&VIEW, &to_json("Delivery", &delivery.unwrap_or_default())).await
    }
}

impl List {
    async fn run(self, session: &Session, organization_id: String) -> Result<(), Failure> {
        let (start_time, end_time) = self.between.resolve(&session.output.zone)?;
        let request = v1::ListDeliveriesRequest {
            organization_id,
            endpoint_ids: self.endpoints.ids(session).await?,
            event_id: self.event,
            event_types: self.types.event_types,
            states: self.states,
            start_time,
            end_time,
            view: v1::DeliveryView::Basic.into(),
            page_size: self.list.page_size(),
            ..Default::default()
        };

        session.list(&VIEW, self.list.limit(), request).await
    }
}
