//! Checks text that some people write and others read, in tables and in the audit trail.
//!
//! A text must look like what it is. Format characters (Unicode's general category Cf) are invisible
//! and change what is around them: U+202E reverses the rest of a line, U+200B makes two different names
//! look alike. See UAX #9 section 2 for the ones that change directions, and UTS #39 for how they are
//! abused.

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

use crate::violation::Violation;

/// ZERO WIDTH NON-JOINER, part of words in Persian and in scripts of India.
const NON_JOINER: char = '\u{200C}';
/// ZERO WIDTH JOINER, the same; it also joins several emoji into one.
const JOINER: char = '\u{200D}';

/// Characters that are neither control nor format characters but are still invisible: COMBINING
/// GRAPHEME JOINER, the fillers of Hangul, and the blank of Braille.
const BLANKS: [char; 6] = ['\u{034F}', '\u{115F}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{FFA0}'];

/// Checks text of one line: no control characters, format characters or line separators.
pub fn check_line(field: &str, text: &str) -> Result<(), Violation> {
    match first_hidden(text) {
        None => Ok(()),
        Some(_) => Err(violation(field, "line breaks, control characters")),
    }
}

/// Checks text of several lines: as [`check_line`], but line breaks and tabs are allowed.
pub fn check_lines(field: &str, text: &str) -> Result<(), Violation> {
    match first_not_plain(text, |c| matches!(c, '\n' | '\r' | '\t')) {
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
        return Err(Violation::new(field, description));
    }
    Ok(text)
}

/// Whether [`check_line`] accepts the text.
pub fn is_line(text: &str) -> bool {
    first_hidden(text).is_none()
}

/// The first character that [`check_line`] refuses.
pub fn first_hidden(text: &str) -> Option<char> {
    first_not_plain(text, |_| false)
}

/// The text with the characters that do not show as `\u{…}`, for terminals and logs.
pub fn escape_hidden(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match shows(c) {
            true => escaped.push(c),
            false => escaped.extend(c.escape_unicode()),
        }
    }
    escaped
}

fn violation(field: &str, what: &str) -> Violation {
    let description = format!(
        "must not contain {what} or invisible format characters, such as those that change the direction of text: type it anew if it was copied"
    );
    Violation::new(field, description)
}

fn first_not_plain(text: &str, is_allowed: impl Fn(char) -> bool) -> Option<char> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let is_plain = match c {
            JOINER | NON_JOINER => joins(before) && joins(characters.peek().copied()),
            c => is_allowed(c) || shows(c),
        };
        if !is_plain {
            return Some(c);
        }
        before = Some(c);
    }
    None
}

/// Whether a joiner has a meaning beside this character. The scripts that need joiners and the emoji
/// are outside ASCII; between ASCII letters a joiner can only deceive.
fn joins(neighbour: Option<char>) -> bool {
    neighbour.is_some_and(|c| !c.is_ascii() && !c.is_whitespace() && shows(c))
}

fn shows(c: char) -> bool {
    !BLANKS.contains(&c)
        && !matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_do_not_show_are_escaped() {
        assert_eq!(escape_hidden("naïve 日本 \"x\""), "naïve 日本 \"x\"");
        assert_eq!(
            escape_hidden("a\u{1b}[2J\r\n\u{9b}\u{202e}b"),
            "a\\u{1b}[2J\\u{d}\\u{a}\\u{9b}\\u{202e}b"
        );
    }

    #[test]
    fn invisible_characters_are_refused() {
        for wrong in [
            "siem\u{202E}lla",   // RIGHT-TO-LEFT OVERRIDE
            "\u{2066}a\u{2069}", // isolates
            "a\u{200E}b",        // LEFT-TO-RIGHT MARK
            "\u{061C}a",         // ARABIC LETTER MARK
            "si\u{200B}em",      // ZERO WIDTH SPACE
            "si\u{2060}em",      // WORD JOINER
            "\u{FEFF}siem",      // ZERO WIDTH NO-BREAK SPACE
            "si\u{AD}em",        // SOFT HYPHEN
            "a\u{E0041}",        // a tag
            "si\u{200D}em",      // a joiner between ASCII letters
            "\u{200C}می",        // one that joins nothing
            "می\u{200C}",
            "می\u{200C}\u{200C}خواهم",
            "\u{3164}",     // HANGUL FILLER, as a whole name
            "si\u{034F}em", // COMBINING GRAPHEME JOINER
            "si\u{2800}em", // BRAILLE PATTERN BLANK
            "a\u{2028}b",
            "a\u{85}b",
            "a\0b",
            "a\nb",
        ] {
            assert!(check_line("name", wrong).is_err(), "{wrong:?}");
            assert!(!is_line(wrong));
            let is_refused = check_lines("description", wrong).is_err();
            assert_eq!(is_refused, wrong != "a\nb", "{wrong:?}");
        }
    }

    #[test]
    fn words_of_all_scripts_and_emoji_are_accepted() {
        for right in [
            "siem-all-events",
            "Ärger & Söhne",
            "می\u{200C}خواهم",      // Persian, with a non-joiner
            "क्\u{200D}ष",           // Devanagari, with a joiner
            "👩\u{200D}💻 on call", // one emoji of two
            "👩🏽\u{200D}🚀",         // with a colour of skin
            "🏳\u{FE0F}\u{200D}🌈",  // with a variation selector
            "שלום and more",
            "日本語 中文 한국어",
            "e\u{301}",
        ] {
            assert_eq!(check_line("name", right), Ok(()), "{right:?}");
        }
        assert_eq!(check_lines("description", "a\n\tb\r\n"), Ok(()));
    }
}
