//! What is made once for each table, such as the text of a statement: generic code, which derives
//! it, has no statics of its own.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Values by the tables that they belong to.
pub(crate) struct PerTableCache<T>(RwLock<BTreeMap<&'static str, T>>);

impl<T: Clone> PerTableCache<T> {
    pub(crate) const fn new() -> PerTableCache<T> {
        PerTableCache(RwLock::new(BTreeMap::new()))
    }

    /// The value of a table, which is made if it is not there.
    pub(crate) fn get(&self, table: &'static str, make: impl FnOnce() -> T) -> T {
        if let Some(made) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(table) {
            return made.clone();
        }
        let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
        values.entry(table).or_insert_with(make).clone()
    }
}
