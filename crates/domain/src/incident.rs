//! Incidents: a service such as PagerDuty keeps one open for an endpoint, from the first message about
//! a problem until a message closes it.
//!
//! An incident is three positions of the log, which has one order. They say what opened the incident,
//! what ends it, and whether a message that has waited is still true. All three only grow, so an
//! incident is the maximum of what its records say, in whatever batches they are folded.
//!
//! Decision: docs/decisions/an-incident-is-three-positions.md

use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::log::Position;

/// What a notification does with the incident of its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentAction {
    /// Opens the incident, or adds to it.
    Open,
    /// Closes the incident.
    Close,
    /// Closes the incident at the destination where it was opened, because the channel has been
    /// changed or deleted since.
    CloseAt(Box<Destination>),
}

/// The incident of an endpoint at a channel's service, as far as the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incident {
    /// The last record of a problem that a message to the service is about. 0: none.
    pub opened: Position,
    /// The last record that ended the problem. 0: none.
    pub closing: Position,
    /// The last record that ended the problem and of which the service was notified. 0: none.
    pub closed: Position,
}

impl Incident {
    /// A message about the problem at `cause` is to be sent.
    pub fn opened(cause: Position) -> Incident {
        Incident { opened: cause, ..Incident::default() }
    }

    /// A message about the end of the problem at `cause` is to be sent.
    pub fn closing(cause: Position) -> Incident {
        Incident { closing: cause, ..Incident::default() }
    }

    /// The message about the end of the problem at `cause` was sent.
    pub fn closed(cause: Position) -> Incident {
        Incident { closed: cause, ..Incident::default() }
    }

    /// Adds what other records say.
    pub fn merge(&mut self, other: Incident) {
        self.opened = self.opened.max(other.opened);
        self.closing = self.closing.max(other.closing);
        self.closed = self.closed.max(other.closed);
    }

    /// Whether the service may have the incident open: a message about a problem is to be sent or was
    /// sent, and none about its end was sent since.
    pub fn is_open(&self) -> bool {
        self.opened > self.closed
    }

    /// Whether a message about the problem at `cause` is still true: the problem has not ended since.
    pub fn may_be_opened_by(&self, cause: Position) -> bool {
        cause > self.closing
    }

    /// Whether a message about the end at `cause` is to be sent: the incident is open, and there is no
    /// newer problem.
    pub fn may_be_closed_by(&self, cause: Position) -> bool {
        self.is_open() && cause > self.opened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(parts: &[Incident]) -> Incident {
        let mut incident = Incident::default();
        parts.iter().for_each(|part| incident.merge(*part));
        incident
    }

    #[test]
    fn an_incident_is_open_until_the_message_about_its_end_was_sent() {
        let [problem, end] = [Position(5), Position(7)];
        let opened = merged(&[Incident::opened(problem)]);
        assert!(opened.is_open() && opened.may_be_opened_by(problem));
        assert!(opened.may_be_closed_by(end));
        let closing = merged(&[opened, Incident::closing(end)]);
        assert!(closing.is_open(), "the message has not been sent yet");
        assert!(!closing.may_be_opened_by(problem), "a message that has waited is too late");
        let closed = merged(&[closing, Incident::closed(end)]);
        assert!(!closed.is_open() && !closed.may_be_closed_by(end));
        assert!(!Incident::default().may_be_closed_by(end), "there was nothing to close");
    }

    #[test]
    fn the_end_of_an_old_problem_does_not_close_a_new_one() {
        let [old, end, new] = [Position(5), Position(7), Position(9)];
        // The new problem is recorded before the message about the end is sent.
        let parts = [Incident::opened(old), Incident::closing(end), Incident::opened(new)];
        let both = merged(&parts);
        assert!(!both.may_be_closed_by(end) && both.may_be_opened_by(new));
        let sent = merged(&[both, Incident::closed(end)]);
        assert!(sent.is_open() && sent.may_be_closed_by(Position(11)));
    }

    #[test]
    fn an_incident_does_not_depend_on_the_batches_in_which_records_are_folded() {
        let parts = [
            Incident::opened(Position(5)),
            Incident::closing(Position(7)),
            Incident::opened(Position(9)),
            Incident::closed(Position(7)),
        ];
        let reversed: Vec<_> = parts.iter().rev().copied().collect();
        let halves = [merged(&parts[..2]), merged(&parts[2..])];
        assert_eq!(merged(&parts), merged(&reversed));
        assert_eq!(merged(&parts), merged(&halves));
    }
}
