//! Support for tests and simulations: the store in memory, which is also the reference for the
//! databases, and the conformance suite.

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod faulty_store;
pub mod intercepted;
pub mod memory;
