//! The only JSON reader. It decides which data can be published, and every format reads an event's
//! data through it, so that no accepted event is unreadable later. The output of templates is checked
//! with it too.
//!
//! It is stricter than the grammar of RFC 8259 where receivers are known to disagree: on duplicate
//! names in an object (section 4; RFC 7493, section 2.3, forbids them), on halves of surrogate pairs
//! (section 8.2), and on deep nesting (section 9). Numbers stay texts. Neither their size nor their
//! precision is limited, because nothing is computed with them.
//!
//! Decision: docs/decisions/one-reader-of-json.md

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use crate::limits::MAX_DATA_DEPTH;

/// A value that has been read. `V` is what the caller has made of the values inside it.
#[derive(Debug, PartialEq, Eq)]
pub enum Json<'a, V> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, which only its text says exactly.
    Number,
    /// A string without its quotation marks and escapes.
    String(Cow<'a, str>),
    /// The elements of an array, in their order.
    Array(Vec<V>),
    /// The members of an object, in their order. No two have the same name.
    Object(Vec<Member<'a, V>>),
}

/// A member of an object.
#[derive(Debug, PartialEq, Eq)]
pub struct Member<'a, V> {
    /// The name without its quotation marks and escapes.
    pub name: Cow<'a, str>,
    /// The name as it is written, with its quotation marks.
    pub name_text: &'a str,
    /// What the caller has made of its value.
    pub value: V,
}

/// Reads one value, with white space around it. `make` gets every value, inner ones first: its text
/// without the white space around it, and the value. What it makes of the outermost value is the
/// result. The time is proportional to the text's length. More than [`MAX_DATA_DEPTH`] levels are an
/// error.
pub fn read<'a, V>(
    text: &'a str,
    make: impl FnMut(&'a str, Json<'a, V>) -> V,
) -> Result<V, JsonError> {
    read_within(MAX_DATA_DEPTH, text, make)
}

/// Checks that [`read`] would accept the text if `max_depth` levels of objects and arrays were
/// allowed.
pub fn check(text: &str, max_depth: usize) -> Result<(), JsonError> {
    read_within(max_depth, text, |_, _| ())
}

fn read_within<'a, V>(
    max_depth: usize,
    text: &'a str,
    make: impl FnMut(&'a str, Json<'a, V>) -> V,
) -> Result<V, JsonError> {
    let mut reader = Reader { text, at: 0, depth: 0, max_depth, make };
    if text.starts_with('\u{feff}') {
        return Err(reader.error(Problem::ByteOrderMark));
    }
    reader.skip_space();
    let value = reader.value()?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.error(Problem::Expected("the end"))),
    }
}

/// Why a text is refused. Display writes the rest of a sentence that begins with the name of the
/// text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// The byte, counted from 0.
    at: usize,
    problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    ByteOrderMark,
    ControlCharacter(u8),
    Duplicate(String),
    Escape,
    Expected(&'static str),
    Surrogate,
    /// There are more than this many levels.
    TooDeep(usize),
}

impl JsonError {
    /// The byte in the text, counted from 0. It is on a character boundary and at most the text's
    /// length.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether the text breaks the grammar of JSON. False: it only breaks a stricter rule of this
    /// reader.
    pub fn is_of_grammar(&self) -> bool {
        !matches!(self.problem, Problem::Duplicate(_) | Problem::Surrogate | Problem::TooDeep(_))
    }
}

/// The part of a name that is quoted, in characters.
const QUOTED_CHARS: usize = 40;

