//! Decides what a rotation has to do, from the keys in the file and in the database. Pure.

use std::collections::BTreeMap;

use keeptrusts_webhooks_store::vault::keyring::MasterKey;

/// How the database uses master keys, by their ids.
pub(super) struct KeyUsage {
    pub(super) current: String,
    pub(super) replaced: Vec<String>,
    /// How many data keys are wrapped under each.
    pub(super) counts: BTreeMap<String, u64>,
}

/// Which key is to become the first in the file, and current.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// A new key.
    Generate,
    /// A key of the file that the database does not use yet: it was prepared, or put first by a
    /// rotation that was interrupted.
    Replace(MasterKey),
    /// The key that is current already: it was put first elsewhere, or a rotation to it was
    /// interrupted.
    KeepCurrent(MasterKey),
}

impl KeyUsage {
    /// The plan for a file with these keys, the current one among them.
    pub(super) fn plan(&self, keys: &[MasterKey]) -> Plan {
        let is_new = |key: &&MasterKey| key.id() != self.current && !self.is_replaced(key);
        let current = keys.iter().find(|key| key.id() == self.current);
        let is_old_file = keys.first().is_some_and(|first| self.is_replaced(first));
        let new = keys.iter().find(is_new);
        match (current, new) {
            (Some(current), _) if is_old_file => Plan::KeepCurrent(current.clone()),
            (_, Some(new)) => Plan::Replace(new.clone()),
            (Some(current), None) if self.remaining() > 0 => Plan::KeepCurrent(current.clone()),
            _ => Plan::Generate,
        }
    }

    /// How many data keys are wrapped under other keys than the current one.
    pub(super) fn remaining(&self) -> u64 {
        let others = self.counts.iter().filter(|(id, _)| **id != self.current);
        others.map(|(_, count)| count).sum()
    }

    /// The ids of keys that have been replaced and that no data key is wrapped under.
    pub(super) fn removable(&self, keys: &[MasterKey]) -> Vec<String> {
        let is_idle = |key: &&MasterKey| !self.counts.contains_key(key.id());
        let idle = keys.iter().filter(|key| self.is_replaced(key)).filter(is_idle);
        idle.map(|key| key.id().to_owned()).collect()
    }

    fn is_replaced(&self, key: &MasterKey) -> bool {
        self.replaced.iter().any(|id| id == key.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(
        current: &MasterKey,
        replaced: &[&MasterKey],
        counts: &[(&MasterKey, u64)],
    ) -> KeyUsage {
        KeyUsage {
            current: current.id().to_owned(),
            replaced: replaced.iter().map(|key| key.id().to_owned()).collect(),
            counts: counts.iter().map(|(key, count)| (key.id().to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn a_new_key_is_made_only_if_none_is_prepared_or_half_way() {
        let [old, now, new] = std::array::from_fn(|_| MasterKey::generate());
        let keys = |keys: &[&MasterKey]| keys.iter().copied().cloned().collect::<Vec<_>>();
        let finished = usage(&now, &[&old], &[(&now, 7)]);
        let plan = |file: &[&MasterKey]| finished.plan(&keys(file));
        assert_eq!(plan(&[&now]), Plan::Generate);
        assert_eq!(plan(&[&now, &old]), Plan::Generate);
        assert_eq!(plan(&[&now, &new, &old]), Plan::Replace(new.clone()), "prepared");
        assert_eq!(plan(&[&new, &now, &old]), Plan::Replace(new.clone()), "interrupted early");
        assert_eq!(plan(&[&old, &now]), Plan::KeepCurrent(now.clone()), "done elsewhere");
        assert_eq!(plan(&[&old, &new, &now]), Plan::KeepCurrent(now.clone()), "in its order");

        let unfinished = usage(&now, &[&old], &[(&now, 6), (&old, 1)]);
        let plan = |file: &[&MasterKey]| unfinished.plan(&keys(file));
        assert_eq!(plan(&[&now, &old]), Plan::KeepCurrent(now.clone()), "interrupted late");
        assert_eq!(plan(&[&now, &new, &old]), Plan::Replace(new.clone()), "both at once");
        assert_eq!((unfinished.remaining(), finished.remaining()), (1, 0));
    }

    #[test]
    fn a_key_is_removable_when_it_was_replaced_and_nothing_is_wrapped_under_it() {
        let [old, older, now, new] = std::array::from_fn(|_| MasterKey::generate());
        let keys = [&now, &new, &old, &older].map(Clone::clone);
        let usage = usage(&now, &[&old, &older], &[(&now, 7), (&older, 1)]);
        assert_eq!(usage.removable(&keys), [old.id()]);
    }
}
