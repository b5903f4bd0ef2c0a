//! The output of templates, and their errors.

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::EventId;
use serde_json::value::RawValue;

use super::*;

#[path = "tests/bounds.rs"]
mod bounds;
#[path = "tests/numbers.rs"]
mod numbers;

const DATA: &str = r#"{"policy":"no \"pii\" <b>","count":3,"ratio":0.5,"ok":true,"nothing":null,"users":["ann","bob"],"deep":{"er":{"est":"x"}}}"#;

fn render_with(template: &str, data: &str) -> Result<String, FormatError> {
    let organization_id = &"acme".parse().expect("valid");
    let data: &RawValue = serde_json::from_str(data).expect("JSON");
    let event = PayloadEvent {
        id: EventId::MIN,
        organization_id,
        event_type: EventType::PolicyBlock,
        time: "2026-04-23T10:30:00.25Z".parse().expect("a timestamp"),
        data,
    };
    let rendered = CustomTemplate::compile(template)?.render(&event, &Interrupt::default())?;
    Ok(String::from_utf8(rendered).expect("UTF-8"))
}

fn render(template: &str) -> Result<String, FormatError> {
    render_with(template, DATA)
}

fn rendered(template: &str) -> String {
    render(template).unwrap_or_else(|error| panic!("{template}: {error}"))
}

