//! What tests and simulations use: the log in memory, which is also the reference that the databases
//! are held against, and the suite that does so.

#[cfg(test)]
pub(crate) mod conformance;
#[cfg(test)]
pub(crate) mod faulty_store;
pub mod intercepted;
pub mod memory;
