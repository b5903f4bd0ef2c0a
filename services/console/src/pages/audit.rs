//! The audit trail, for the organization's admins: a page, and a CSV file.

mod csv;

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use keeptrusts_webhooks_contracts::v1;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::error_page::ErrorPage;
use crate::view::SelectOption;
use crate::view::audit::{AuditFilter, AuditRow};
use crate::view::frame::{Frame, Section};
use crate::view::paging::Paging;

const PAGE_SIZE: i32 = 25;
/// Entries of one file.
const MAX_EXPORTED: usize = 100_000;
const EXPORT_PAGE_SIZE: i32 = 1_000;
/// How often in a row the services may refuse a page before a file breaks off, and the wait between
/// attempts.
const MAX_REFUSALS: usize = 6;
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Pieces of a file that a slow browser may lag before the services are asked for more.
const WAITING_PIECES: usize = 1;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<AuditRow>,
    filter: AuditFilter,
    actions: Vec<SelectOption>,
    paging: Paging,
}

pub(crate) async fn list(visit: Visit, Parameters(filter): Parameters<AuditFilter>) -> Page {
    let listed = visit.organization().audit_entries(filter.entries(PAGE_SIZE)).await?;
    render(&AuditPage {
        frame: visit.frame(Section::Audit),
        rows: listed.entries.into_iter().map(AuditRow::of).collect(),
        actions: filter.action_choices(),
        paging: Paging::new(
            "/audit",
            &filter.parameters(),
            &filter.position(),
            &listed.next_page_token,
            "",
        ),
        filter,
    })
}

/// The newest entries that the filter admits, as CSV (RFC 4180).
pub(crate) async fn export(visit: Visit, Parameters(filter): Parameters<AuditFilter>) -> Page {
    // A file cannot show an error, and nobody would notice that the filter was ignored.
    if filter.complaint().is_some() {
        return Err(ErrorPage::Unreadable);
    }
    let filter = AuditFilter { page: String::new(), ..filter };
    // Read before anything is sent, so that an error at the beginning is an error page.
    let first = visit.organization().audit_entries(filter.entries(EXPORT_PAGE_SIZE)).await?;
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    tokio::spawn({
        let visit = visit.clone();
        async move { send(&visit, &filter, first, sender).await }
    });
    let name = format!("audit-{}.csv", visit.visitor().organization);
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

/// Sends page after page, as fast as the browser reads. If a page cannot be read, the transfer
/// breaks off, so that nobody takes the file for complete.
async fn send(
    visit: &Visit,
    filter: &AuditFilter,
    first: v1::ListAuditEntriesResponse,
    pieces: mpsc::Sender<Result<Bytes, csv::ExportError>>,
) {
    let organization = visit.organization();
    let mut listed = first;
    let mut sent = 0;
    let mut is_first = true;
    loop {
        listed.entries.truncate(MAX_EXPORTED - sent);
        sent += listed.entries.len();
        let piece = csv::written(&listed.entries, is_first).and_then(|piece| {
            let counted =
                visit.app().response_memory.hold_bytes(&visit.visitor().organization, piece.into());
            counted.map_err(|_| csv::ExportError::BrokenOff)
        });
        is_first = false;
        let failed = piece.is_err();
        // A failed send means that the browser has gone.
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
        if listed.next_page_token.is_empty() || sent >= MAX_EXPORTED {
            return;
        }
        let request = v1::ListAuditEntriesRequest {
            page_token: listed.next_page_token,
            ..filter.entries(EXPORT_PAGE_SIZE)
        };
        let mut refusals = 0;
        let read = loop {
            match organization.audit_entries(request.clone()).await {
                // Long reads take turns, and the organization has others.
                Err(status)
                    if status.code() == Code::ResourceExhausted && refusals < MAX_REFUSALS =>
                {
                    refusals += 1;
                    sleep(RETRY_DELAY).await;
                }
                read => break read,
            }
        };
        listed = match read {
            Ok(listed) => listed,
            Err(status) => {
                tracing::warn!(code = ?status.code(), "an export of the audit trail broke off");
                // As above.
                let _ = pieces.send(Err(csv::ExportError::BrokenOff)).await;
                return;
            }
        };
    }
}
