//! Templates cannot use up the process's time or memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keeptrusts_webhooks_domain::limits::MAX_DATA_BYTES;

use super::*;

/// Each would take minutes, gigabytes or the stack if nothing stopped it. With the piece that is
/// repeated, and how often: as often as it fits into 16 KiB.
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

/// Each looks cheap and repeatedly reads a lot.
const REPEATED: [&str; 22] = [
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
    "data.zeros",
    "not data.zeros or -data.zeros",
    "data.NAME or data.NAME",
    "data.named|join(attribute=data.names.NAME)",
];

#[test]
fn no_template_takes_much_time_or_memory() {
    let many = (0..60_000).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    // Looked for among others of its length that differ at their ends.
    let name = "n".repeat(3_000);
    let named: Vec<_> = (0..7).map(|index| format!(r#""{name}{index}":1"#)).collect();
    let named = named.join(",");
    let large = format!(
        r#"{{"policy":"{}","users":[{many}],"zeros":0.{},"named":[{{{named}}},{{{named}}}],"names":{{"{name}x":"{name}x"}},{named}}}"#,
        "p".repeat(100_000),
        "0".repeat(100_000),
    );
    assert!(large.len() < 768 * 1024);
    let repeated = REPEATED.map(|expression| {
        let expression = expression.replace("NAME", &format!("{name}x"));
        let template = format!(
            "{{% for x in data.users %}}{{% if {expression} %}}{{% endif %}}{{% endfor %}}1"
        );
        (format!("{expression:.40}"), template)
    });
    let bombs = bombs().into_iter().map(|(name, template)| (name.to_owned(), template));
    for (name, template) in bombs.chain(repeated) {
        for data in [DATA, &large] {
            let start = Instant::now();
            let made = render_with(&template, data);
            let elapsed = start.elapsed();
            // Far more than it takes when it is optimized and alone.
            assert!(elapsed < Duration::from_secs(10), "{name} took {elapsed:?}");
            match made {
                Ok(made) => assert!(made.len() <= MAX_CUSTOM_BODY_BYTES, "{name}: {}", made.len()),
                Err(error) => assert!(error.to_string().len() < 1_000, "{name}: {error}"),
            }
        }
    }
}

#[test]
fn a_template_that_is_too_expensive_is_refused_with_the_reason() {
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
fn the_output_is_bounded_and_any_event_fits() {
    let data = format!(r#"{{"a":"{}"}}"#, "x".repeat(200_000));
    let largest = format!(r#"{{"a":"{}"}}"#, "x".repeat(MAX_DATA_BYTES - 8));
    assert_eq!(largest.len(), MAX_DATA_BYTES);
    assert!(render_with(r#"{"event":{{ event }},"all":{{ data }}}"#, &largest).is_ok());
    let twice = render_with("[{{ data }},{{ data }}]", &data).expect_err("too large");
    assert_eq!(twice, FormatError::TooLarge { limit: MAX_CUSTOM_BODY_BYTES });
}

/// Values of every kind; those that can be large are as large as an event may have them.
fn kinds(size: usize) -> String {
    let many = |item: &dyn Fn(usize) -> String| {
        let mut items = String::new();
        for index in 0.. {
            items.push_str(&item(index));
            if items.len() >= size {
                return items;
            }
            items.push(',');
        }
        items
    };
    let list = many(&|index| index.to_string());
    let map = many(&|index| format!("\"{index}\":{index}"));
    let (open, close) = ("[".repeat(40), "]".repeat(40));
    let (text, digits) = ("p".repeat(size), "1".repeat(size));
    let kinds = format!(
        r#""text":"{text}","list":[{list}],"map":{{{map}}},"deep":{open}"{text}"{close},"number":{digits},"fraction":0.{digits},"none":null,"yes":true"#
    );
    format!("{{{kinds}}}")
}

const KINDS: [&str; 9] =
    ["text", "list", "map", "deep", "number", "fraction", "none", "yes", "missing"];
const LARGE: usize = 4_000;
const SMALL: usize = 4;

/// The cost of a template that evaluates the expression repeatedly. `None`: it fails.
fn steps(expression: &str, times: usize, data: &str) -> Option<u64> {
    let times = vec!["1"; times].join(",");
    let template =
        format!("{{% for x in [{times}] %}}{{% if {expression} %}}{{% endif %}}{{% endfor %}}");
    let organization_id = &"acme".parse().expect("valid");
    let sample = crate::sample_event(organization_id, EventType::PolicyBlock);
    let data: &RawValue = serde_json::from_str(data).expect("JSON");
    let template = CustomTemplate::compile(&template).ok()?;
    let run = template.run(&PayloadEvent { data, ..sample }, &Interrupt::default());
    run.ok().map(|(_, steps)| steps)
}

/// The cost of evaluating it once.
fn cost(expression: &str, data: &str) -> Option<u64> {
    Some((steps(expression, 3, data)? - steps(expression, 1, data)?) / 2)
}

/// Filters that read no part of a list, an object or a number that grows with it. Those of numbers
/// refuse lists and objects, or take their default. (Of a text the
/// engine charges every filter.)
const READ_NO_CONTAINER: [&str; 7] =
    ["default", "first", "float", "int", "items", "length", "tojson"];

/// Every call of a filter or test that takes some of the arguments. The engine says which it has.
fn calls() -> Vec<(String, String)> {
    let environment = format!("{:?}", environment());
    let names = |list: &str| {
        let (_, rest) = environment.split_once(&format!("{list}: [")).expect("a list");
        let (names, _) = rest.split_once(']').expect("its end");
        names.split(", ").map(|name| name.trim_matches('"').to_owned()).collect::<Vec<_>>()
    };
    let (filters, tests) = (names("filters"), names("tests"));
    // What a new version of the engine brings has to be listed, and so looked at.
    assert_eq!(filters.len(), builtins::FILTERS.len() + operators::NAMES.len(), "{filters:?}");
    for listed in builtins::FILTERS.into_iter().chain(operators::NAMES) {
        assert!(filters.iter().any(|name| name == listed), "{listed} of {filters:?}");
    }
    assert_eq!(tests, builtins::TESTS);
    assert!(environment.contains("globals: {}"), "no function: {environment}");
    let arguments = ["", "(data.text)", "(data.list)", "(data.map)", "(data.number)", "(3)"]
        .map(str::to_owned)
        .into_iter()
        .chain(["text", "map", "deep"].map(|kind| format!("(data.{kind}, data.text)")));
    let mut calls = Vec::new();
    for arguments in arguments {
        for name in builtins::FILTERS {
            calls.push((name.to_owned(), format!("|{name}{arguments}")));
        }
        for name in builtins::TESTS {
            calls.push((name.to_owned(), format!(" is {name}{arguments}")));
        }
    }
    calls
}

#[test]
fn every_filter_and_test_is_charged_for_what_it_reads() {
    let (small, large) = (kinds(SMALL), kinds(LARGE));
    let mut constant = BTreeMap::<_, Vec<_>>::new();
    let mut charged = 0;
    for (name, call) in calls() {
        for kind in KINDS {
            let expression = format!("data.{kind}{call}");
            let (Some(little), much) = (cost(&expression, &small), cost(&expression, &large))
            else {
                // It refuses what it is given.
                continue;
            };
            // Half of what the engine charges for bytes. None: not even three of them are paid.
            if much.is_none_or(|much| much.saturating_sub(little) >= LARGE as u64 / 128) {
                charged += 1;
                continue;
            }
            let is_test = builtins::TESTS.contains(&&*name);
            let is_scalar = matches!(kind, "none" | "yes" | "missing");
            assert!(
                is_test || is_scalar || READ_NO_CONTAINER.contains(&&*name),
                "{expression} costs {little} for little and {much:?} for much"
            );
            constant.entry(name.clone()).or_default().push(expression);
        }
    }
    assert!(charged > 100, "{charged}");
    // What costs the same for little and for much takes no time that grows. The steps above are
    // what is held; a conversion of an argument takes 40 KB each time here, and milliseconds.
    let huge = kinds(40_000);
    let timed = |template: &str| {
        let start = Instant::now();
        assert_eq!(render_with(template, &huge).as_deref(), Ok("1"), "{template}");
        start.elapsed()
    };
    let nothing = timed("1");
    for (name, expressions) in constant {
        let asked = expressions.len().min(100);
        let each = expressions.iter().map(|it| format!("{{% if {it} %}}{{% endif %}}"));
        let each: String = each.take(asked).collect();
        let times = 2_000 / asked;
        let characters = "x".repeat(times);
        let template = format!("{{% for x in '{characters}' %}}{each}{{% endfor %}}1");
        let each = timed(&template).saturating_sub(nothing) / (times * asked) as u32;
        assert!(each < Duration::from_micros(300), "{name} takes {each:?} each time");
    }
}

#[test]
fn every_operator_is_charged_for_what_it_reads() {
    let (small, large) = (kinds(SMALL), kinds(LARGE));
    // With the kinds of which the operator reads a part that grows.
    for (operation, reads) in [
        ("V == 'p'", &[][..]),
        ("V|json_text == V|json_text", &["text", "list", "map", "deep", "number", "fraction"]),
        ("V|abs + 1", &["number", "fraction"]),
        ("V|abs == 1", &["number", "fraction"]),
        ("V|upper < V|upper", &["text", "list", "map", "deep", "number", "fraction"]),
        ("'a' < V", &[]),
        ("'zz' in V", &["text", "list"]),
        ("'zz' not in V", &["text", "list"]),
        ("V in ['p', 'q']", &[]),
        ("V ~ 'x'", &["text", "list", "map", "deep", "number", "fraction"]),
        ("'x' ~ V", &["text", "list", "map", "deep", "number", "fraction"]),
        ("V[3]", &[]),
        ("V['a']", &[]),
        ("V.a", &[]),
        ("-V", &["number", "fraction"]),
        ("not V", &[]),
        ("V and V", &[]),
        ("V or V", &[]),
        ("V if V else V", &[]),
    ] {
        for kind in KINDS {
            let expression = operation.replace('V', &format!("data.{kind}"));
            let (Some(little), much) = (cost(&expression, &small), cost(&expression, &large))
            else {
                continue;
            };
            let grows = much.is_none_or(|much| much.saturating_sub(little) >= LARGE as u64 / 128);
            assert_eq!(grows, reads.contains(&kind), "{expression}: {little}, {much:?}");
        }
    }
}

#[test]
fn finding_a_member_costs_the_bytes_that_may_be_compared() {
    let data = kinds(SMALL);
    let name = "n".repeat(2_000);
    for expression in [
        format!("data.{name}"),
        format!("data['{name}']"),
        format!("'{name}' in data"),
        format!("data.list|join(attribute='{name}')"),
    ] {
        let cost = cost(&expression, &data).expect("it is taken");
        assert!(cost >= 8 * 2_000 / 64, "{expression:.30} costs {cost}");
    }
}

#[test]
fn changing_the_case_of_letters_costs_more_than_reading_them() {
    let data = kinds(LARGE);
    let cost = |filter: &str| cost(&format!("data.text|{filter}"), &data).expect("it is taken");
    for filter in ["capitalize", "lower", "title", "upper"] {
        let (cost, read) = (cost(filter), cost("trim"));
        assert!(cost >= read + LARGE as u64 / 64, "{filter} costs {cost}, and reading {read}");
    }
}

/// 80 bytes that were not over after nine seconds.
#[test]
fn taking_the_first_item_repeatedly_costs_steps_and_little_time() {
    let list = (0..12_000).map(|index| index.to_string()).collect::<Vec<_>>().join(",");
    let data = format!(r#"{{"m":[{list}],"l":[{list}]}}"#);
    let template =
        r#"{% for x in data.l %}{% if data.m is startingwith("zz") %}1{% endif %}{% endfor %}1"#;
    let start = Instant::now();
    let made = render_with(template, &data);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(made.is_ok_and(|made| made == "1"));
}
