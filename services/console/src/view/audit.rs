//! The audit trail: its entries and its filter.

use keeptrusts_webhooks_contracts::v1;
use keeptrusts_webhooks_domain::audit::AuditAction;
use keeptrusts_webhooks_domain::ids::EndpointId;
use serde::Deserialize;

use super::SelectOption;
use super::audit_change::ChangeView;
use super::filter::{interval, interval_complaint};
use super::paging::{PagePosition, address};
use super::time::Moment;

/// The filter in the page's address.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AuditFilter {
    pub(crate) action: String,
    pub(crate) actor: String,
    pub(crate) endpoint: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) page: String,
    pub(crate) trail: String,
}

impl AuditFilter {
    pub(crate) fn position(&self) -> PagePosition {
        PagePosition { page: self.page.clone(), trail: self.trail.clone() }
    }

    /// What the links to other pages, and to the export, keep.
    pub(crate) fn parameters(&self) -> [(&'static str, &str); 5] {
        [
            ("action", &self.action),
            ("actor", &self.actor),
            ("endpoint", &self.endpoint),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    pub(crate) fn is_filtered(&self) -> bool {
        self.parameters().iter().any(|(_, value)| !value.is_empty())
    }

    /// The address of the same entries as a file.
    pub(crate) fn export_address(&self) -> String {
        address("/audit.csv", self.parameters())
    }

    /// What cannot be read in the filter, for the person who typed it. Such a value filters
    /// nothing.
    pub(crate) fn complaint(&self) -> Option<&'static str> {
        if !self.action.is_empty() && self.chosen_action().is_none() {
            return Some("There is no such action.");
        }
        if !self.endpoint.is_empty() && self.endpoint_id().is_none() {
            return Some("An endpoint's id is ep_ and 26 letters and digits.");
        }
        interval_complaint(&self.from, &self.to)
    }

    pub(crate) fn entries(&self, page_size: i32) -> v1::ListAuditEntriesRequest {
        let (start_time, end_time) = interval(&self.from, &self.to);
        let action = self.chosen_action().map(v1::AuditAction::from);
        v1::ListAuditEntriesRequest {
            page_size,
            page_token: self.page.clone(),
            actions: action.map(i32::from).into_iter().collect(),
            actor: self.actor.trim().to_owned(),
            endpoint_ids: self.endpoint_id().map(|id| id.to_string()).into_iter().collect(),
            start_time,
            end_time,
            ..Default::default()
        }
    }

    pub(crate) fn action_choices(&self) -> Vec<SelectOption> {
        let all = SelectOption::new("", "All actions", &self.action);
        let actions = AuditAction::ALL
            .iter()
            .map(|action| SelectOption::new(action.name(), &action_name(*action), &self.action));
        [all].into_iter().chain(actions).collect()
    }

    fn chosen_action(&self) -> Option<AuditAction> {
        AuditAction::ALL.iter().copied().find(|action| action.name() == self.action)
    }

    fn endpoint_id(&self) -> Option<EndpointId> {
        self.endpoint.trim().parse().ok()
    }
}

/// An action for people: `Endpoint created` for `endpoint.created`.
fn action_name(action: AuditAction) -> String {
    let name = action.name().replace(['.', '_'], " ");
    let mut characters = name.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

/// An entry on the page.
pub(crate) struct AuditRow {
    pub(crate) id: String,
    pub(crate) time: Option<Moment>,
    pub(crate) what: String,
    pub(crate) actor: String,
    /// A service has no other name.
    pub(crate) actor_name: String,
    pub(crate) address: String,
    pub(crate) endpoint_id: String,
    pub(crate) delivery_id: String,
    pub(crate) event_id: String,
    pub(crate) key_id: String,
    pub(crate) replay_id: String,
    pub(crate) channel_id: String,
    pub(crate) changes: Vec<ChangeView>,
}

impl AuditRow {
    pub(crate) fn of(entry: v1::AuditEntry) -> AuditRow {
        let action = Option::<AuditAction>::from(entry.action());
        AuditRow {
            what: action.map_or_else(|| "Unknown".to_owned(), action_name),
            time: Moment::of(entry.create_time.as_ref()),
            id: entry.id,
            actor: entry.actor,
            actor_name: entry.actor_name,
            address: entry.address,
            endpoint_id: entry.endpoint_id,
            delivery_id: entry.delivery_id,
            event_id: entry.event_id,
            key_id: entry.key_id,
            replay_id: entry.replay_id,
            channel_id: entry.channel_id,
            changes: entry.changes.into_iter().map(ChangeView::of).collect(),
        }
    }

    /// The address of everything that the same actor has done.
    pub(crate) fn same_actor(&self) -> String {
        address("/audit", [("actor", self.actor.as_str())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_asks_for_what_its_address_says() {
        let id = "ep_01KPX3Z9R9Q5C3W6M4T8N2B7A0";
        let filter = AuditFilter {
            action: "endpoint.updated".to_owned(),
            actor: " key_1 ".to_owned(),
            endpoint: id.to_owned(),
            from: "2026-04-23T10:30".to_owned(),
            ..AuditFilter::default()
        };
        assert_eq!(filter.complaint(), None);
        let asked = filter.entries(50);
        assert_eq!(asked.actions().next(), Some(v1::AuditAction::EndpointUpdated));
        assert_eq!((asked.actor.as_str(), asked.endpoint_ids[0].as_str()), ("key_1", id));
        assert!(asked.start_time.is_some() && asked.end_time.is_none());
        let export = filter.export_address();
        assert!(export.starts_with("/audit.csv?action=endpoint.updated&actor="), "{export}");
    }

    #[test]
    fn invalid_filters_are_reported() {
        let none = AuditFilter::default();
        assert_eq!((none.complaint(), none.is_filtered()), (None, false));
        for filter in [
            AuditFilter { action: "endpoint.stolen".to_owned(), ..none.clone() },
            AuditFilter { endpoint: "siem".to_owned(), ..none.clone() },
            AuditFilter { from: "soon".to_owned(), ..none.clone() },
        ] {
            assert!(filter.complaint().is_some() && filter.is_filtered(), "{filter:?}");
            let asked = filter.entries(1);
            assert_eq!(asked, none.entries(1));
        }
    }

    #[test]
    fn actions_are_called_in_words() {
        assert_eq!(action_name(AuditAction::EndpointCreated), "Endpoint created");
        assert_eq!(action_name(AuditAction::MasterKeyRotated), "Master key rotated");
        assert_eq!(none_chosen().len(), AuditAction::ALL.len() + 1);
    }

    fn none_chosen() -> Vec<SelectOption> {
        AuditFilter::default().action_choices()
    }
}