impl std::error::Error for JsonError {}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match &self.problem {
            Problem::ByteOrderMark => {
                f.write_str("is not JSON: it begins with a byte order mark, which must be left out")
            }
            Problem::ControlCharacter(character) => write!(
                f,
                "is not JSON: the control character at byte {at} must be written as \\u{character:04x}"
            ),
            Problem::Duplicate(name) => write!(
                f,
                "has the name {name:?} twice in one object, again at byte {at}: receivers would not agree which one counts"
            ),
            Problem::Escape => write!(f, "is not JSON: byte {at} begins no escape of JSON"),
            Problem::Expected(what) => write!(f, "is not JSON: {what} was expected at byte {at}"),
            Problem::Surrogate => write!(
                f,
                "has half of a surrogate pair at byte {at}, which is no character: write the pair, or leave it out"
            ),
            Problem::TooDeep(max_depth) => write!(
                f,
                "is nested more than {max_depth} levels deep at byte {at}: many receivers could not read it"
            ),
        }
    }
}

/// A recursive descent parser. `max_depth` bounds the recursion.
struct Reader<'a, M> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
    make: M,
}

impl<'a, M> Reader<'a, M> {
    fn error(&self, problem: Problem) -> JsonError {
        JsonError { at: self.at, problem }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips the next byte if it is this one. Returns whether it was.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), JsonError> {
        match self.skip(byte) {
            true => Ok(()),
            false => Err(self.error(Problem::Expected(what))),
        }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips digits, and returns their number.
    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    /// A number (section 6): `-`, an integer without leading zeros, a fraction, an exponent.
    fn number(&mut self) -> Result<(), JsonError> {
        const DIGIT: Problem = Problem::Expected("a digit");
        self.skip(b'-');
        if !self.skip(b'0') && self.skip_digits() == 0 {
            return Err(self.error(DIGIT));
        }
        if self.skip(b'.') && self.skip_digits() == 0 {
            return Err(self.error(DIGIT));
        }
        if self.skip(b'e') || self.skip(b'E') {
            _ = self.skip(b'+') || self.skip(b'-');
            if self.skip_digits() == 0 {
                return Err(self.error(DIGIT));
            }
        }
        Ok(())
    }

    /// A string. The next byte should be its first quotation mark.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"', "a string in quotation marks")?;
        let start = self.at;
        let end = self.text.as_bytes()[start..]
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        match end.map(|end| start + end) {
            Some(end) if self.text.as_bytes()[end] == b'"' => {
                self.at = end + 1;
                Ok(Cow::Borrowed(&self.text[start..end]))
            }
            _ => self.escaped_string(start).map(Cow::Owned),
        }
    }

    /// A string with escapes. `start` is behind its first quotation mark.
    fn escaped_string(&mut self, start: usize) -> Result<String, JsonError> {
        let mut string = String::new();
        let mut copied = start;
        loop {
            match self.peek() {
                Some(b'"') => {
                    string.push_str(&self.text[copied..self.at]);
                    self.at += 1;
                    return Ok(string);
                }
                Some(b'\\') => {
                    string.push_str(&self.text[copied..self.at]);
                    string.push(self.escape()?);
                    copied = self.at;
                }
                Some(character @ 0..=0x1f) => {
                    return Err(self.error(Problem::ControlCharacter(character)));
                }
                Some(_) => self.at += 1,
                None => return Err(self.error(Problem::Expected("the end of a string"))),
            }
        }
    }

    /// An escape (section 7): a backslash and what follows.
    fn escape(&mut self) -> Result<char, JsonError> {
        let character = match self.text.as_bytes().get(self.at + 1) {
            Some(b'u') => return self.unicode_escape(),
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            _ => return Err(self.error(Problem::Escape)),
        };
        self.at += 2;
        Ok(character)
    }

    /// `\uXXXX`, or two of them that make one character.
    fn unicode_escape(&mut self) -> Result<char, JsonError> {
        let units = [self.unit(self.at), self.unit(self.at + 6)];
        let first = units[0].ok_or_else(|| self.error(Problem::Escape))?;
        let pair = char::decode_utf16(units.into_iter().flatten()).next();
        match pair {
            Some(Ok(character)) => {
                self.at += 6 * character.len_utf16();
                Ok(character)
            }
            _ => {
                debug_assert!((0xd800..0xe000).contains(&first));
                Err(self.error(Problem::Surrogate))
            }
        }
    }

