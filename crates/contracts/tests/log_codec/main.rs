//! What is written to the log can be read from it, now and by every later version.

mod pinned;
mod refusals;
mod round_trip;
mod samples;
