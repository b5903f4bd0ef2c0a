//! What templates do with numbers. The engine's own arithmetic, which has doubles and integers of
//! 128 bits, is not used for any of it.

use std::borrow::Cow;
use std::cmp::Ordering;

use minijinja::machinery::ast::BinOpKind;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{kind_of, whole_number, wrong_argument};
use super::cost::{charge, pay};
use super::data::{self, Number, is_number};
use super::decimal::{Decimal, Problem, Rounding};

/// The cost of making a decimal number, in steps, besides its digits.
const STEPS: usize = 2;

fn written(value: &Value) -> Cow<'_, str> {
    match value.downcast_object_ref::<Number>() {
        Some(number) => Cow::Borrowed(number.text()),
        None => Cow::Owned(value.to_string()),
    }
}

/// The value as a decimal, charged for; true and false are 1 and 0. `None`: it is no number.
fn decimal(state: &State<'_, '_>, value: &Value) -> Option<Result<Decimal, Error>> {
    if value.kind() == ValueKind::Bool {
        return Some(Ok(Decimal::from(i128::from(value.is_true()))));
    }
    is_number(value).then(|| {
        let text = written(value);
        charge(state, text.len())?;
        Decimal::parse(&text).map_err(refused)
    })
}

fn refused(problem: Problem) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.to_string())
}

fn value_of(decimal: &Decimal) -> Value {
    data::number(&decimal.to_string())
}

/// Compares two numbers. `None`: one of them is no number.
pub(super) fn compare(
    state: &State<'_, '_>,
    left: &Value,
    right: &Value,
) -> Result<Option<Ordering>, Error> {
    let is_own = |value: &Value| value.kind() == ValueKind::Number;
    if is_own(left)
        && is_own(right)
        && let (Some(left), Some(right)) = (left.as_i64(), right.as_i64())
    {
        return Ok(Some(left.cmp(&right)));
    }
    let is_numeric = |value: &Value| is_number(value) || value.kind() == ValueKind::Bool;
    if !is_numeric(left) || !is_numeric(right) {
        return Ok(None);
    }
    pay(state, STEPS)?;
    match (decimal(state, left), decimal(state, right)) {
        (Some(left), Some(right)) => Ok(Some(left?.compare(&right?))),
        _ => Ok(None),
    }
}

/// The sign of an arithmetic operator. `None`: it is another operator.
pub(super) fn sign(operator: BinOpKind) -> Option<&'static str> {
    Some(match operator {
        BinOpKind::Add => "+",
        BinOpKind::Sub => "-",
        BinOpKind::Mul => "*",
        BinOpKind::Div => "/",
        BinOpKind::FloorDiv => "//",
        BinOpKind::Rem => "%",
        BinOpKind::Pow => "**",
        _ => return None,
    })
}

/// Computes with numbers. Texts can be joined and repeated.
pub(super) fn arithmetic(
    state: &State<'_, '_>,
    sign: &str,
    left: &Value,
    right: &Value,
) -> Result<Value, Error> {
    match (sign, left.as_str(), right.as_str()) {
        ("+", Some(left), Some(right)) => {
            charge(state, left.len().saturating_add(right.len()))?;
            return Ok(Value::from([left, right].concat()));
        }
        ("*", Some(text), None) => return repeated(state, text, right),
        ("*", None, Some(text)) => return repeated(state, text, left),
        _ => {}
    }
    pay(state, STEPS)?;
    let (Some(a), Some(b)) = (decimal(state, left), decimal(state, right)) else {
        let detail =
            format!("{sign} takes two numbers, not {} and {}", kind_of(left), kind_of(right));
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    };
    let (a, b) = (a?, b?);
    let result = match sign {
        "+" => a.add(&b),
        "-" => a.subtract(&b),
        "*" => a.multiply(&b),
        "/" => a.divide(&b),
        "//" => a.floor_divide(&b),
        "%" => a.remainder(&b),
        _ => a.power(&b),
    };
    result.map(|result| value_of(&result)).map_err(|problem| {
        Error::new(ErrorKind::InvalidOperation, format!("{sign} cannot be computed: {problem}"))
    })
}

/// Repeats a text. Charged before it is made.
fn repeated(state: &State<'_, '_>, text: &str, times: &Value) -> Result<Value, Error> {
    if !is_number(times) {
        let detail = format!("* takes a text and a whole number, not {}", kind_of(times));
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    let times = whole_number::<i128>("*", "second value", Some(times))?.unwrap_or_default();
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    charge(state, text.len().saturating_mul(times))?;
    Ok(Value::from(text.repeat(times)))
}

/// The number with the opposite sign, its text otherwise unchanged. Zero gets no sign.
pub(super) fn negate(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    let text = number_text(state, "-", value)?;
    Ok(match text.strip_prefix('-') {
        Some(positive) => data::number(positive),
        None if !value.is_true() => data::number(&text),
        None => data::number(&format!("-{text}")),
    })
}

/// The number without its sign, its text otherwise unchanged.
pub(super) fn abs(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    Ok(data::number(number_text(state, "abs", value)?.trim_start_matches('-')))
}

/// The text of a number, charged for.
fn number_text<'a>(
    state: &State<'_, '_>,
    filter: &str,
    value: &'a Value,
) -> Result<Cow<'a, str>, Error> {
    match value.kind() {
        ValueKind::Bool => Ok(Cow::Borrowed(if value.is_true() { "1" } else { "0" })),
        _ if is_number(value) => {
            let text = written(value);
            charge(state, text.len())?;
            Ok(text)
        }
        _ => Err(wrong_argument(filter, "a number", value)),
    }
}

