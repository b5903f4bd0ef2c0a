//! The claims of a token.

use serde_json::{Map, Value};

/// The claims of a token, or the fields of its header, by name.
pub type Claims = Map<String, Value>;
