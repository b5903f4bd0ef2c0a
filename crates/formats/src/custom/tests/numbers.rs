//! Printing numbers and computing with them.

use super::*;

#[test]
fn numbers_are_printed_as_they_were_written_wherever_they_are() {
    let numbers = [
        "12345678901234567890123",
        "1.10",
        "-0",
        "-0.0",
        "1E5",
        "1e400",
        "1e-400",
        "1e999999999",
        "0.1",
        "9007199254740993",
        "123456789012345678901234567890123456789012345678901234567890",
        "-7",
    ];
    for number in numbers {
        let data = format!(r#"{{"n":{number},"list":[{number}],"map":{{"x":{number}}}}}"#);
        for (template, made) in [
            ("{{ data.n }}", number.to_owned()),
            ("{{ data.n|tojson }}", number.to_owned()),
            ("{{ data.n|json_text }}", format!("\"{number}\"")),
            ("{{ data.n|default(0) }}", number.to_owned()),
            ("{{ 'n: ' ~ data.n }}", format!("\"n: {number}\"")),
            ("{{ data.list|join('') }}", format!("\"{number}\"")),
            ("{% for n in data.list %}{{ n }}{% endfor %}", number.to_owned()),
            ("{{ data.list|first }}", number.to_owned()),
            ("{{ data.list[0] }}", number.to_owned()),
            ("{{ data.map }}", format!("{{\"x\":{number}}}")),
            ("{{ data }}", data.clone()),
            ("{{ '' ~ data.map }}", format!("\"{{\\\"x\\\":{number}}}\"")),
            ("{% set n = data.n %}{{ n }}", number.to_owned()),
            ("{{ data.n is number and data.n is not string }}", "true".to_owned()),
        ] {
            let rendered = render_with(template, &data);
            assert_eq!(rendered.as_deref(), Ok(&*made), "{template} of {number}");
        }
    }
}

#[test]
fn numbers_can_be_compared_and_computed_with() {
    let data = r#"{"price":1.10,"zero":-0.0,"one":1E0,"big":12345678901234567890123,"huge":1e400,"list":[2.50,"2.5"],"text":"7"}"#;
    for (expression, made) in [
        ("data.price == 1.1", "true"),
        ("data.price > 1", "true"),
        ("1 < data.price < 1.2", "true"),
        ("data.price in [1.1, 2]", "true"),
        ("2.5 in data.list", "true"),
        ("3 in data.list", "false"),
        ("data.one == 1", "true"),
        ("data.zero == 0", "true"),
        ("data.zero and true", "-0.0"),
        ("1 if data.zero else 2", "2"),
        ("data.big > 12345678901234567890122", "true"),
        ("data.big == 12345678901234567890123", "true"),
        ("data.big|int + 1", "12345678901234567890124"),
        ("data.huge > 1.0", "true"),
        ("data.huge|float", "1e400"),
        ("data.huge|int", "1e400"),
        ("data.huge|round", "1e400"),
        ("data.huge|float * 2", "2e400"),
        ("data.price|float * 2", "2.20"),
        ("data.price|int", "1"),
        ("data.price|round", "1.0"),
        ("data.price|abs", "1.10"),
        ("-data.price", "-1.10"),
        ("data.zero|abs", "0.0"),
        ("data.text|int + 1", "8"),
        ("data.price != 1.1 or data.price >= 1.1", "true"),
        ("not data.price", "false"),
    ] {
        let template = format!("{{{{ {expression} }}}}");
        assert_eq!(render_with(&template, data).as_deref(), Ok(made), "{expression}");
    }
}

const LARGEST: &str = "340282366920938463463374607431768211456";

#[test]
fn numbers_beyond_machine_precision_are_never_silently_wrong() {
    let digits = "7".repeat(60);
    let data = format!(
        r#"{{"large":{LARGEST},"digits":{digits},"fraction":0.{digits},"exact":9007199254740993,"tiny":1e-400,"zero":0e5,"huge":-1e400,"int":9223372036854775807,"far":1e99999999999999999999,"text":"{digits}.5","minus":-0}}"#
    );
    let value = |expression: &str| render_with(&format!("{{{{ {expression} }}}}"), &data);
    for (expression, made) in [
        ("-data.large", &*format!("-{LARGEST}")),
        ("-(-data.large)", LARGEST),
        ("-data.digits", &format!("-{digits}")),
        ("-data.huge", "1e400"),
        ("-data.far", "-1e99999999999999999999"),
        ("-data.minus", "0"),
        ("-(-9223372036854775807 - 1)", "9223372036854775808"),
        ("data.huge|abs", "1e400"),
        ("(-data.large)|abs", LARGEST),
        ("data.large|int", LARGEST),
        ("data.large|round(-2)", "340282366920938463463374607431768211500"),
        ("data.large|float", &format!("{LARGEST}.0")),
        ("data.far|int", "1e99999999999999999999"),
        ("data.fraction|round(2)", "0.78"),
        ("data.fraction|int", "0"),
        ("data.text|int", &digits),
        ("data.text|float", &format!("{digits}.5")),
        ("'1e400'|int", "1e400"),
        ("'ff'|int(base=16)", "255"),
        ("'-0xFF'|int(base=16)", "-255"),
        ("'zz'|int(7)", "7"),
        ("'inf'|float(7)", "7"),
        ("data.text|int(base=16, default=7)", "7"),
        ("data.int|int + 1", "9223372036854775808"),
        ("data.exact|int + 0.5", "9007199254740993.5"),
        ("data.exact|int / 1", "9007199254740993.0"),
        ("data.exact|int * 1.0", "9007199254740993.0"),
        ("0.1 + 0.2", "0.3"),
        ("0.1 + 0.2 == 0.3", "true"),
        ("1 / 3", "0.3333333333333333333333333333"),
        ("0.12345678901234567890123456789", "0.12345678901234567890123456789"),
        ("1_000.50", "1000.50"),
        ("1e400", "1e400"),
        ("data.exact == 9007199254740992.0", "false"),
        ("data.exact > 9007199254740992.0", "true"),
        ("data.large > 340282366920938463463374607431768211455", "true"),
        ("data.digits == data.digits|int", "true"),
        ("data.digits|json_text == data.text", "false"),
        ("data.tiny > 0", "true"),
        ("data.tiny == 0", "false"),
        ("1 if data.tiny else 2", "1"),
        ("1 if data.zero else 2", "2"),
        ("data.huge < -1e399", "true"),
        ("data.digits in [1, 2]", "false"),
        ("1 == true", "true"),
        ("1.0 == true", "true"),
        ("data.tiny < 'a'", "true"),
        ("'3' == 3", "false"),
        ("true + 1", "2"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("2 ** -1", "0.5"),
        ("7 // 2 ~ ' ' ~ 7 % 2 ~ ' ' ~ -7 // 2", "\"3 1 -4\""),
        ("'ab' * 2 + 'c'", "\"ababc\""),
        ("'ab' * -1", "\"\""),
    ] {
        assert_eq!(value(expression).as_deref(), Ok(made), "{expression}");
    }
    for (expression, reason) in [
        ("data.large|int + 1", "+ cannot be computed: it takes more than 37 digits"),
        ("data.digits|int * 2", "* cannot be computed: it takes more than 37 digits"),
        ("data.fraction|float / 2", "/ cannot be computed: it takes more than 37 digits"),
        ("data.huge|int + 1", "+ cannot be computed: it takes more than 37 digits"),
        ("9999999999999999999 ** 2 ** 2", "** cannot be computed: it takes more than 37 digits"),
        ("2 ** 0.5", "** cannot be computed: an exponent must be a whole number"),
        ("1 / 0", "/ cannot be computed: it divides by zero"),
        ("1 // 0", "it divides by zero"),
        ("1 % 0", "it divides by zero"),
        ("data.far > 1", "an exponent is beyond a billion"),
        ("data.far|round", "an exponent is beyond a billion"),
        ("data.far in [1, 2]", "an exponent is beyond a billion"),
        ("'inf'|float", "float cannot read it: the text is not a number"),
        ("'NaN'|int", "int cannot read it: the text is not a number"),
        ("data.text|int(base=16)", "the text is no integer of 127 bits in base 16"),
        ("'99999999999999999999999999999999999999999'|int(base=16)", "no integer of 127 bits"),
    ] {
        let error = value(expression).expect_err(expression).to_string();
        assert!(error.contains(reason), "{expression}: {error}");
    }
}

#[test]
fn loop_counters_are_ordinary_numbers() {
    let counted = "[{% for x in [5, 6] %}{{ loop.index|int + 0.5 }},{{ -loop.index0 }},{{ loop.length == 2.0 }}{% if not loop.last %},{% endif %}{% endfor %}]";
    assert_eq!(rendered(counted), "[1.5,0,true,2.5,-1,true]");
}
