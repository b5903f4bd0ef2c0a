//! What templates make, and what they cannot do.

use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::event_type::EventType;
use keeptrusts_webhooks_domain::ids::EventId;
use serde_json::value::RawValue;

use super::*;

const DATA: &str = r#"{"policy":"no \"pii\" <b>","count":3,"ratio":0.5,"ok":true,"nothing":null,"users":["ann","bob"],"deep":{"er":{"est":"x"}}}"#;

fn render_with(template: &str, data: &str) -> Result<String, FormatError> {
    let organization_id = &"acme".parse().expect("valid");
    let data: &RawValue = serde_json::from_str(data).expect("JSON");
    let event = Event {
        id: EventId::MIN,
        organization_id,
        event_type: EventType::PolicyBlock,
        time: "2026-04-23T10:30:00.25Z".parse().expect("a timestamp"),
        data,
    };
    let rendered = CustomTemplate::compile(template)?.render(&event)?;
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
fn values_are_printed_as_json_texts_joined_ones_too() {
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
fn what_is_missing_is_null_however_deep_it_is_looked_for() {
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
fn what_is_wrong_is_told_with_its_line() {
    let error = refused("{\n\"a\": {{ data.policy }\n}");
    assert!(error.starts_with("the template fails in line 2: syntax error"), "{error}");
    let error = refused("{\n\n\"a\": {{ data.policy|no_such }}}");
    assert!(error.starts_with("the template fails in line 3: unknown filter"), "{error}");
    let error = refused(r#"{"text": "{{ data.policy }}"}"#);
    assert!(error.starts_with("what the template makes is not JSON ("), "{error}");
    assert!(refused("").contains("not JSON"));
    assert!(refused("{} {}").contains("not JSON"));
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
fn data_that_is_nested_too_deeply_or_is_no_unicode_is_an_error_and_no_crash() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let wrong = render_with("{{ data }}", &deep).expect_err("too deep");
    assert!(matches!(wrong, FormatError::Data { .. }), "{wrong}");
    let wrong = render_with("{{ data }}", r#"{"a":"\ud800"}"#).expect_err("no Unicode");
    assert!(matches!(wrong, FormatError::Data { .. }), "{wrong}");
}

/// Each would take minutes, gigabytes or the stack if nothing stopped it. With them the piece that
/// is repeated, and how often: as often as 16 KiB have place for.
fn bombs() -> Vec<(&'static str, String)> {
    let times = |piece: &str, count: usize| piece.repeat(count);
    let grown = |start: &str, growth: &str, end: &str| {
        format!("{{% set a = {start} %}}{}{{{{ {end} }}}}", growth.repeat(60))
    };
    let nested = |open: &str, inside: &str, close: &str, depth: usize| {
        format!("{}{inside}{}", open.repeat(depth), close.repeat(depth))
    };
    vec![
        ("concatenation", grown("data.policy", "{% set a = a ~ a %}", "a")),
        (
            "concatenation in with",
            format!(
                "{{% set a = event %}}{}",
                nested("{% with a = a ~ a %}", "{{ a }}", "{% endwith %}", 60)
            ),
        ),
        ("concatenations of data", format!("{{{{ data{} }}}}", times(" ~ data", 90))),
        ("a sum of texts", grown("data.policy", "{% set a = a + a %}", "a")),
        ("a sum of lists", grown("data.users", "{% set a = a + a %}", "a ~ ''")),
        ("a sum of texts for certain", grown("'x'", "{% set a = a|upper + a|upper %}", "a")),
        ("a product of texts for certain", "{{ 'x' * 1000000000 }}".to_owned()),
        ("a smaller product", "{{ 'x' * 90000000 }}".to_owned()),
        ("products of products", grown("'x'", "{% set a = a|upper * 1000 %}", "a")),
        ("a product of a list", "{{ [0] * 90000000 }}".to_owned()),
        ("a product of a list as text", "{{ ([0] * 90000000) ~ '' }}".to_owned()),
        ("a product of data", "{{ data.users * 90000000 ~ '' }}".to_owned()),
        ("a capture", grown("event", "{% set a %}{{ a }}{{ a }}{% endset %}", "a")),
        ("shared lists", grown("1", "{% set a = [a, a] %}", "a")),
        ("shared lists as text", grown("1", "{% set a = [a, a] %}", "a ~ ''")),
        ("shared tuples", grown("1", "{% set a = a, a %}", "a ~ ''")),
        ("shared maps", grown("1", "{% set a = {'x': a, 'y': a} %}", "a ~ ''")),
        ("shared lists in a filter", grown("1", "{% set a = [a, a] %}", "a|upper")),
        ("items of items", grown("data", "{% set a = a|items %}", "a ~ ''")),
        ("replacing", grown("'aaaaaaaa'", "{% set a = a|replace('a', a) %}", "a")),
        ("replacing nothing", grown("'aaaaaaaa'", "{% set a = a|replace('', a) %}", "a")),
        ("joining", grown("'aaaaaaaa'", "{% set a = a|join(a) %}", "a")),
        ("joining a list", grown("'aaaaaaaa'", "{% set a = data.users|join(a) ~ a %}", "a")),
        ("JSON in JSON", grown("'\"'", "{% set a = a|json_text %}", "a")),
        (
            "loops in loops",
            nested("{% for x in [1,2,3,4,5,6,7,8,9,10] %}", "1", "{% endfor %}", 12),
        ),
        (
            "a recursive loop",
            "{% for x in [1,2] recursive %}{{ loop([1,2]) }}{% endfor %}".to_owned(),
        ),
        ("a call", "{{ loop(1) }}".to_owned()),
        ("a long slice", "{{ data.policy[::-1] }}".to_owned()),
        ("a power of powers", "{{ 9 ** 9 ** 9 ** 9 }}".to_owned()),
        ("comparing data", "{{ data.users == data.users }}".to_owned()),
        ("finding data in data", "{{ data.users in data }}".to_owned()),
        ("unpacking data", "{{ event|replace(*data.users) }}".to_owned()),
        ("parentheses", format!("{{{{ {} }}}}", nested("(", "1", ")", 8_000))),
        ("lists of lists", format!("{{{{ {} }}}}", nested("[", "1", "]", 8_000))),
        ("negations", format!("{{{{ {}1 }}}}", times("not ", 4_000))),
        ("minuses", format!("{{{{ {}1 }}}}", times("-", 16_000))),
        ("filters", format!("{{{{ 1{} }}}}", times("|abs", 4_000))),
        ("filters up to the limit", format!("{{{{ 1{} }}}}", times("|abs", 99))),
        ("attributes", format!("{{{{ a{} }}}}", times(".a", 8_000))),
        ("sums", format!("{{{{ 1{} }}}}", times("+1", 8_000))),
        ("conditions", format!("{{{{ 1{} }}}}", times(" if 1", 3_000))),
        ("comparisons", format!("{{{{ 1{} }}}}", times("<1", 8_000))),
        ("blocks", nested("{% if 1 %}", "1", "{% endif %}", 700)),
        ("elifs", format!("{{% if 0 %}}{}{{% endif %}}", times("{% elif 0 %}", 1_300))),
        (
            "elifs up to the limit",
            format!("{{% if 0 %}}{}{{% endif %}}", times("{% elif 0 %}", 298)),
        ),
        ("many expressions", times("{{1}}", 3_200)),
    ]
}

/// Each looks cheap and reads much, again and again.
const REPEATED: [&str; 18] = [
    "data.policy|length",
    "data.policy|first",
    "data.policy|upper",
    "data.policy|int",
    "data.policy|trim",
    "data.policy|default('')",
    "data.policy|truncate(9)",
    "data.policy|truncate(99999)",
    "data.policy ~ 'x'",
    "data.policy == 'p'",
    "'zz' in data.policy",
    "'zz' in data.users",
    "data.policy is startingwith(data.policy)",
    "data|items|first",
    "data.users|first",
    "data.users|length",
    "data.users|json_text",
    "data.users[999]",
];

#[test]
fn no_template_takes_much_time_or_memory() {
    let many = (0..60_000).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    let large = format!(r#"{{"policy":"{}","users":[{many}]}}"#, "p".repeat(100_000));
    assert!(large.len() < 512 * 1024);
    let repeated = REPEATED.map(|expression| {
        let template = format!(
            "{{% for x in data.users %}}{{% if {expression} %}}{{% endif %}}{{% endfor %}}1"
        );
        (expression, template)
    });
    for (name, template) in bombs().into_iter().chain(repeated) {
        for data in [DATA, &large] {
            let start = Instant::now();
            let made = render_with(&template, data);
            let elapsed = start.elapsed();
            // Far more than it takes when it is optimized and alone.
            assert!(elapsed < Duration::from_secs(2), "{name} took {elapsed:?}");
            match made {
                Ok(made) => assert!(made.len() <= MAX_CUSTOM_BODY_BYTES, "{name}: {}", made.len()),
                Err(error) => assert!(error.to_string().len() < 1_000, "{name}: {error}"),
            }
        }
    }
}

#[test]
fn a_bomb_is_told_what_it_is() {
    let refusals: Vec<_> = bombs()
        .into_iter()
        .filter_map(|(name, template)| Some((name, render(&template).err()?.to_string())))
        .collect();
    let of = |bomb: &str| {
        let found = refusals.iter().find(|(name, _)| *name == bomb);
        found.unwrap_or_else(|| panic!("{bomb} was not refused")).1.clone()
    };
    for exhausting in [
        "concatenation",
        "concatenation in with",
        "a product of texts for certain",
        "replacing",
        "loops in loops",
    ] {
        assert!(of(exhausting).contains("too many steps"), "{exhausting}: {}", of(exhausting));
    }
    for unlisted in ["shared tuples", "shared maps"] {
        assert!(of(unlisted).contains("cannot be made here"), "{unlisted}: {}", of(unlisted));
    }
    assert!(of("shared lists as text").contains("of constants only"));
    assert!(of("a product of data").contains("what kind of value"));
    assert!(of("a recursive loop").contains("recursive"));
    assert!(of("a long slice").contains("truncate"));
    assert!(of("filters").contains("more than 200 words"), "{}", of("filters"));
}

#[test]
fn the_result_is_at_most_256_kib() {
    let data = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    assert!(render_with("{{ data }}", &data).is_ok());
    let twice = render_with("[{{ data }},{{ data }}]", &data).expect_err("too large");
    assert_eq!(twice, FormatError::TooLarge { limit: MAX_CUSTOM_BODY_BYTES });
}
