//! Prints the delivery log as it grows, and the summary at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use keeptrusts_webhooks_contracts::api::next_shown;
use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_contracts::v1::{attempt, delivery};
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_telemetry::print_stdout;
use tonic::Streaming;

use super::receiver::ReceiverReport;

pub(super) struct ExpectedCounts {
    pub(super) deliveries: usize,
    pub(super) failures: usize,
}

#[derive(Default)]
pub(super) struct DeliveryLog {
    /// The state of each delivery.
    states: BTreeMap<String, delivery::State>,
    /// The durations of the attempts that delivered.
    durations: Vec<Duration>,
    retrying: usize,
    failed: usize,
}

impl DeliveryLog {
    pub(super) fn start() -> DeliveryLog {
        print_stdout!(
            "{:<26}{:<22}{:>11}{:>10}  Outcome",
            "Timestamp",
            "Event",
            "Status Code",
            "Duration"
        );
        DeliveryLog::default()
    }

    /// Prints attempts as they are committed, until every delivery has ended.
    pub(super) async fn follow(
        &mut self,
        mut changes: Streaming<v1::WatchDeliveriesResponse>,
        expected: &ExpectedCounts,
    ) -> Result<(), Failure> {
        loop {
            let change = next_shown(&mut changes).await?.ok_or("the stream of deliveries ended")?;
            let delivery = change.delivery.ok_or("no delivery in the change")?;
            self.states.insert(delivery.id.clone(), delivery.state());
            if let Some(attempt) = change.attempt {
                self.print(&attempt)?;
            }
            let has_ended = |state: &delivery::State| {
                !matches!(
                    state,
                    delivery::State::Scheduled
                        | delivery::State::Retrying
                        | delivery::State::Paused
                )
            };
            if self.states.len() == expected.deliveries && self.states.values().all(has_ended) {
                return Ok(());
            }
        }
    }

    fn print(&mut self, attempt: &v1::Attempt) -> Result<(), Failure> {
        let start = attempt.start_time.ok_or("no start in the attempt")?;
        let start = jiff::Timestamp::new(start.seconds, start.nanos)?;
        let duration = Duration::try_from(attempt.duration.ok_or("no duration in the attempt")?)?;
        let outcome = match attempt.outcome() {
            attempt::Outcome::Delivered => {
                self.durations.push(duration);
                "Delivered".to_owned()
            }
            attempt::Outcome::Retrying => {
                self.retrying += 1;
                format!("Retrying (attempt {} of at most 6)", attempt.number)
            }
            attempt::Outcome::Failed | attempt::Outcome::Unspecified => {
                self.failed += 1;
                format!("Failed: {}", attempt.error)
            }
        };
        print_stdout!(
            "{:<26}{:<22}{:>11}{:>7.1} ms  {outcome}",
            format!("{start:.3}"),
            attempt.event_type,
            attempt.status_code,
            duration.as_secs_f64() * 1e3
        );
        Ok(())
    }

    /// Prints what was delivered, how often and how fast; fails unless it is as expected.
    pub(super) fn conclude(
        mut self,
        expected: &ExpectedCounts,
        receiver: ReceiverReport,
        took: Duration,
    ) -> Result<(), Failure> {
        let delivered = self.states.values().filter(|state| **state == delivery::State::Delivered);
        let delivered = delivered.count();
        self.durations.sort_unstable();
        let median = self.durations.get(self.durations.len() / 2).copied().unwrap_or_default();
        print_stdout!(
            "Delivered       {delivered} of {} ({} events and a test), each once, in {:.1} s with all retries",
            expected.deliveries,
            expected.deliveries - 1,
            took.as_secs_f64()
        );
        print_stdout!(
            "Attempts        {}: {} refused by the receiver on purpose and retried on schedule",
            receiver.requests,
            receiver.failed_on_purpose
        );
        print_stdout!(
            "Duration        median {:.1} ms from request to answer",
            median.as_secs_f64() * 1e3
        );
        print_stdout!(
            "Signatures      {} of {} requests verified by the receiver, both schemes",
            receiver.verified,
            receiver.requests
        );
        let checks = [
            ("every delivery is delivered", delivered == expected.deliveries),
            ("the receiver accepted each once", receiver.accepted == expected.deliveries),
            ("nothing came twice after it was accepted", receiver.duplicates == 0),
            ("every signature was right", receiver.rejected == 0),
            ("every failure was retried", self.retrying == expected.failures && self.failed == 0),
            (
                "there were no other requests",
                receiver.requests == expected.deliveries + expected.failures,
            ),
        ];
        let broken: Vec<_> =
            checks.iter().filter(|(_, held)| !held).map(|(name, _)| *name).collect();
        if broken.is_empty() {
            print_stdout!("All of it held.");
            return Ok(());
        }
        Err(format!("this did not hold: {}", broken.join("; ")).into())
    }
}
