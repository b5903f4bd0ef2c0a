//! Records of the log can be decoded, by this version and by every later one.

mod pinned;
mod refusals;
mod round_trip;
mod samples;
