//! Indents JSON text for people. Only the white space between its tokens changes: numbers in
//! particular stay as they were written.

use serde_json::value::RawValue;

/// The text with a line for each field and element. None: it is not JSON, or would become longer
/// than `limit` bytes, since deep nesting turns little text into much white space.
pub(crate) fn indented(text: &str, limit: usize) -> Option<String> {
    let checked: &RawValue = serde_json::from_str(text).ok()?;
    let mut pretty = String::new();
    let mut depth = 0_usize;
    let mut characters = checked.get().chars().peekable();
    while let Some(character) = characters.next() {
        if pretty.len() + 2 * depth > limit {
            return None;
        }
        match character {
            '"' => {
                pretty.push('"');
                // Up to the closing quote.
                while let Some(inner) = characters.next() {
                    pretty.push(inner);
                    match inner {
                        '\\' => pretty.extend(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                pretty.push(character);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    depth += 1;
                    new_line(&mut pretty, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut pretty, depth);
                pretty.push(character);
            }
            ',' => {
                pretty.push(',');
                new_line(&mut pretty, depth);
            }
            ':' => pretty.push_str(": "),
            space if space.is_ascii_whitespace() => {}
            other => pretty.push(other),
        }
    }
    Some(pretty).filter(|pretty| pretty.len() <= limit)
}

fn new_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    fn indented(text: &str) -> Option<String> {
        super::indented(text, 10_000)
    }

    #[test]
    fn invariant_9_deep_nesting_does_not_grow_without_bound() {
        let deep = format!("{}{}", "[".repeat(8_192), "]".repeat(8_192));
        assert_eq!(indented(&deep), None);
    }

    #[test]
    fn each_field_and_element_gets_a_line() {
        let text = r#"{"event":"a","data":{"list":[1,{"x":null}],"none":{ },"no":[]}}"#;
        let expected = r#"{
  "event": "a",
  "data": {
    "list": [
      1,
      {
        "x": null
      }
    ],
    "none": {},
    "no": []
  }
}"#;
        assert_eq!(indented(text).as_deref(), Some(expected));
    }

    #[test]
    fn numbers_and_strings_stay_as_they_were_written() {
        let text = r#"{"n":1.00000000000000000001e-7,"s":"a\"{,:}\\ b"}"#;
        let pretty = indented(text).expect("JSON");
        assert!(pretty.contains("1.00000000000000000001e-7"), "{pretty}");
        assert!(pretty.contains(r#""a\"{,:}\\ b""#), "{pretty}");
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        assert_eq!(indented("<html>"), None);
        assert_eq!(indented(""), None);
    }
}
