use std::sync::Arc;

use super::*;
use crate::testing::conformance::{Damage, Fixture, ManualClock, conformance_tests};

fn fixture_of(store: Arc<MemoryStore>, clock: ManualClock, handles: usize) -> Fixture {
    let stores = (0..handles).map(|_| Arc::clone(&store) as Arc<dyn Store>).collect();
    Fixture::new(stores).with_clock(clock).with_damage(move |kind| {
        std::future::ready(damage(&mut store.shard(Shard(0)).tables, kind))
    })
}

/// Whether there is something to damage so.
fn damage(tables: &mut Tables, damage: Damage) -> bool {
    match damage {
        Damage::EndpointsRenamed => {
            tables
                .endpoints
                .values_mut()
                .for_each(|row| row.config.display_name = "damaged".to_owned());
        }
        Damage::DeliveriesLost => tables.deliveries.clear(),
        Damage::MissedEventInvented => tables.missed.push(MissedEvent {
            organization_id: "acme".parse().expect("an organization's id"),
            endpoint_id: EndpointId::MIN,
            event_id: EventId::MIN,
            position: Position(1),
        }),
        Damage::AttemptsMiscounted => {
            tables.attempt_counts.values_mut().for_each(|count| *count += 1);
        }
        Damage::EndpointsRedescribed => {
            let rows = tables.endpoints.values_mut();
            rows.for_each(|row| row.config.description = "damaged".to_owned());
        }
        // It holds entities.
        Damage::Statement(_)
        | Damage::EndpointsReformatted
        | Damage::EndpointsCutOff
        | Damage::EndpointsOfANewerVersion => return false,
    }
    true
}

mod embedded {
    use super::*;

    async fn fixture() -> Fixture {
        let clock = ManualClock::new();
        fixture_of(Arc::new(MemoryStore::new(1, clock.as_clock())), clock, 1)
    }

    conformance_tests!(fixture);
}

mod shared {
    use super::*;

    async fn fixture() -> Fixture {
        let clock = ManualClock::new();
        fixture_of(Arc::new(MemoryStore::shared(4, clock.as_clock())), clock, 2)
    }

    conformance_tests!(fixture);
}