    /// The code unit of the escape `\uXXXX` at a byte, if there is one.
    fn unit(&self, at: usize) -> Option<u16> {
        let escape = self.text.as_bytes().get(at..at + 6)?;
        let digits = escape.strip_prefix(br"\u")?;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16)?;
            Some(unit * 16 + u16::try_from(digit).ok()?)
        })
    }

    fn enter(&mut self) -> Result<(), JsonError> {
        if self.depth == self.max_depth {
            return Err(self.error(Problem::TooDeep(self.max_depth)));
        }
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    fn word<V>(&mut self, word: &str, json: Json<'a, V>) -> Result<Json<'a, V>, JsonError> {
        match self.text[self.at..].starts_with(word) {
            true => {
                self.at += word.len();
                Ok(json)
            }
            false => Err(self.error(Problem::Expected("a value"))),
        }
    }

    fn value<V>(&mut self) -> Result<V, JsonError>
    where
        M: FnMut(&'a str, Json<'a, V>) -> V,
    {
        let start = self.at;
        let json = match self.peek() {
            Some(b'{') => Json::Object(self.members()?),
            Some(b'[') => Json::Array(self.elements()?),
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                Json::Number
            }
            Some(b't') => self.word("true", Json::Boolean(true))?,
            Some(b'f') => self.word("false", Json::Boolean(false))?,
            Some(b'n') => self.word("null", Json::Null)?,
            _ => return Err(self.error(Problem::Expected("a value"))),
        };
        Ok((self.make)(&self.text[start..self.at], json))
    }

    fn elements<V>(&mut self) -> Result<Vec<V>, JsonError>
    where
        M: FnMut(&'a str, Json<'a, V>) -> V,
    {
        self.enter()?;
        let mut elements = Vec::new();
        if !self.skip(b']') {
            loop {
                elements.push(self.value()?);
                self.skip_space();
                if self.skip(b']') {
                    break;
                }
                self.expect(b',', "a comma or ]")?;
                self.skip_space();
            }
        }
        self.depth -= 1;
        Ok(elements)
    }

    fn members<V>(&mut self) -> Result<Vec<Member<'a, V>>, JsonError>
    where
        M: FnMut(&'a str, Json<'a, V>) -> V,
    {
        self.enter()?;
        let mut members: Vec<Member<'a, V>> = Vec::new();
        let mut names = Names::default();
        if !self.skip(b'}') {
            loop {
                let start = self.at;
                let name = self.string()?;
                let name_text = &self.text[start..self.at];
                if !names.insert(&members, &name) {
                    let quoted = name.chars().take(QUOTED_CHARS).collect();
                    return Err(JsonError { at: start, problem: Problem::Duplicate(quoted) });
                }
                self.skip_space();
                self.expect(b':', "a colon")?;
                self.skip_space();
                let value = self.value()?;
                members.push(Member { name, name_text, value });
                self.skip_space();
                if self.skip(b'}') {
                    break;
                }
                self.expect(b',', "a comma or }")?;
                self.skip_space();
            }
        }
        self.depth -= 1;
        Ok(members)
    }
}

/// The names of an object. Most objects have few, which are compared one by one.
#[derive(Default)]
struct Names(HashSet<String>);

/// Objects with more names than this have them hashed.
const COMPARED_NAMES: usize = 16;

impl Names {
    /// Adds the name of the next member. Returns whether it is new.
    fn insert<V>(&mut self, members: &[Member<'_, V>], name: &str) -> bool {
        if members.len() < COMPARED_NAMES {
            return members.iter().all(|member| member.name != name);
        }
        if self.0.is_empty() {
            self.0.extend(members.iter().map(|member| member.name.clone().into_owned()));
        }
        self.0.insert(name.to_owned())
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
