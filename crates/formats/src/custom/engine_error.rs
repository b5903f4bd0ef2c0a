//! Errors of the template engine, in words for the template's author.

use keeptrusts_webhooks_vendors::Truncator;
use minijinja::{Error, ErrorKind};

use super::limits::MAX_REASON_CHARS;
use crate::error::FormatError;

pub(super) fn template_error(error: &Error) -> FormatError {
    let reason = match error.kind() {
        ErrorKind::OutOfFuel => {
            "it takes too many steps, or makes too large values: loop over less, and repeat less"
                .to_owned()
        }
        kind => match error.detail() {
            Some(detail) => format!("{kind}: {detail}"),
            None => kind.to_string(),
        },
    };
    let reason = Truncator::to(MAX_REASON_CHARS).truncate(&reason);
    FormatError::Template { line: error.line().unwrap_or(1), reason }
}
