//! A crate with one circle, for the test that finds it.

mod first;
mod second;
mod third;

pub use first::First;
pub use second::Second;