fn refused(template: &str) -> String {
    match render(template) {
        Ok(made) => panic!("{template} made {} bytes", made.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn values_are_printed_as_json_and_so_are_joined_texts() {
    assert_eq!(rendered(r#"{"t":{{ data.policy }}}"#), r#"{"t":"no \"pii\" <b>"}"#);
    assert_eq!(
        rendered(r#"{"t":{{ "policy " ~ data.policy ~ " in " ~ organization_id }}}"#),
        r#"{"t":"policy no \"pii\" <b> in acme"}"#
    );
    assert_eq!(rendered("[{{ data.count }},{{ data.ratio }},{{ data.ok }}]"), "[3,0.5,true]");
    assert_eq!(rendered("{{ data.users }}"), r#"["ann","bob"]"#);
    assert_eq!(rendered("{{ data.deep|tojson }}"), r#"{"er":{"est":"x"}}"#);
    assert_eq!(
        rendered(r#"{{ "got " ~ data.deep|json_text }}"#),
        r#""got {\"er\":{\"est\":\"x\"}}""#
    );
    assert_eq!(
        rendered("[{{ event }},{{ event_id }},{{ timestamp }}]"),
        r#"["policy.block","evt_00000000000000000000000000","2026-04-23T10:30:00Z"]"#
    );
}

#[test]
fn a_missing_value_is_null_at_any_depth() {
    assert_eq!(
        rendered("[{{ data.no }},{{ data.no.such.thing }},{{ data.nothing }}]"),
        "[null,null,null]"
    );
    assert_eq!(rendered(r#"{{ data.no|default("none") }}"#), r#""none""#);
    assert_eq!(rendered("[{% for user in data.no %}{{ user }}{% endfor %}]"), "[]");
    assert_eq!(rendered(r#"{{ "a" ~ data.no }}"#), r#""a""#);
    for filter in [
        "capitalize",
        "default",
        "first",
        "items",
        "join",
        "length",
        "lower",
        "title",
        "trim",
        "upper",
        "json_text",
        "tojson",
        "truncate(3)",
        "replace('a', 'b')",
    ] {
        rendered(&format!("{{% set x = data.no|{filter} %}}1"));
    }
}

#[test]
fn conditions_loops_and_filters_work() {
    assert_eq!(
        rendered(
            r#"[{% for user in data.users %}{{ user|upper }}{% if not loop.last %},{% endif %}{% endfor %}]"#
        ),
        r#"["ANN","BOB"]"#
    );
    assert_eq!(
        rendered(
            r#"[{% for c in "aé😀" %}{{ loop.length ~ c }}{% if not loop.last %},{% endif %}{% endfor %}]"#
        ),
        r#"["3a","3é","3😀"]"#
    );
    assert_eq!(rendered(r#"{% if data.count > 2 %}"many"{% else %}"few"{% endif %}"#), r#""many""#);
    assert_eq!(rendered(r#"{{ data.users|join(", ") }}"#), r#""ann, bob""#);
    assert_eq!(rendered(r#"{{ data.policy|truncate(4) }}"#), r#""no …""#);
    assert_eq!(rendered(r#"{{ data.count|int + 1 }}"#), "4");
    assert_eq!(rendered(r#"{{ data.policy in ["a", "b"] }}"#), "false");
    assert_eq!(rendered(r#"{{ data.users[1] ~ data["count"] }}"#), r#""bob3""#);
    assert_eq!(
        rendered(
            r#"[{% for name, value in data.deep|items %}{{ name ~ "=" ~ value|json_text }}{% endfor %}]"#
        ),
        r#"["er={\"est\":\"x\"}"]"#
    );
    assert_eq!(rendered(r#"{{ data.policy|replace("pii", "PII")|length }}"#), "12");
}

#[test]
fn an_error_has_its_line() {
    let error = refused("{\n\"a\": {{ data.policy }\n}");
    assert!(error.starts_with("the template fails in line 2: syntax error"), "{error}");
    let error = refused("{\n\n\"a\": {{ data.policy|no_such }}}");
    assert!(error.starts_with("the template fails in line 3: unknown filter"), "{error}");
    let error = refused(r#"{"text": "{{ data.policy }}"}"#);
    assert!(error.starts_with("what the template makes is not JSON: a comma or }"), "{error}");
    assert!(error.contains("values bring their own quotation marks"), "{error}");
    for absent in [
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% macro m() %}{% endmacro %}",
        "{% extends 'x' %}",
    ] {
        assert!(refused(absent).contains("syntax error"), "{absent}");
    }
    for absent in ["range(10)", "dict()", "namespace()", "debug()", "data.items()"] {
        assert!(
            refused(&format!("{{{{ {absent} }}}}")).contains("nothing can be called"),
            "{absent}"
        );
    }
}

#[test]
fn members_keep_their_order() {
    let data = r#"{"z":1,"a":{"y":[],"b":{}},"10":0,"9":"x"}"#;
    assert_eq!(render_with("{{ data }}", data).as_deref(), Ok(data));
    let names = "[{% for name in data %}{{ name }}{% if not loop.last %},{% endif %}{% endfor %}]";
    assert_eq!(render_with(names, data).as_deref(), Ok(r#"["z","a","10","9"]"#));
    assert_eq!(render_with("{{ data|items|first }}", data).as_deref(), Ok(r#"["z",1]"#));
    let many: Vec<_> = (0..100).rev().map(|index| format!("\"k{index}\":{index}")).collect();
    let many = format!("{{{}}}", many.join(","));
    assert_eq!(render_with("{{ data }}", &many).as_deref(), Ok(&*many));
    assert_eq!(
        render_with("[{{ data.k7 }},{{ data.k77 }},{{ data.k777 }}]", &many).as_deref(),
        Ok("[7,77,null]")
    );
}

#[test]
fn containers_are_converted_where_a_text_is_expected_but_are_no_strings() {
    assert_eq!(rendered("{{ data.users|upper }}"), r#""[\"ANN\",\"BOB\"]""#);
    assert_eq!(rendered("{{ data.deep is startingwith('{') }}"), "false");
    assert_eq!(rendered("{{ data.policy is startingwith('no') }}"), "true");
    assert_eq!(rendered("{{ data.nothing|upper }}"), r#""""#);
    assert_eq!(rendered("{{ 'a ' ~ data.ok ~ data.nothing ~ data.no ~ 0.5 }}"), r#""a true0.5""#);
    assert_eq!(rendered("{{ data.ok|upper }}"), r#""TRUE""#);
}

/// Nothing of these is accepted today. An older version accepted it.
#[test]
fn data_that_is_no_longer_accepted_is_an_error_and_no_crash() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    for data in [&*deep, r#"{"a":"\ud800"}"#, r#"{"a":1,"a":2}"#] {
        let wrong = render_with("{{ data }}", data).expect_err("not accepted");
        assert!(matches!(wrong, FormatError::Data { .. }), "{wrong}");
    }
}

#[test]
fn an_interrupted_rendering_stops() {
    let organization_id = &"acme".parse().expect("valid");
    let event = crate::sample_event(organization_id, EventType::PolicyBlock);
    let template = CustomTemplate::compile("{{ data }}").expect("a template");
    let interrupt = Interrupt::default();
    assert!(template.render(&event, &interrupt).is_ok());
    interrupt.raise();
    assert_eq!(template.render(&event, &interrupt), Err(FormatError::Interrupted));
}

#[test]
fn invalid_json_in_the_output_is_an_error_with_its_place() {
    for (template, reason) in [
        ("", "is not JSON: a value was expected at byte 0"),
        ("{} {}", "is not JSON: the end was expected at byte 3"),
        ("[01]", "is not JSON: a comma or ] was expected at byte 2"),
        ("\u{feff}{}", "is not JSON: it begins with a byte order mark"),
        (
            r#"{"a":{{ data.count }},"\u0061":2}"#,
            r#"has the name "a" twice in one object, again at byte 7"#,
        ),
        (r#"{"a":{"b":[{"c":1,"c":2}]}}"#, r#"has the name "c" twice"#),
        (r#"["\ud83d"]"#, "has half of a surrogate pair at byte 2"),
        (r#"{"\udc00":1}"#, "has half of a surrogate pair at byte 2"),
        ("{% for name in data %}[{% endfor %}", "is not JSON: a value was expected at byte 7"),
    ] {
        let error = refused(template);
        let told =
            error.strip_prefix("what the template makes ").unwrap_or_else(|| panic!("{error}"));
        assert!(told.starts_with(reason), "{template}: {error}");
    }
    let error = refused(
        "{\n \"first\": {{ data.users }},\n \"second\": {{ data.policy }} {{ data.ok }}\n}",
    );
    assert!(error.contains(r#" (in line 3 of it, after "second": "no \"pii\" <b>")"#), "{error}");
    assert!(refused("x").contains(" (in line 1 of it): values bring"));
    let error = refused(&format!("[\"{}\",\"\\ud800\"]", "語".repeat(100)));
    assert!(error.ends_with(&format!(", after …{}\",\")", "語".repeat(37))), "{error}");
}

#[test]
fn a_template_may_nest_data_up_to_the_depth_that_receivers_read() {
    let data =
        |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    let around = |levels: usize, data: &str| {
        let template = format!("{}{{{{ data }}}}{}", "[".repeat(levels), "]".repeat(levels));
        render_with(&template, data)
    };
    assert!(around(MAX_PAYLOAD_DEPTH - 60, &data(60)).is_ok());
    assert!(around(MAX_PAYLOAD_DEPTH - 1, "{}").is_ok());
    for (levels, data) in [(MAX_PAYLOAD_DEPTH - 59, data(60)), (MAX_PAYLOAD_DEPTH, "{}".to_owned())]
    {
        let error = around(levels, &data).expect_err("a level too many").to_string();
        assert!(error.contains("is nested more than 64 levels deep at byte"), "{error}");
        assert!(!error.contains("quotation marks"), "{error}");
    }
}

#[test]
fn the_error_for_a_wrong_argument_says_what_was_given_and_what_is_expected() {
    let data = r#"{"int":1,"n":1.10,"huge":1e400,"list":[1],"map":{"a":1},"text":"x","yes":true,"none":null}"#;
    let error = |expression: &str| {
        let template = format!("{{% set x = {expression} %}}1");
        match render_with(&template, data) {
            Ok(_) => panic!("{expression} is taken"),
            Err(error) => error.to_string(),
        }
    };
    let kinds = [
        ("data.int", "a number"),
        ("data.n", "a number"),
        ("data.huge", "a number"),
        ("data.list", "a list"),
        ("data.map", "an object"),
        ("data.text", "a text"),
        ("data.yes", "true or false"),
        ("data.none", "null"),
        ("data.missing", "a value that is missing"),
    ];
    // With what is taken.
    let numbers = &["data.int", "data.n", "data.huge"][..];
    let containers = &["data.list", "data.map", "data.text", "data.none", "data.missing"][..];
    for (call, wanted, taken) in [
        ("V|join(',')", "join takes a list, an object or a text", containers),
        ("V|length", "length takes a list, an object or a text", containers),
        ("V|first", "first takes a list, an object or a text", containers),
        ("V|items", "items takes an object", &["data.map", "data.none", "data.missing"]),
        ("V|abs", "abs takes a number", &["data.int", "data.n", "data.huge", "data.yes"]),
        ("V|round", "round takes a number", &["data.int", "data.n", "data.huge", "data.yes"]),
        (
            "V|int",
            "int takes a number or a text",
            &[
                "data.int",
                "data.n",
                "data.huge",
                "data.yes",
                "data.text",
                "data.none",
                "data.missing",
            ],
        ),
        (
            "V|float",
            "float takes a number or a text",
            &[
                "data.int",
                "data.n",
                "data.huge",
                "data.yes",
                "data.text",
                "data.none",
                "data.missing",
            ],
        ),
        ("data.text|truncate(V)", "truncate takes a whole number as its length", numbers),
        (
            "1.5|round(V)",
            "round takes a whole number as its precision",
            &["data.int", "data.n", "data.huge", "data.none", "data.missing"],
        ),
        (
            "'1'|int(base=V)",
            "int takes a whole number as its base",
            &["data.int", "data.n", "data.huge", "data.none", "data.missing"],
        ),
        ("-V", "- takes a number", &["data.int", "data.n", "data.huge", "data.yes"]),
        ("'x' in V", "\"in\" takes a text, a list or an object", containers),
    ] {
        for (value, kind) in kinds {
            if taken.contains(&value) {
                continue;
            }
            let error = error(&call.replace('V', value));
            assert!(error.contains(wanted) && error.contains(kind), "{call} of {value}: {error}");
        }
    }
    for (expression, reason) in [
        ("data.text|truncate(data.n)", "truncate takes a whole number as its length, not 1.10"),
        ("data.text|truncate(-1)", "truncate takes a whole number as its length, not -1"),
        ("1.5|round(data.huge)", "round takes a whole number as its precision, not 1e400"),
        ("1.5|round(1, 'up')", "round takes \"common\", \"ceil\" or \"floor\" as its method"),
        ("data.int|int(base=2)", "int takes a base from 2 to 36, of a text"),
        ("'1'|int(base=37)", "int takes a base from 2 to 36, of a text"),
        ("data.list|length + data.map|length * data.none|abs", "abs takes a number, not null"),
        ("data.text|upper + 1", "+ takes two numbers, not a text and a number"),
        (
            "data.yes|json_text * data.none|default('x')|upper",
            "* takes two numbers, not a text and a text",
        ),
        ("1 - data.text|upper", "- takes two numbers, not a number and a text"),
    ] {
        let error = error(expression);
        assert!(error.contains(reason), "{expression}: {error}");
    }
    for value in ["data.int", "data.n", "data.yes"] {
        let template = format!("{{% for x in {value} %}}{{% endfor %}}1");
        let error = render_with(&template, data).expect_err("no loop").to_string();
        assert!(error.contains("a loop takes a list, an object or a text, not "), "{error}");
    }
}
