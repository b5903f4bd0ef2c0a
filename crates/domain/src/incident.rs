//! Incidents: what a service such as PagerDuty keeps open of an endpoint, from the first message of
//! trouble until it is told that the trouble is over.
//!
//! Everything is told by positions of the log, which are in one order: what opened an incident,
//! what closes it, and whether a message that has waited still tells of how things stand. All three
//! only ever grow, so that an incident is the maximum of what its records say, in whatever batches
//! they are folded.
//!
//! Decision: docs/decisions/an-incident-is-three-positions.md

use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::log::Position;

/// What a notification does to the incident of its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentAction {
    /// Opens it, or adds to it.
    Open,
    /// Closes it.
    Close,
    /// Closes it where it was opened: the channel leads somewhere else since, or was deleted.
    CloseAt(Box<Destination>),
}

/// The incident of an endpoint at a channel's service, as far as the log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incident {
    /// The last record of trouble that the service is told of. 0: none.
    pub opened: Position,
    /// The last record that ended the trouble. 0: none.
    pub closing: Position,
    /// The last of those that the service was told of. 0: none.
    pub closed: Position,
}

impl Incident {
    /// Trouble is to be told.
    pub fn opened(cause: Position) -> Incident {
        Incident { opened: cause, ..Incident::default() }
    }

    /// Its end is to be told.
    pub fn closing(cause: Position) -> Incident {
        Incident { closing: cause, ..Incident::default() }
    }

    /// Its end was told.
    pub fn closed(cause: Position) -> Incident {
        Incident { closed: cause, ..Incident::default() }
    }

    /// Both of them taken together.
    pub fn merge(&mut self, other: Incident) {
        self.opened = self.opened.max(other.opened);
        self.closing = self.closing.max(other.closing);
        self.closed = self.closed.max(other.closed);
    }

    /// Whether the service may have it open: it was to be told of trouble, and was not told of its
    /// end.
    pub fn is_open(&self) -> bool {
        self.opened > self.closed
    }

    /// Whether a message of trouble at `cause` still tells of how things stand: what has ended since
    /// is not told any more.
    pub fn may_be_opened_by(&self, cause: Position) -> bool {
        cause > self.closing
    }

    /// Whether the end at `cause` is to be told: there is something to close, and nothing new has
    /// happened since.
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
    fn an_incident_is_open_until_its_end_was_told() {
        let [trouble, end] = [Position(5), Position(7)];
        let opened = merged(&[Incident::opened(trouble)]);
        assert!(opened.is_open() && opened.may_be_opened_by(trouble));
        assert!(opened.may_be_closed_by(end));
        let closing = merged(&[opened, Incident::closing(end)]);
        assert!(closing.is_open(), "the service was not told yet");
        assert!(!closing.may_be_opened_by(trouble), "a message that waited is too late");
        let closed = merged(&[closing, Incident::closed(end)]);
        assert!(!closed.is_open() && !closed.may_be_closed_by(end));
        assert!(!Incident::default().may_be_closed_by(end), "there was nothing to close");
    }

    #[test]
    fn new_trouble_is_not_closed_by_the_end_of_the_old_one() {
        let [old, end, new] = [Position(5), Position(7), Position(9)];
        // The end is told when the new trouble is on record already.
        let parts = [Incident::opened(old), Incident::closing(end), Incident::opened(new)];
        let both = merged(&parts);
        assert!(!both.may_be_closed_by(end) && both.may_be_opened_by(new));
        let told = merged(&[both, Incident::closed(end)]);
        assert!(told.is_open() && told.may_be_closed_by(Position(11)));
    }

    #[test]
    fn records_say_the_same_in_whatever_batches_they_are_folded() {
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
