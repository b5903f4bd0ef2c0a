use proptest::prelude::*;

use super::*;

fn decimal(text: &str) -> Decimal {
    Decimal::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

type Operation = fn(&Decimal, &Decimal) -> Result<Decimal, Problem>;

fn computed(operation: Operation, left: &str, right: &str) -> String {
    match operation(&decimal(left), &decimal(right)) {
        Ok(result) => result.to_string(),
        Err(problem) => problem.to_string(),
    }
}

#[test]
fn arithmetic_is_exact() {
    let operations: [(&str, Operation, &str, &str); 35] = [
        ("0.1", Decimal::add, "0.2", "0.3"),
        ("1.10", Decimal::add, "1", "2.10"),
        ("9007199254740993", Decimal::add, "0.5", "9007199254740993.5"),
        ("1e2", Decimal::add, "1", "101"),
        ("1.10", Decimal::subtract, "1.10", "0.00"),
        ("-1", Decimal::subtract, "-1", "0"),
        (
            "9999999999999999999999999999999999999",
            Decimal::subtract,
            "1",
            "9999999999999999999999999999999999998",
        ),
        ("1.5", Decimal::multiply, "2", "3.0"),
        ("-3", Decimal::multiply, "0", "0"),
        ("1e300", Decimal::multiply, "1e300", "1e600"),
        ("1e-400", Decimal::multiply, "3", "3e-400"),
        ("4", Decimal::divide, "2", "2.0"),
        ("7", Decimal::divide, "-2", "-3.5"),
        ("9007199254740993", Decimal::divide, "1", "9007199254740993.0"),
        ("1", Decimal::divide, "3", "0.3333333333333333333333333333"),
        ("2", Decimal::divide, "3", "0.6666666666666666666666666667"),
        ("1e400", Decimal::divide, "1e399", "10.0"),
        ("2000000000000000000000000003", Decimal::divide, "2", "1000000000000000000000000002.0"),
        ("2000000000000000000000000001", Decimal::divide, "2", "1000000000000000000000000000.0"),
        (
            "1",
            Decimal::divide,
            "9999999999999999999999999999999999999",
            "0.0000000000000000000000000000000000001000000000000000000000000000",
        ),
        ("0", Decimal::divide, "5", "0.0"),
        ("7", Decimal::floor_divide, "2", "3"),
        ("-7", Decimal::floor_divide, "2", "-4"),
        ("7", Decimal::floor_divide, "-2", "-4"),
        ("7.5", Decimal::floor_divide, "2", "3"),
        ("-7", Decimal::remainder, "3", "2"),
        ("7", Decimal::remainder, "-3", "-2"),
        ("7.5", Decimal::remainder, "2", "1.5"),
        ("1.0", Decimal::remainder, "0.1", "0.0"),
        ("2", Decimal::power, "100", "1267650600228229401496703205376"),
        ("1.5", Decimal::power, "2.0", "2.25"),
        ("2", Decimal::power, "-2", "0.25"),
        ("-2", Decimal::power, "3", "-8"),
        ("5", Decimal::power, "0", "1"),
        ("10e300", Decimal::power, "0.0", "1"),
    ];
    for (left, operation, right, result) in operations {
        assert_eq!(computed(operation, left, right), result, "{left} {right}");
    }
}

#[test]
fn what_cannot_be_exact_is_refused() {
    let large = "9".repeat(MAX_DIGITS);
    let larger = "340282366920938463463374607431768211456";
    let operations: [(&str, Operation, &str, Problem); 16] = [
        (&large, Decimal::add, "1", Problem::TooManyDigits),
        (&large, Decimal::add, "0.1", Problem::TooManyDigits),
        (larger, Decimal::add, "1", Problem::TooManyDigits),
        (larger, Decimal::divide, "1", Problem::TooManyDigits),
        ("1e400", Decimal::add, "1", Problem::TooManyDigits),
        (&large, Decimal::multiply, "2", Problem::TooManyDigits),
        ("1e900000000", Decimal::multiply, "1e900000000", Problem::FarPoint),
        ("1", Decimal::divide, "0", Problem::ZeroDivisor),
        ("1", Decimal::divide, "0.00", Problem::ZeroDivisor),
        ("1", Decimal::floor_divide, "0", Problem::ZeroDivisor),
        ("1", Decimal::remainder, "0", Problem::ZeroDivisor),
        ("0", Decimal::power, "-1", Problem::ZeroDivisor),
        ("1e400", Decimal::floor_divide, "3", Problem::TooManyDigits),
        ("2", Decimal::power, "0.5", Problem::BrokenPower),
        ("2", Decimal::power, "1000", Problem::TooManyDigits),
        ("1e2", Decimal::power, "1e9", Problem::FarPoint),
    ];
    for (left, operation, right, problem) in operations {
        assert_eq!(computed(operation, left, right), problem.to_string(), "{left} {right}");
    }
    // Zeros at the end are no digits to compute with.
    let round = format!("1{}", "0".repeat(60));
    assert_eq!(computed(Decimal::multiply, &round, "2"), "2e60");
}

#[test]
fn every_text_of_a_number_is_read_and_no_other() {
    for (text, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("0.00", "0.00"),
        ("0e5", "0"),
        ("0e99999999999999999999", "0"),
        ("1e-400", "1e-400"),
        ("0e-400", "0.0"),
        ("1E5", "100000"),
        ("1e40", "10000000000000000000000000000000000000000"),
        ("1e41", "1e41"),
        ("12345e-2", "123.45"),
        ("+5", "5"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-1.50", "-1.50"),
    ] {
        assert_eq!(decimal(text).to_string(), written, "{text}");
    }
    for text in [
        "", "-", ".", "e5", "1e", "1e+", "1.2.3", "--1", "+-1", "inf", "NaN", "1_0", "٣", " 1",
        "0x1",
    ] {
        assert_eq!(Decimal::parse(text), Err(Problem::NotANumber), "{text:?}");
    }
    for text in ["1e1000000001", "1e-1000000001", "1e99999999999999999999"] {
        assert_eq!(Decimal::parse(text), Err(Problem::FarPoint), "{text}");
    }
    assert!(Decimal::parse("1e1000000000").is_ok());
}

#[test]
fn numbers_of_any_size_are_compared_cut_and_rounded() {
    let long = "1".repeat(60);
    for (smaller, larger) in [
        ("-1e400", "-1e399"),
        ("-1", "-0.5"),
        ("-1e-400", "0"),
        ("0", "1e-400"),
        ("1e-400", "1e-399"),
        ("9007199254740992", "9007199254740993"),
        ("1.1", "1.1000000000000000000000000000000000000001"),
        ("340282366920938463463374607431768211455", "340282366920938463463374607431768211456"),
        (&*long, &*format!("{long}.5")),
        ("9", "10"),
    ] {
        assert_eq!(decimal(smaller).compare(&decimal(larger)), Ordering::Less, "{smaller}");
        assert_eq!(decimal(larger).compare(&decimal(smaller)), Ordering::Greater, "{larger}");
    }
    for (left, right) in [("1.10", "11e-1"), ("0", "-0.0"), ("100", "1e2"), ("0e5", "0e-5")] {
        assert_eq!(decimal(left).compare(&decimal(right)), Ordering::Equal, "{left} {right}");
    }
    for (number, whole) in
        [("1.99", "1"), ("-1.99", "-1"), ("0.99", "0"), ("1e400", "1e400"), ("1e-400", "0")]
    {
        assert_eq!(decimal(number).truncated().to_string(), whole, "{number}");
    }
    assert_eq!(decimal(&format!("{long}.5")).truncated().to_string(), long);
}

#[test]
fn numbers_are_rounded_as_they_are_written() {
    use Rounding::{Ceiling, Floor, HalfEven};
    for (number, precision, rounding, rounded) in [
        ("1.10", 0, HalfEven, "1.0"),
        ("2.5", 0, HalfEven, "2.0"),
        ("3.5", 0, HalfEven, "4.0"),
        ("2.5000000000000000000000000000000000000000000001", 0, HalfEven, "3.0"),
        ("2.675", 2, HalfEven, "2.68"),
        ("9.99", 1, HalfEven, "10.0"),
        ("0.5", 0, HalfEven, "0.0"),
        ("0.6", 0, HalfEven, "1.0"),
        ("0.06", 0, HalfEven, "0.0"),
        ("-2.6", 0, HalfEven, "-3.0"),
        ("1.5", 2, HalfEven, "1.5"),
        ("1234", 0, HalfEven, "1234"),
        ("1250", -2, HalfEven, "1200"),
        ("1350", -2, HalfEven, "1400"),
        ("1250.1", -2, HalfEven, "1300.0"),
        ("49", -2, HalfEven, "0"),
        ("1", -400, Ceiling, "1e400"),
        ("1e400", 0, HalfEven, "1e400"),
        ("1e-400", 0, HalfEven, "0.0"),
        ("1e-400", 0, Ceiling, "1.0"),
        ("1.01", 0, Ceiling, "2.0"),
        ("-1.01", 0, Ceiling, "-1.0"),
        ("1.99", 0, Floor, "1.0"),
        ("-1.01", 0, Floor, "-2.0"),
        ("1.00", 0, Ceiling, "1.0"),
        ("0.001", 1, Ceiling, "0.1"),
    ] {
        let made = decimal(number).rounded(precision, rounding);
        assert_eq!(made.to_string(), rounded, "{number} to {precision}, {rounding:?}");
    }
}

fn number() -> impl Strategy<Value = String> {
    r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?(e-?[0-9]{1,2})?"
}

proptest! {
    #[test]
    fn integers_are_computed_as_128_bits_do(left in -1_000_000_000_000_000_i128..1_000_000_000_000_000, right in -1_000_000_i128..1_000_000) {
        let (a, b) = (Decimal::from(left), Decimal::from(right));
        let text = |result: Result<Decimal, Problem>| result.expect("it fits").to_string();
        prop_assert_eq!(text(a.add(&b)), (left + right).to_string());
        prop_assert_eq!(text(a.subtract(&b)), (left - right).to_string());
        prop_assert_eq!(text(a.multiply(&b)), (left * right).to_string());
        prop_assert_eq!(a.compare(&b), left.cmp(&right));
        if right != 0 {
            let remainder = left.rem_euclid(right.abs());
            let remainder = if right < 0 && remainder != 0 { remainder + right } else { remainder };
            prop_assert_eq!(text(a.remainder(&b)), remainder.to_string());
            prop_assert_eq!(text(a.floor_divide(&b)), ((left - remainder) / right).to_string());
        }
    }

    #[test]
    fn what_is_written_reads_as_the_same_number(text in number()) {
        let read = decimal(&text);
        prop_assert_eq!(decimal(&read.to_string()).compare(&read), Ordering::Equal);
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&read.to_string()).is_ok());
        let fraction = read.clone().into_fraction();
        prop_assert_eq!(fraction.compare(&read), Ordering::Equal);
    }

    #[test]
    fn operations_undo_each_other(left in number(), right in number()) {
        let (a, b) = (decimal(&left), decimal(&right));
        if let Ok(sum) = a.add(&b) {
            prop_assert_eq!(sum.subtract(&b).map(|it| it.compare(&a)), Ok(Ordering::Equal));
        }
        if let (Ok(product), false) = (a.multiply(&b), b.is_zero()) {
            let quotient = product.divide(&b).expect("it was a factor");
            prop_assert_eq!(quotient.compare(&a), Ordering::Equal);
        }
        if let (Ok(quotient), Ok(rest)) = (a.floor_divide(&b), a.remainder(&b)) {
            let again = quotient.multiply(&b).and_then(|whole| whole.add(&rest));
            if let Ok(again) = again {
                prop_assert_eq!(again.compare(&a), Ordering::Equal);
            }
        }
    }

    #[test]
    fn nothing_is_rounded_by_more_than_a_step(text in number(), precision in -30_i64..30) {
        let exact = decimal(&text);
        let near = |rounding| exact.rounded(precision, rounding);
        let (floor, ceiling) = (near(Rounding::Floor), near(Rounding::Ceiling));
        prop_assert!(floor.compare(&exact).is_le() && ceiling.compare(&exact).is_ge());
        let nearest = near(Rounding::HalfEven);
        prop_assert!(nearest.compare(&floor).is_eq() || nearest.compare(&ceiling).is_eq());
    }
}
