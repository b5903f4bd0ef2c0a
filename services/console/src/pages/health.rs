//! Health: how a week went for all endpoints, the worst first.

use askama::Template;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use keeptrusts_webhooks_contracts::time::{timestamp_from_proto, timestamp_to_proto};
use serde::Deserialize;

use super::page::{Page, render};
use super::query::Parameters;
use super::visit::Visit;
use crate::view::frame::{Frame, Section};
use crate::view::health::{HealthRow, TallyView};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WeekQuery {
    /// A day of the week, such as `2026-04-23`. Anything else: the last full week.
    week: String,
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    week: Week,
    total: TallyView,
    rows: Vec<HealthRow>,
    /// Endpoints that had attempts and are not among the rows.
    others: i32,
}

pub(crate) async fn show(visit: Visit, Parameters(query): Parameters<WeekQuery>) -> Page {
    let day = query.week.parse::<Date>().ok();
    let time = day.and_then(|day| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp()));
    let summary = visit.organization().health_summary(time.map(timestamp_to_proto)).await?;
    let start = summary.start_time.as_ref().and_then(timestamp_from_proto).unwrap_or_default();
    let rows: Vec<_> = summary.endpoints.iter().map(HealthRow::of).collect();
    render(&HealthPage {
        frame: visit.frame(Section::Health),
        week: Week::beginning(start, Timestamp::now()),
        total: TallyView::of(&summary.total.unwrap_or_default()),
        others: summary.endpoint_count - rows.len() as i32,
        rows,
    })
}

/// The week that is shown, and the weeks beside it.
#[derive(Debug, PartialEq, Eq)]
struct Week {
    /// Monday and Sunday.
    days: [Date; 2],
    is_over: bool,
    before: Date,
    /// None: it has not begun.
    after: Option<Date>,
}

impl Week {
    fn beginning(start: Timestamp, now: Timestamp) -> Week {
        let monday = start.to_zoned(TimeZone::UTC).date();
        let today = now.to_zoned(TimeZone::UTC).date();
        let after = monday.saturating_add(1.week());
        Week {
            days: [monday, monday.saturating_add(6.days())],
            is_over: after <= today,
            before: monday.saturating_sub(1.week()),
            after: Some(after).filter(|after| *after <= today),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_can_be_leafed_through_up_to_the_current_one() {
        let now: Timestamp = "2026-04-23T10:30:00Z".parse().expect("a time");
        let day = |text: &str| text.parse::<Date>().expect("a day");
        let current = Week::beginning("2026-04-20T00:00:00Z".parse().expect("a time"), now);
        assert_eq!(current.days, [day("2026-04-20"), day("2026-04-26")]);
        assert_eq!((current.is_over, current.after), (false, None));
        let last = Week::beginning("2026-04-13T00:00:00Z".parse().expect("a time"), now);
        assert_eq!((last.is_over, last.after), (true, Some(day("2026-04-20"))));
        assert_eq!(last.before, day("2026-04-06"));
    }
}
