//! Shortens texts to a limit: between characters, with an ellipsis in place of what is missing.

/// How a text is shortened: its limit, how characters are escaped, and how they are counted.
///
/// Vendors say "characters" without saying which. UTF-16 code units are counted here, which are at
/// least as many as Unicode's characters, so that a text that fits here fits there.
#[derive(Debug, Clone, Copy)]
pub struct Truncator {
    limit: usize,
    escape: fn(char) -> Option<&'static str>,
    units: fn(&str) -> usize,
}

const ELLIPSIS: &str = "…";

impl Truncator {
    /// Limits a text to a number of characters.
    pub fn to(limit: usize) -> Truncator {
        Truncator { limit, escape: |_| None, units: |text| text.encode_utf16().count() }
    }

    /// Escapes characters. What counts is the escaped form.
    pub fn escaping(self, escape: fn(char) -> Option<&'static str>) -> Truncator {
        Truncator { escape, ..self }
    }

    /// Counts the bytes in JSON, in UTF-8 or UTF-16, whichever are more: for limits in bytes without an
    /// encoding.
    pub fn counting_bytes(self) -> Truncator {
        Truncator { units: json_bytes, ..self }
    }

    pub fn truncate(self, text: &str) -> String {
        let mut truncated = String::with_capacity(text.len().min(self.limit));
        let mut used = 0;
        let ellipsis = (self.units)(ELLIPSIS);
        // The end of the last character after which an ellipsis still fits.
        let mut end = 0;
        let mut buffer = [0; 4];
        for character in text.chars() {
            let written = match (self.escape)(character) {
                Some(escaped) => escaped,
                None => character.encode_utf8(&mut buffer),
            };
            used += (self.units)(written);
            if used > self.limit {
                truncated.truncate(end);
                truncated.push_str(ELLIPSIS);
                return truncated;
            }
            truncated.push_str(written);
            if used + ellipsis <= self.limit {
                end = truncated.len();
            }
        }
        truncated
    }
}

/// The bytes of a text inside a JSON string as serde_json writes it.
fn json_bytes(text: &str) -> usize {
    let bytes = |character: char| match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2 * 2,
        '\0'..='\u{1f}' => 6 * 2,
        _ => character.len_utf8().max(2 * character.len_utf16()),
    };
    text.chars().map(bytes).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `cut` keeps a text of `limit` characters, and shortens a longer one to `limit`.
    pub(crate) fn assert_limit(limit: usize, character: &str, cut: impl Fn(&str) -> String) {
        let longest = character.repeat(limit);
        assert_eq!(cut(&longest), longest);
        let kept = character.repeat(limit - 1);
        assert_eq!(cut(&format!("{longest}{character}")), format!("{kept}…"));
    }

    fn angle(character: char) -> Option<&'static str> {
        (character == '<').then_some("&lt;")
    }

    #[test]
    fn a_text_within_the_limit_is_unchanged_and_a_longer_one_ends_with_an_ellipsis() {
        assert_eq!(Truncator::to(3).truncate("abc"), "abc");
        assert_eq!(Truncator::to(3).truncate("abcd"), "ab…");
        assert_eq!(Truncator::to(1).truncate("abcd"), "…");
    }

    #[test]
    fn neither_a_character_nor_its_escaped_form_is_split() {
        // A character beyond the basic plane counts as two.
        assert_eq!(Truncator::to(3).truncate("a🙂b"), "a…");
        assert_eq!(Truncator::to(4).truncate("a🙂b"), "a🙂b");
        let escaping = |limit| Truncator::to(limit).escaping(angle);
        assert_eq!(escaping(5).truncate("a<"), "a&lt;");
        assert_eq!(escaping(5).truncate("a<b"), "a…");
        assert_eq!(escaping(4).truncate("a<"), "a…");
    }

    #[test]
    fn bytes_are_counted_in_the_larger_encoding_and_after_escaping() {
        let cut = |limit: usize, text: &str| Truncator::to(limit).counting_bytes().truncate(text);
        assert_eq!(cut(8, "\"\\"), "\"\\");
        assert_eq!(cut(15, "\u{1}\u{2}"), "\u{1}…");
        assert_eq!(cut(6, "語語"), "語語");
        assert_eq!(cut(6, "abcd"), "a…");
    }
}