/// Truncates a number of any size. A text is parsed, in `base` if there is one. A missing value, null
/// or no number becomes the default.
pub(super) fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = or_keyword(default, &kwargs, "default")?;
    let base = or_keyword(base, &kwargs, "base")?;
    kwargs.assert_all_used()?;
    let base = whole_number::<u32>("int", "base", base.as_ref())?.unwrap_or(10);
    if let (Some(text), 2..=9 | 11..=36) = (value.as_str(), base) {
        charge(state, text.len())?;
        return integer(text, base)
            .map(|it| value_of(&Decimal::from(it)))
            .or_else(|error| default.ok_or(error));
    }
    if base != 10 {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "int takes a base from 2 to 36, of a text",
        ));
    }
    converted(state, "int", value, default, Value::from(0), |number| number.truncated())
}

/// A number of any size, with a fraction. A text is parsed.
pub(super) fn float(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let default = or_keyword(default, &kwargs, "default")?;
    kwargs.assert_all_used()?;
    converted(state, "float", value, default, data::number("0.0"), Decimal::into_fraction)
}

fn or_keyword(given: Option<Value>, kwargs: &Kwargs, name: &str) -> Result<Option<Value>, Error> {
    match given {
        Some(given) => Ok(Some(given)),
        None => kwargs.get(name),
    }
}

/// A number that `convert` does not change keeps its text.
fn converted(
    state: &State<'_, '_>,
    filter: &str,
    value: &Value,
    default: Option<Value>,
    zero: Value,
    convert: impl FnOnce(Decimal) -> Decimal,
) -> Result<Value, Error> {
    pay(state, STEPS)?;
    let text = match value.as_str() {
        Some(text) => {
            charge(state, text.len())?;
            Cow::Borrowed(text)
        }
        None if value.is_undefined() || value.is_none() => return Ok(default.unwrap_or(zero)),
        None => match number_text(state, filter, value) {
            Ok(text) => text,
            Err(_) => {
                return default.ok_or_else(|| wrong_argument(filter, "a number or a text", value));
            }
        },
    };
    let number = match Decimal::parse(&text) {
        Ok(number) => number,
        // It can still be printed.
        Err(Problem::FarPoint) if is_number(value) => return Ok(value.clone()),
        Err(problem) => {
            let detail = format!("{filter} cannot read it: {problem}");
            return default.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, detail));
        }
    };
    let made = convert(number.clone());
    Ok(if is_number(value) && made == number { value.clone() } else { value_of(&made) })
}

/// An integer in a base other than ten, with a prefix (0b, 0o, 0x) or without.
fn integer(text: &str, base: u32) -> Result<i128, Error> {
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.to_ascii_lowercase();
    let digits = digits.strip_prefix(prefix).unwrap_or(&digits);
    let is_integer = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    let parsed = is_integer.then(|| i128::from_str_radix(&format!("{sign}{digits}"), base).ok());
    parsed.flatten().ok_or_else(|| {
        let detail =
            format!("int cannot read it: the text is no integer of 127 bits in base {base}");
        Error::new(ErrorKind::InvalidOperation, detail)
    })
}

pub(super) fn round(
    state: &State<'_, '_>,
    value: &Value,
    precision: Option<Value>,
    method: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let precision = or_keyword(precision, &kwargs, "precision")?;
    let method = or_keyword(method, &kwargs, "method")?;
    kwargs.assert_all_used()?;
    let precision = whole_number::<i32>("round", "precision", precision.as_ref())?.unwrap_or(0);
    let rounding = match method.as_ref().map(|method| method.as_str()) {
        None | Some(Some("common")) => Rounding::HalfEven,
        Some(Some("ceil")) => Rounding::Ceiling,
        Some(Some("floor")) => Rounding::Floor,
        Some(_) => {
            let detail = "round takes \"common\", \"ceil\" or \"floor\" as its method";
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        }
    };
    pay(state, STEPS)?;
    let number = match Decimal::parse(&number_text(state, "round", value)?) {
        Ok(number) => number,
        Err(problem) => return Err(refused(problem)),
    };
    let rounded = number.rounded(precision.into(), rounding);
    Ok(if rounded == number { value.clone() } else { value_of(&rounded) })
}
