//! Filters by effective states.
//!
//! An effective state follows from a row's stored state and from whether its endpoint is one of a few
//! exceptional ones: those that are failing, or those that are disabled. An organization has few of
//! either. So they are read first, and the statement of the list gets their ids: what the filter lets
//! through and what is shown is decided by the same ids.
//!
//! Decision: docs/decisions/effective-states-are-computed-when-read.md

use keeptrusts_webhooks_domain::delivery::{DeliveryState, EffectiveDeliveryState};
use keeptrusts_webhooks_domain::endpoint::{EffectiveEndpointState, EndpointState};
use keeptrusts_webhooks_domain::ids::EndpointId;

use super::selection::Condition;
use crate::tables::Cell;

/// The stored states that a filter by effective states lets through. By default: all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFilter<State>(Option<Admitted<State>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Admitted<State> {
    /// The states that are let through whatever the endpoint.
    anywhere: Vec<State>,
    /// Those that are let through unless the endpoint is exceptional.
    ordinary: Vec<State>,
    /// Those that are let through if the endpoint is exceptional.
    exceptional: Vec<State>,
    /// The exceptional endpoints.
    endpoints: Vec<EndpointId>,
}

impl<State> Default for StateFilter<State> {
    fn default() -> StateFilter<State> {
        StateFilter(None)
    }
}

impl StateFilter<EndpointState> {
    /// Endpoints in one of these states; none: in any. `failing` are the endpoints that only fail.
    pub fn of_endpoints(
        states: &[EffectiveEndpointState],
        failing: impl IntoIterator<Item = EndpointId>,
    ) -> StateFilter<EndpointState> {
        let wanted = |state: EndpointState, fails| states.contains(&state.effective(fails));
        StateFilter::new(states.is_empty(), EndpointState::ALL, wanted, failing)
    }
}

impl StateFilter<DeliveryState> {
    /// Deliveries in one of these states; none: in any. `disabled` are the disabled endpoints.
    pub fn of_deliveries(
        states: &[EffectiveDeliveryState],
        disabled: impl IntoIterator<Item = EndpointId>,
    ) -> StateFilter<DeliveryState> {
        let wanted = |state: DeliveryState, waits| states.contains(&state.effective(waits));
        StateFilter::new(states.is_empty(), DeliveryState::ALL, wanted, disabled)
    }
}

