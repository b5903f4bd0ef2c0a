//! The commands, a file for each.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod completions;
pub(crate) mod deliveries;
pub(crate) mod doctor;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod listen;
pub(crate) mod notifications;
pub(crate) mod profiles;
pub(crate) mod publish;
pub(crate) mod replays;
pub(crate) mod test;
pub(crate) mod verify;
pub(crate) mod watch;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Query, View};

    /// Those of the API's messages. What `listen` adds of its own, the API does not have.
    const VIEWS: [&View; 17] = [
        &attempts::VIEW,
        &audit::VIEW,
        &channels::VIEW,
        &deliveries::VIEW,
        &endpoints::VIEW,
        &endpoints::STATS,
        &endpoints::SECRET,
        &endpoints::CREATED,
        &events::VIEW,
        &events::TYPES,
        &keys::VIEW,
        &keys::CREATED,
        &notifications::VIEW,
        &publish::VIEW,
        &replays::VIEW,
        &watch::VIEW,
        &listen::VIEW,
    ];
    const OF_LISTEN: [&str; 2] = ["status", "duration"];

    #[test]
    fn every_column_is_a_field_of_its_message() {
        for view in VIEWS {
            let columns = view.columns.iter().map(|column| column.path);
            let of_api = columns.filter(|path| !OF_LISTEN.contains(path));
            for path in of_api.chain((!view.id.is_empty()).then_some(view.id)) {
                let query = Query::parse(path).expect("a path");
                let unknown = query.unknown_field(view.message);
                assert_eq!(unknown, None, "{path} of {}", view.message);
            }
        }
    }
}
