//! The methods of the API, generated from the protos.

use crate::call::{ListRequest, Sealed, UnaryRequest, WatchRequest, ensure_id};
use crate::{Client, Error, v1};

include!("generated/methods.rs");
