//! What a rotation has to do, by what the file and the database have. Pure.

use std::collections::BTreeMap;

use keeptrusts_webhooks_store::keyring::MasterKey;

/// What the database says of master keys, by their ids.
pub(super) struct Standing {
    pub(super) current: String,
    pub(super) replaced: Vec<String>,
}

/// Which key is to be the first one, and current.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// One that is to be made.
    Generate,
    /// One of the file that is new to the database: it was prepared, or put first by a rotation
    /// that was interrupted.
    Replace(MasterKey),
    /// The one that is current already: it was put first elsewhere.
    PutCurrentFirst(MasterKey),
}

impl Standing {
    /// The plan for a file with these keys, the current one among them.
    pub(super) fn plan(&self, keys: &[MasterKey]) -> Plan {
        let is_new = |key: &&MasterKey| key.id() != self.current && !self.is_replaced(key);
        let first = keys.first();
        if first.is_some_and(|key| self.is_replaced(key))
            && let Some(current) = keys.iter().find(|key| key.id() == self.current)
        {
            return Plan::PutCurrentFirst(current.clone());
        }
        keys.iter().find(is_new).cloned().map_or(Plan::Generate, Plan::Replace)
    }

    /// The ids of keys that have been replaced and that no data key is wrapped under.
    pub(super) fn removable(
        &self,
        keys: &[MasterKey],
        counts: &BTreeMap<String, u64>,
    ) -> Vec<String> {
        let idle =
            keys.iter().filter(|key| self.is_replaced(key) && !counts.contains_key(key.id()));
        idle.map(|key| key.id().to_owned()).collect()
    }

    fn is_replaced(&self, key: &MasterKey) -> bool {
        self.replaced.iter().any(|id| id == key.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(current: &MasterKey, replaced: &[&MasterKey]) -> Standing {
        let replaced = replaced.iter().map(|key| key.id().to_owned()).collect();
        Standing { current: current.id().to_owned(), replaced }
    }

    #[test]
    fn a_new_key_is_made_only_if_none_is_prepared_or_half_way() {
        let [old, now, new] = std::array::from_fn(|_| MasterKey::generate());
        let keys = |keys: &[&MasterKey]| keys.iter().copied().cloned().collect::<Vec<_>>();
        let plan = |file: &[&MasterKey]| standing(&now, &[&old]).plan(&keys(file));
        assert_eq!(plan(&[&now]), Plan::Generate);
        assert_eq!(plan(&[&now, &old]), Plan::Generate);
        assert_eq!(plan(&[&now, &new, &old]), Plan::Replace(new.clone()), "prepared");
        assert_eq!(plan(&[&new, &now, &old]), Plan::Replace(new.clone()), "interrupted");
        assert_eq!(plan(&[&old, &now]), Plan::PutCurrentFirst(now.clone()), "done elsewhere");
    }

    #[test]
    fn a_key_is_removable_when_it_was_replaced_and_nothing_is_wrapped_under_it() {
        let [old, older, now, new] = std::array::from_fn(|_| MasterKey::generate());
        let keys = [&now, &new, &old, &older].map(Clone::clone);
        let counts = BTreeMap::from([(now.id().to_owned(), 7), (older.id().to_owned(), 1)]);
        assert_eq!(standing(&now, &[&old, &older]).removable(&keys, &counts), [old.id()]);
    }
}
