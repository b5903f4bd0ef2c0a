//! Characters that a reader cannot see.
//!
//! Such characters deceive: U+202E reverses the rest of a line, U+200B makes two different names look
//! alike, U+001B changes what a terminal shows. See UAX #9 section 2 for the ones that change
//! directions, and UTS #39 for how they are abused.
//!
//! Hidden are Unicode's control and format characters (general categories Cc and Cf), line and
//! paragraph separators, what has the property Default_Ignorable_Code_Point (fonts show nothing for
//! it: UAX #44), and the blank of Braille. Three are visible in context, by what they do to their
//! neighbours:
//!
//! - ZERO WIDTH JOINER and NON-JOINER between visible characters outside ASCII, as in words in Persian
//!   and in scripts of India, and in emoji that are joined from several;
//! - VARIATION SELECTOR-16 after a character that is text unless it follows, as in the emoji heart.
//!
//! Other variation selectors are hidden: most fonts ignore them.

use icu_properties::props::{DefaultIgnorableCodePoint, Emoji, EmojiPresentation, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};

const NON_JOINER: char = '\u{200C}';
const JOINER: char = '\u{200D}';
/// VARIATION SELECTOR-16, which asks for the emoji of the character before it (UTS #51 section 1.4.3).
const EMOJI_SELECTOR: char = '\u{FE0F}';
/// COMBINING ENCLOSING KEYCAP, the end of the emoji of keys: digit, selector, keycap.
const KEYCAP: char = '\u{20E3}';
/// BRAILLE PATTERN BLANK, a symbol without dots.
const BRAILLE_BLANK: char = '\u{2800}';

/// The first character of the text that a reader cannot see. Line breaks and tabs count as hidden.
pub fn first_hidden(text: &str) -> Option<char> {
    characters(text).find_map(|(c, is_visible)| (!is_visible).then_some(c))
}

/// The first hidden character of a text that may have several lines: line breaks and tabs are allowed.
pub fn first_hidden_in_lines(text: &str) -> Option<char> {
    let is_layout = |c| matches!(c, '\n' | '\r' | '\t');
    characters(text).find_map(|(c, is_visible)| (!is_visible && !is_layout(c)).then_some(c))
}

/// The text with a blank in place of each hidden character: for texts of others that are shown in one
/// line.
pub fn with_blanks_for_hidden(text: &str) -> String {
    characters(text).map(|(c, is_visible)| if is_visible { c } else { ' ' }).collect()
}

/// The text with an escape (`\n`, `\u{202e}`) in place of each hidden character: for texts of others
/// that somebody has to tell apart exactly.
pub fn with_hidden_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (c, is_visible) in characters(text) {
        match c {
            _ if is_visible => escaped.push(c),
            '\n' | '\r' | '\t' => escaped.extend(c.escape_default()),
            _ => escaped.extend(c.escape_unicode()),
        }
    }
    escaped
}

/// Each character, and whether a reader can see it.
fn characters(text: &str) -> impl Iterator<Item = (char, bool)> {
    // A hidden character is no context for the next one.
    let mut visible_before = None;
    let mut rest = text.chars();
    std::iter::from_fn(move || {
        let c = rest.next()?;
        let after = rest.clone().next();
        let is_visible = match c {
            JOINER | NON_JOINER => {
                visible_before
                    .is_some_and(|before| before == EMOJI_SELECTOR || can_be_joined(before))
                    && after.is_some_and(can_be_joined)
            }
            EMOJI_SELECTOR => visible_before.is_some_and(|before| becomes_emoji(before, after)),
            c => is_visible(c),
        };
        visible_before = is_visible.then_some(c);
        Some((c, is_visible))
    })
}

/// Whether a joiner has a meaning beside this character. The scripts that need joiners and the emoji
/// are outside ASCII; between ASCII letters a joiner can only deceive.
fn can_be_joined(c: char) -> bool {
    !c.is_ascii() && !c.is_whitespace() && is_visible(c)
}

/// Whether the selector changes how the character looks. It does nothing after characters that are
/// emoji without it, and after digits only within the emoji of a key.
fn becomes_emoji(before: char, after: Option<char>) -> bool {
    CodePointSetData::new::<Emoji>().contains(before)
        && !CodePointSetData::new::<EmojiPresentation>().contains(before)
        && (!before.is_ascii() || after == Some(KEYCAP))
}