impl<State: Copy + PartialEq> StateFilter<State> {
    /// `wanted` says of a stored state whether it is let through, and gets whether the endpoint is
    /// exceptional.
    fn new(
        is_all: bool,
        all: &[State],
        wanted: impl Fn(State, bool) -> bool,
        exceptional: impl IntoIterator<Item = EndpointId>,
    ) -> StateFilter<State> {
        let endpoints: Vec<_> = exceptional.into_iter().collect();
        let such = |ordinary: bool, exceptional: bool| {
            let wanted = |state: &State| {
                // Without exceptional endpoints it does not matter what would be let through there.
                let there = match endpoints.is_empty() {
                    true => wanted(*state, false),
                    false => wanted(*state, true),
                };
                (wanted(*state, false), there) == (ordinary, exceptional)
            };
            all.iter().copied().filter(wanted).collect()
        };
        StateFilter((!is_all).then(|| Admitted {
            anywhere: such(true, true),
            ordinary: such(true, false),
            exceptional: such(false, true),
            endpoints: endpoints.clone(),
        }))
    }

    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it lets nothing through: what is asked for exists at exceptional endpoints only, and
    /// there are none.
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.as_ref().is_some_and(|Admitted { anywhere, ordinary, exceptional, .. }| {
            anywhere.is_empty() && ordinary.is_empty() && exceptional.is_empty()
        })
    }

    /// Whether a row passes the filter.
    #[cfg(test)]
    pub(crate) fn admits(&self, state: State, endpoint: EndpointId) -> bool {
        self.0.as_ref().is_none_or(|admitted| {
            let there = match admitted.endpoints.contains(&endpoint) {
                true => &admitted.exceptional,
                false => &admitted.ordinary,
            };
            admitted.anywhere.contains(&state) || there.contains(&state)
        })
    }

    /// The conditions on the columns `state` and `endpoint_id`, of which a row has to meet all of a
    /// group. None: every row passes.
    pub(crate) fn conditions(
        &self,
        name: impl Fn(State) -> &'static str,
    ) -> Option<Vec<Vec<Condition>>> {
        let Admitted { anywhere, ordinary, exceptional, endpoints } = self.0.as_ref()?;
        let state_of = |states: &[State]| {
            let names = states.iter().map(|state| Cell::from(name(*state)));
            Condition::one_of("state", names)
        };
        let endpoint = |is_among| Condition::Among {
            column: "endpoint_id",
            is_among,
            texts: endpoints.iter().map(ToString::to_string).collect(),
        };
        let mut groups = Vec::new();
        groups.extend(state_of(anywhere).map(|state| vec![state]));
        groups.extend(state_of(ordinary).map(|state| vec![state, endpoint(false)]));
        groups.extend(state_of(exceptional).map(|state| vec![state, endpoint(true)]));
        Some(groups)
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    const ORDINARY: EndpointId = EndpointId::MIN;

    fn exceptional() -> EndpointId {
        EndpointId::new(Ulid(1))
    }

    /// Every set of values.
    fn subsets<T: Copy>(values: &[T]) -> impl Iterator<Item = Vec<T>> {
        (0..1_u32 << values.len()).map(move |set| {
            let chosen = values.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            chosen.map(|(_, value)| *value).collect()
        })
    }

    #[test]
    fn a_row_passes_if_and_only_if_its_effective_state_is_wanted() {
        use EffectiveEndpointState::{Active, Degraded, Disabled, Failing};
        for wanted in subsets(&[Active, Failing, Degraded, Disabled]) {
            let filter = StateFilter::of_endpoints(&wanted, [exceptional()]);
            for state in EndpointState::ALL {
                for (endpoint, is_failing) in [(ORDINARY, false), (exceptional(), true)] {
                    let expected =
                        wanted.is_empty() || wanted.contains(&state.effective(is_failing));
                    assert_eq!(filter.admits(*state, endpoint), expected, "{wanted:?} {state:?}");
                }
            }
        }
        use EffectiveDeliveryState::{Cancelled, Delivered, Failed, Paused, Retrying, Scheduled};
        for wanted in subsets(&[Scheduled, Retrying, Paused, Delivered, Failed, Cancelled]) {
            let filter = StateFilter::of_deliveries(&wanted, [exceptional()]);
            for state in DeliveryState::ALL {
                for (endpoint, is_disabled) in [(ORDINARY, false), (exceptional(), true)] {
                    let expected =
                        wanted.is_empty() || wanted.contains(&state.effective(is_disabled));
                    assert_eq!(filter.admits(*state, endpoint), expected, "{wanted:?} {state:?}");
                }
            }
        }
    }

    #[test]
    fn a_statement_gets_the_ids_only_if_they_matter() {
        let groups = |wanted: &[EffectiveDeliveryState], disabled: &[EndpointId]| {
            let filter = StateFilter::of_deliveries(wanted, disabled.iter().copied());
            filter.conditions(DeliveryState::name)
        };
        let state = |names: &[&'static str]| {
            Condition::one_of("state", names.iter().map(|name| Cell::from(*name))).expect("some")
        };
        let among = |is_among| Condition::Among {
            column: "endpoint_id",
            is_among,
            texts: vec![exceptional().to_string()],
        };
        use EffectiveDeliveryState::{Failed, Paused, Retrying, Scheduled};
        let some = &[exceptional()];
        assert_eq!(groups(&[], some), None);
        assert_eq!(groups(&[Failed], some), Some(vec![vec![state(&["failed"])]]));
        assert_eq!(groups(&[Scheduled], &[]), Some(vec![vec![state(&["scheduled"])]]));
        assert_eq!(
            groups(&[Scheduled, Retrying, Paused], some),
            Some(vec![vec![state(&["scheduled", "retrying"])]])
        );
        assert_eq!(
            groups(&[Failed, Scheduled, Paused], some),
            Some(vec![
                vec![state(&["scheduled", "failed"])],
                vec![state(&["retrying"]), among(true)],
            ])
        );
        assert_eq!(groups(&[Retrying], some), Some(vec![vec![state(&["retrying"]), among(false)]]));
    }

    #[test]
    fn nothing_is_paused_without_disabled_endpoints() {
        let paused = |disabled: Option<EndpointId>| {
            StateFilter::of_deliveries(&[EffectiveDeliveryState::Paused], disabled)
        };
        assert!(paused(None).is_nothing());
        assert!(!paused(Some(ORDINARY)).is_nothing());
        assert!(!StateFilter::<DeliveryState>::default().is_nothing());
        assert!(StateFilter::<DeliveryState>::default().is_all());
        assert!(!paused(None).is_all());
    }
}
