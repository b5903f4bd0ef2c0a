use super::*;

fn check(text: &str) -> Result<(), JsonError> {
    let read = read(text, |_, _: Json<'_, ()>| ());
    assert_eq!(super::check(text, MAX_DATA_DEPTH), read, "{text:.100}");
    if let Err(error) = &read {
        assert!(text.is_char_boundary(error.position()), "{error}");
        assert_eq!(error.is_of_grammar(), error.to_string().starts_with("is not JSON"), "{error}");
    }
    read
}

/// The text without white space, with strings as Rust writes them.
fn outline(text: &str) -> String {
    let made = read(text, |text, json: Json<'_, String>| match json {
        Json::Null | Json::Boolean(_) | Json::Number => text.to_owned(),
        Json::String(string) => format!("{string:?}"),
        Json::Array(elements) => format!("[{}]", elements.join(",")),
        Json::Object(members) => {
            let members = members.iter().map(|it| format!("{:?}:{}", it.name, it.value));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
    });
    made.unwrap_or_else(|error| panic!("{text} {error}"))
}

fn refusal(text: &str) -> String {
    check(text).expect_err(text).to_string()
}

#[test]
fn inner_values_are_read_first_and_in_their_order() {
    assert_eq!(
        outline(
            " { \"z\" : [ 1 , { } , [ ] ,null] ,\n\t\"a\":true,\"é\\n\":\"\\u00e9\\ud83d\\ude42\"}\r\n"
        ),
        r#"{"z":[1,{},[],null],"a":true,"é\n":"é🙂"}"#
    );
    let name_text = read(r#"{"\u0061":0}"#, |_, json: Json<'_, String>| match json {
        Json::Object(members) => members[0].name_text.to_owned(),
        _ => String::new(),
    });
    assert_eq!(name_text.as_deref(), Ok(r#""\u0061""#));
}

#[test]
fn numbers_of_any_size_and_precision_stay_as_they_are_written() {
    for number in
        ["0", "-0", "-0.0", "1.10", "1E5", "1e400", "1e999999999", "12345678901234567890123", "0e0"]
    {
        assert_eq!(outline(number), number);
    }
    for wrong in ["01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "NaN", "Infinity", "1 2"] {
        assert!(refusal(wrong).starts_with("is not JSON: "), "{wrong}");
    }
}

#[test]
fn json_on_which_receivers_disagree_is_refused_with_its_position() {
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(&deep(MAX_DATA_DEPTH)), Ok(()));
    assert!(refusal(&deep(MAX_DATA_DEPTH + 1)).starts_with("is nested more than"));
    assert!(refusal(&"[".repeat(100_000)).starts_with("is nested more than"));
    assert_eq!(super::check(&deep(3), 3), Ok(()));
    let deeper = super::check(&deep(4), 3).expect_err("a level too many").to_string();
    assert!(deeper.starts_with("is nested more than 3 levels deep at byte 3"), "{deeper}");
    // Siblings are not nested.
    assert_eq!(check(&format!("[{}1]", "[[]],".repeat(1_000))), Ok(()));
    assert_eq!(
        refusal(r#"{"a":1,"\u0061":2}"#),
        r#"has the name "a" twice in one object, again at byte 7: receivers would not agree which one counts"#
    );
    let many: String = (0..1_000).map(|index| format!("\"{index}\":0,")).collect();
    assert_eq!(check(&format!("{{{many}\"z\":0}}")), Ok(()));
    for again in [0, 1, 15, 16, 17, 999] {
        let refused = refusal(&format!("{{{many}\"{again}\":0}}"));
        assert!(refused.contains(&format!("\"{again}\" twice")), "{refused}");
    }
    assert_eq!(check(r#"{"a":{"a":1},"b":{"a":2}}"#), Ok(()));
    for half in
        [r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#"{"\ud83d":1}"#, r#""\ud83dx""#]
    {
        assert!(refusal(half).starts_with("has half of a surrogate pair at byte "), "{half}");
    }
}

#[test]
fn a_text_that_is_not_json_is_refused_with_its_position() {
    for (wrong, reason) in [
        ("", "a value was expected at byte 0"),
        ("{", "a string in quotation marks was expected at byte 1"),
        ("{\"a\"", "a colon was expected at byte 4"),
        ("{\"a\":", "a value was expected at byte 5"),
        ("{\"a\":1,}", "a string in quotation marks was expected at byte 7"),
        ("[1,]", "a value was expected at byte 3"),
        ("[1 2]", "a comma or ] was expected at byte 3"),
        ("{} {}", "the end was expected at byte 3"),
        ("{'a':1}", "a string in quotation marks was expected at byte 1"),
        ("nul", "a value was expected at byte 0"),
        ("\"a", "the end of a string was expected at byte 2"),
        ("\"\\x\"", "byte 1 begins no escape of JSON"),
        ("\"\\u00g0\"", "byte 1 begins no escape of JSON"),
        ("\"\\u+123\"", "byte 1 begins no escape of JSON"),
        ("\"a\u{0}\"", "the control character at byte 2 must be written as \\u0000"),
        ("\u{feff}{}", "it begins with a byte order mark, which must be left out"),
        ("\u{a0}1", "a value was expected at byte 0"),
        ("/**/1", "a value was expected at byte 0"),
    ] {
        assert_eq!(refusal(wrong), format!("is not JSON: {reason}"), "{wrong:?}");
    }
    assert_eq!(check("\"\\u0000\""), Ok(()), "a NUL that is written as an escape is a character");
    let long = format!("{{\"{0}\":1,\"{0}\":1}}", "語".repeat(1_000));
    assert!(refusal(&long).len() < 300, "long names are not quoted in full");
}

#[test]
fn the_reader_and_serde_json_agree_on_the_grammar() {
    let pieces = [
        "{", "}", "[", "]", ",", ":", "\"a\"", "\"b\\n\"", "1", "-2.5e3", "true", "null", " ", "x",
    ];
    // Every text of up to four pieces.
    for index in 0..pieces.len().pow(4) {
        let piece = |place: u32| pieces[index / pieces.len().pow(place) % pieces.len()];
        let text: String = (0..4).map(piece).collect();
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&text);
        assert_eq!(check(&text).is_ok(), theirs.is_ok(), "{text}");
    }
}
