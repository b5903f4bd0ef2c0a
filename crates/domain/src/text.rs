//! Checks text that some people write and others read, in tables and in the audit trail: it must look
//! like what it is.

use crate::violation::Violation;
use crate::visible_text::{first_hidden, first_hidden_in_lines};

/// Checks text of one line: no line breaks, no control characters, nothing hidden.
pub fn check_line(field: &str, text: &str) -> Result<(), Violation> {
    match first_hidden(text) {
        None => Ok(()),
        Some(_) => Err(violation(field, "line breaks, control characters")),
    }
}

/// Checks text of several lines: as [`check_line`], but line breaks and tabs are allowed.
pub fn check_lines(field: &str, text: &str) -> Result<(), Violation> {
    match first_hidden_in_lines(text) {
        None => Ok(()),
        Some(_) => Err(violation(field, "control characters")),
    }
}

/// Checks text of several lines and limited length.
pub(crate) fn check_text(field: &str, text: String, max_chars: usize) -> Result<String, Violation> {
    let text = check_length(field, text, max_chars)?;
    check_lines(field, &text)?;
    Ok(text)
}

/// Checks the length of a text in characters.
pub(crate) fn check_length(
    field: &str,
    text: String,
    max_chars: usize,
) -> Result<String, Violation> {
    let length = text.chars().count();
    if length > max_chars {
        let description = format!("is {length} characters; it may be at most {max_chars}");
        return Err(Violation::too_long(field, description));
    }
    Ok(text)
}

/// Whether [`check_line`] accepts the text.
pub fn is_line(text: &str) -> bool {
    first_hidden(text).is_none()
}

fn violation(field: &str, what: &str) -> Violation {
    let description = format!(
        "must not contain {what} or invisible characters, such as those that change the direction of text: type it anew if it was copied"
    );
    Violation::invalid_format(field, description)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_no_breaks_and_nothing_hidden() {
        assert_eq!(check_line("name", "siem ❤\u{FE0F}"), Ok(()));
        for wrong in ["a\nb", "a\tb", "siem\u{202E}lla", "siem\u{FE00}", "siem\u{E0100}"] {
            assert!(check_line("name", wrong).is_err(), "{wrong:?}");
            assert!(!is_line(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_text_of_several_lines_has_nothing_else_that_is_hidden() {
        assert_eq!(check_lines("description", "a\n\tb\r\n"), Ok(()));
        for wrong in ["a\n\0", "a\n\u{202E}", "a\n\u{FE00}", "a\n\u{FE0F}", "\t\u{200D}日"] {
            assert!(check_lines("description", wrong).is_err(), "{wrong:?}");
        }
    }
}
