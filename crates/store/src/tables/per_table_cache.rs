//! Values that are computed once for each table, such as the text of a statement. The generic code
//! that computes them cannot have statics of its own.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Values by table.
pub(crate) struct PerTableCache<T>(RwLock<BTreeMap<&'static str, T>>);

impl<T: Clone> PerTableCache<T> {
    pub(crate) const fn new() -> PerTableCache<T> {
        PerTableCache(RwLock::new(BTreeMap::new()))
    }

    /// The value of a table; `make` computes it the first time.
    pub(crate) fn get(&self, table: &'static str, make: impl FnOnce() -> T) -> T {
        if let Some(made) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(table) {
            return made.clone();
        }
        let mut values = self.0.write().unwrap_or_else(PoisonError::into_inner);
        values.entry(table).or_insert_with(make).clone()
    }
}
