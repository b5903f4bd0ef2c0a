//! The command line, as a person at a terminal and as a script uses it.

mod connecting;
mod following;
mod managing;
mod publishing;
mod terminal;