/// Whether the character is visible in any context.
fn is_visible(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let is_ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    c != BRAILLE_BLANK
        && !is_ignorable
        && !matches!(
            category,
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hidden_character_is_found_wherever_it_stands() {
        for (text, hidden) in [
            ("siem\u{202E}lla", '\u{202E}'),   // RIGHT-TO-LEFT OVERRIDE
            ("\u{2066}a\u{2069}", '\u{2066}'), // isolates
            ("a\u{200E}b", '\u{200E}'),        // LEFT-TO-RIGHT MARK
            ("\u{061C}a", '\u{061C}'),         // ARABIC LETTER MARK
            ("si\u{200B}em", '\u{200B}'),      // ZERO WIDTH SPACE
            ("si\u{2060}em", '\u{2060}'),      // WORD JOINER
            ("\u{FEFF}siem", '\u{FEFF}'),      // ZERO WIDTH NO-BREAK SPACE
            ("si\u{AD}em", '\u{AD}'),          // SOFT HYPHEN
            ("si\u{2800}em", '\u{2800}'),      // BRAILLE PATTERN BLANK
            ("a\u{2028}b", '\u{2028}'),
            ("a\u{85}b", '\u{85}'),
            ("a\0b", '\0'),
            ("a\nb", '\n'),
        ] {
            assert_eq!(first_hidden(text), Some(hidden), "{text:?}");
        }
    }

    /// The ranges of Default_Ignorable_Code_Point in DerivedCoreProperties.txt that are not format
    /// characters; the data of the library may be newer than this list, and has all of them.
    #[test]
    fn what_fonts_ignore_is_hidden() {
        for (first, last) in [
            (0x034F, 0x034F),   // COMBINING GRAPHEME JOINER
            (0x115F, 0x1160),   // fillers of Hangul
            (0x17B4, 0x17B5),   // vowels of Khmer that are not written
            (0x180B, 0x180F),   // variation selectors of Mongolian
            (0x2065, 0x2065),   // reserved
            (0x3164, 0x3164),   // HANGUL FILLER
            (0xFE00, 0xFE0F),   // variation selectors
            (0xFFA0, 0xFFA0),   // HALFWIDTH HANGUL FILLER
            (0xFFF0, 0xFFF8),   // reserved
            (0xE0000, 0xE0FFF), // tags and more variation selectors
        ] {
            for c in (first..=last).filter_map(char::from_u32) {
                for text in [format!("{c}"), format!("siem{c}"), format!("日{c}本")] {
                    assert_eq!(first_hidden(&text), Some(c), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_joiner_that_joins_nothing_is_hidden() {
        for text in [
            "si\u{200D}em",
            "\u{200C}می",
            "می\u{200C}",
            "می\u{200C}\u{200C}خواهم",
            "日\u{200D}\u{FE0F}",
        ] {
            assert!(first_hidden(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn an_emoji_selector_that_changes_nothing_is_hidden() {
        for text in [
            "\u{FE0F}❤",
            "❤\u{FE0F}\u{FE0F}",
            "🚀\u{FE0F}", // an emoji without it
            "日\u{FE0F}",
            "1\u{FE0F}",
            "siem\u{FE0F}",
            "❤\u{FE0E}", // the selector of text
        ] {
            assert!(first_hidden(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn words_of_all_scripts_and_emoji_are_visible() {
        for text in [
            "siem-all-events",
            "Ärger & Söhne",
            "می\u{200C}خواهم",      // Persian, with a non-joiner
            "क्\u{200D}ष",           // Devanagari, with a joiner
            "👩\u{200D}💻 on call", // one emoji of two
            "👩🏽\u{200D}🚀",         // with a colour of skin
            "🏳\u{FE0F}\u{200D}🌈",  // with a variation selector
            "👁\u{FE0F}\u{200D}🗨\u{FE0F}",
            "❤\u{FE0F} 1\u{FE0F}\u{20E3} ©\u{FE0F}",
            "שלום and more",
            "日本語 中文 한국어",
            "e\u{301}",
        ] {
            assert_eq!(first_hidden(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_hidden_character_is_escaped_or_becomes_a_blank() {
        let text = "é\u{1b}[31m\r\nb\u{202E}c\u{3164}";
        assert_eq!(with_blanks_for_hidden(text), "é [31m  b c ");
        assert_eq!(with_hidden_escaped(text), "é\\u{1b}[31m\\r\\nb\\u{202e}c\\u{3164}");
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in "[\\PC\\p{Cf}\\p{Cc}1日❤🚀\u{200D}\u{FE0F}\u{20E3}]{0,12}") {
            prop_assert_eq!(first_hidden(&with_blanks_for_hidden(&text)), None);
            prop_assert_eq!(first_hidden(&with_hidden_escaped(&text)), None);
        }
    }
}
