//! The embedded database: one file, which one process has open.
//!
//! One connection writes (`writer`) and a few read beside it, each in a thread of its own. In WAL
//! mode readers and the writer never wait for each other.
//!
//! `append` is the transaction, `load` and `write` are what it reads and writes. `log_reads`,
//! `tables` and `due` serve all other reads. `data_keys`, `key_uses`, `bodies` and `erase` concern
//! what is outside of the log, which another process may administer, too (`administration`).

mod administration;
mod append;
mod bodies;
mod check;
mod commit_state;
mod connect_options;
mod data_keys;
mod database_file;
mod due;
mod erase;
mod errors;
mod file_header;
mod file_id;
mod inspection;
mod key_uses;
mod leases;
mod load;
mod lock;
mod lock_file;
mod lock_holder;
mod log_reads;
mod migrations;
mod open;
mod open_error;
mod path_check;
mod rebuild;
mod recovery;
mod replays;
mod result_code;
mod set_statement;
mod sidecar;
mod store;
mod tables;
mod wal;
mod write;
mod writer;

#[cfg(test)]
mod tests;

pub use self::open::SqliteOptions;
pub use self::open_error::OpenError;
pub use self::store::SqliteStore;
