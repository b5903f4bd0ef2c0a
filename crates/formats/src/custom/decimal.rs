//! Exact decimal numbers for the arithmetic of templates. Only a quotient without an end is rounded,
//! and what the author rounds. What cannot be computed exactly is refused.
//!
//! A double would be faster, and silently wrong: for 9007199254740993, 0.1 + 0.2 or 1e400. Numbers of
//! any size can be compared, truncated and rounded; arithmetic is limited to [`MAX_DIGITS`].
//!
//! Decision: docs/decisions/template-operators-are-ours.md

use std::cmp::Ordering;
use std::fmt;

/// The most digits of operands and results. Ten times such a number fits into 128 bits, which
/// division needs.
pub(super) const MAX_DIGITS: usize = 37;

/// A quotient with more digits is rounded to this many, half to even.
const QUOTIENT_DIGITS: usize = 28;

/// The largest exponent. A sum of two does not overflow.
const MAX_EXPONENT: i64 = 1_000_000_000;

/// A number with more zeros than this at its end or after its point is written with an exponent.
const MAX_ZEROS: i64 = 40;

/// `digits` × 10 ^ `exponent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// Without leading zeros. Empty for zero.
    digits: String,
    exponent: i64,
}

/// Why something cannot be computed. The text is a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    NotANumber,
    TooManyDigits,
    FarPoint,
    ZeroDivisor,
    BrokenPower,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NotANumber => f.write_str("the text is not a number"),
            Problem::TooManyDigits => write!(
                f,
                "it takes more than {MAX_DIGITS} digits: larger numbers can be printed, compared and rounded, not computed with"
            ),
            Problem::FarPoint => {
                f.write_str("an exponent is beyond a billion: such a number can only be printed")
            }
            Problem::ZeroDivisor => f.write_str("it divides by zero"),
            Problem::BrokenPower => f.write_str("an exponent must be a whole number"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest; halves to the even one.
    HalfEven,
    Ceiling,
    Floor,
}

impl Decimal {
    /// Reads a JSON number (RFC 8259, section 6). Also accepts a `+`, leading zeros, and no digits on
    /// one side of the point.
    pub(super) fn parse(text: &str) -> Result<Decimal, Problem> {
        let (negative, unsigned) = signed(text);
        let (mantissa, exponent) =
            unsigned.split_once(['e', 'E']).map_or((unsigned, "0"), |parts| parts);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = mantissa.len() > usize::from(mantissa.contains('.'));
        if !is_number || !are_digits(whole) || !are_digits(fraction) {
            return Err(Problem::NotANumber);
        }
        let exponent = parse_exponent(exponent)?;
        let all = [whole, fraction].concat();
        let digits = all.trim_start_matches('0').to_owned();
        let exponent = match exponent {
            Some(exponent) => exponent - length(fraction),
            None if digits.is_empty() => 0,
            None => return Err(Problem::FarPoint),
        };
        Ok(Decimal { negative, digits, exponent })
    }

    fn of(mantissa: i128, exponent: i64) -> Result<Decimal, Problem> {
        let magnitude = mantissa.unsigned_abs();
        let digits = if magnitude == 0 { String::new() } else { magnitude.to_string() };
        if digits.len() > MAX_DIGITS {
            return Err(Problem::TooManyDigits);
        }
        if exponent.abs() > MAX_EXPONENT {
            return Err(Problem::FarPoint);
        }
        Ok(Decimal { negative: mantissa < 0, digits, exponent })
    }

    /// The mantissa and the exponent, if arithmetic can use them.
    fn parts(&self) -> Result<(i128, i64), Problem> {
        let mut digits = self.digits.as_str();
        if digits.len() > MAX_DIGITS {
            digits = digits.trim_end_matches('0');
        }
        if digits.len() > MAX_DIGITS {
            return Err(Problem::TooManyDigits);
        }
        let exponent = self.exponent + length(&self.digits) - length(digits);
        let magnitude: i128 = if digits.is_empty() { 0 } else { parsed(digits)? };
        Ok((if self.negative { -magnitude } else { magnitude }, exponent))
    }

    fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    /// How many digits are before the point. Negative: how many zeros follow it.
    fn point(&self) -> i64 {
        length(&self.digits) + self.exponent
    }

    pub(super) fn add(&self, other: &Decimal) -> Result<Decimal, Problem> {
        let (left, right, exponent) = aligned(self, other)?;
        Decimal::of(left + right, exponent)
    }

    pub(super) fn subtract(&self, other: &Decimal) -> Result<Decimal, Problem> {
        let (left, right, exponent) = aligned(self, other)?;
        Decimal::of(left - right, exponent)
    }

    pub(super) fn multiply(&self, other: &Decimal) -> Result<Decimal, Problem> {
        let ((left, left_exponent), (right, right_exponent)) = (self.parts()?, other.parts()?);
        let product = left.checked_mul(right).ok_or(Problem::TooManyDigits)?;
        Decimal::of(product, left_exponent + right_exponent)
    }

    /// The quotient, as a fraction, by long division.
    pub(super) fn divide(&self, other: &Decimal) -> Result<Decimal, Problem> {
        let ((dividend, dividend_exponent), (divisor, divisor_exponent)) =
            (self.parts()?, other.parts()?);
        let negative = (dividend < 0) != (divisor < 0);
        let (dividend, divisor) = (dividend.unsigned_abs(), divisor.unsigned_abs());
        let mut quotient = dividend.checked_div(divisor).ok_or(Problem::ZeroDivisor)?;
        let mut remainder = dividend % divisor;
        let mut exponent = dividend_exponent - divisor_exponent;
        while remainder != 0 && quotient < 10_u128.pow(QUOTIENT_DIGITS as u32 - 1) {
            quotient = quotient * 10 + remainder * 10 / divisor;
            remainder = remainder * 10 % divisor;
            exponent -= 1;
        }
        let half = (remainder * 2).cmp(&divisor);
        if half.is_gt() || (half.is_eq() && quotient % 2 == 1) {
            quotient += 1;
        }
        let quotient = i128::try_from(quotient).map_err(|_| Problem::TooManyDigits)?;
        let quotient = Decimal::of(if negative { -quotient } else { quotient }, exponent)?;
        Ok(quotient.into_fraction())
    }

    /// The quotient rounded down to a whole number.
    pub(super) fn floor_divide(&self, other: &Decimal) -> Result<Decimal, Problem> {
        Decimal::of(floored(self, other)?.0, 0)
    }

    /// The remainder of the floored quotient. It has the divisor's sign.
    pub(super) fn remainder(&self, other: &Decimal) -> Result<Decimal, Problem> {
        let (_, remainder, exponent) = floored(self, other)?;
        Decimal::of(remainder, exponent)
    }

    pub(super) fn power(&self, power: &Decimal) -> Result<Decimal, Problem> {
        let whole = power.truncated();
        if whole.compare(power).is_ne() {
            return Err(Problem::BrokenPower);
        }
        let times: u32 = match whole.is_zero() {
            true => 0,
            false => parsed(&whole.to_string().replace('-', ""))?,
        };
        let (base, exponent) = self.parts()?;
        let mantissa = base.checked_pow(times).ok_or(Problem::TooManyDigits)?;
        let exponent = exponent.checked_mul(times.into()).ok_or(Problem::FarPoint)?;
        let raised = Decimal::of(mantissa, exponent)?;
        match whole.negative {
            true => Decimal::of(1, 0)?.divide(&raised),
            false => Ok(raised),
        }
    }

    /// The number without its fraction.
    pub(super) fn truncated(&self) -> Decimal {
        if self.exponent >= 0 {
            return self.clone();
        }
        let kept = usize::try_from(self.point()).unwrap_or_default();
        Decimal { negative: self.negative, digits: self.digits[..kept].to_owned(), exponent: 0 }
    }

    /// Rounds to at most this many digits after the point. Negative: to this many zeros before it. A
    /// number with a fraction keeps one.
    pub(super) fn rounded(&self, precision: i64, rounding: Rounding) -> Decimal {
        let excess = -self.exponent - precision;
        if excess <= 0 || self.is_zero() {
            return self.clone();
        }
        let kept_length = length(&self.digits) - excess;
        let (kept, dropped) = self.digits.split_at(usize::try_from(kept_length).unwrap_or(0));
        let is_inexact = dropped.bytes().any(|digit| digit != b'0');
        let is_up = match rounding {
            Rounding::Ceiling => is_inexact && !self.negative,
            Rounding::Floor => is_inexact && self.negative,
            // A remainder with a leading zero is less than a half.
            Rounding::HalfEven if kept_length < 0 => false,
            Rounding::HalfEven => {
                let is_odd = kept.bytes().last().is_some_and(|digit| digit % 2 == 1);
                let half = dropped.trim_end_matches('0').cmp("5");
                half.is_gt() || (half.is_eq() && is_odd)
            }
        };
        let digits = if is_up { incremented(kept) } else { kept.to_owned() };
        let rounded = Decimal { negative: self.negative, digits, exponent: -precision };
        if self.exponent < 0 { rounded.into_fraction() } else { rounded }
    }

    /// The same number with a digit after its point, unless it is too large for that.
    pub(super) fn into_fraction(mut self) -> Decimal {
        if self.exponent < 0 || self.exponent > MAX_ZEROS {
            return self;
        }
        if !self.is_zero() {
            self.digits.extend((0..=self.exponent).map(|_| '0'));
        }
        self.exponent = -1;
        self
    }

    /// By value: 1.10 and 11e-1 are equal.
    pub(super) fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |it: &Decimal| match (it.is_zero(), it.negative) {
            (true, _) => 0,
            (false, negative) => {
                if negative {
                    -1
                } else {
                    1
                }
            }
        };
        let magnitude = || {
            let (left, right) = (&self.digits, &other.digits);
            let digits = || left.trim_end_matches('0').cmp(right.trim_end_matches('0'));
            self.point().cmp(&other.point()).then_with(digits)
        };
        sign(self).cmp(&sign(other)).then_with(|| match sign(self) {
            0 => Ordering::Equal,
            1 => magnitude(),
            _ => magnitude().reverse(),
        })
    }
}

impl From<i128> for Decimal {
    fn from(integer: i128) -> Decimal {
        let digits = integer.unsigned_abs().to_string().trim_start_matches('0').to_owned();
        Decimal { negative: integer < 0, digits, exponent: 0 }
    }
}

/// In JSON's form. Zero has no sign.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, exponent, point) = (&self.digits, self.exponent, self.point());
        if self.negative && !self.is_zero() {
            f.write_str("-")?;
        }
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or_default());
        if exponent >= 0 && self.is_zero() {
            f.write_str("0")
        } else if (0..=MAX_ZEROS).contains(&exponent) {
            write!(f, "{digits}{}", zeros(exponent))
        } else if exponent < 0 && point > 0 {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or_default());
            write!(f, "{whole}.{fraction}")
        } else if exponent < 0 && point >= -MAX_ZEROS {
            write!(f, "0.{}{digits}", zeros(-point))
        } else if self.is_zero() {
            f.write_str("0.0")
        } else {
            write!(f, "{digits}e{exponent}")
        }
    }
}

fn signed(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Lengths are those of texts in memory.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn parsed<T: std::str::FromStr>(digits: &str) -> Result<T, Problem> {
    digits.parse().map_err(|_| Problem::TooManyDigits)
}

/// `None`: it is beyond [`MAX_EXPONENT`].
fn parse_exponent(text: &str) -> Result<Option<i64>, Problem> {
    let (negative, digits) = signed(text);
    if digits.is_empty() || !are_digits(digits) {
        return Err(Problem::NotANumber);
    }
    let exponent = digits.parse::<i64>().ok().filter(|exponent| *exponent <= MAX_EXPONENT);
    Ok(exponent.map(|exponent| if negative { -exponent } else { exponent }))
}

/// Both mantissas with the smaller one of the exponents. Neither their sum nor their difference
/// overflows.
fn aligned(left: &Decimal, right: &Decimal) -> Result<(i128, i128, i64), Problem> {
    let ((left, left_exponent), (right, right_exponent)) = (left.parts()?, right.parts()?);
    let exponent = left_exponent.min(right_exponent);
    let scaled = |mantissa: i128, from: i64| {
        if mantissa == 0 {
            return Some(0);
        }
        let factor = 10_i128.checked_pow(u32::try_from(from - exponent).ok()?)?;
        let scaled = mantissa.checked_mul(factor)?;
        (scaled.unsigned_abs() < 10_u128.pow(MAX_DIGITS as u32)).then_some(scaled)
    };
    let both = scaled(left, left_exponent).zip(scaled(right, right_exponent));
    let (left, right) = both.ok_or(Problem::TooManyDigits)?;
    Ok((left, right, exponent))
}

/// The quotient rounded down, the remainder, and the remainder's exponent.
fn floored(left: &Decimal, right: &Decimal) -> Result<(i128, i128, i64), Problem> {
    let (left, right, exponent) = aligned(left, right)?;
    let quotient = left.checked_div(right).ok_or(Problem::ZeroDivisor)?;
    let remainder = left % right;
    match remainder != 0 && (remainder < 0) != (right < 0) {
        true => Ok((quotient - 1, remainder + right, exponent)),
        false => Ok((quotient, remainder, exponent)),
    }
}

/// Adds one to digits without leading zeros.
fn incremented(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let zeros = "0".repeat(digits.len() - kept.len());
    let mut incremented = kept.to_owned();
    let last = incremented.pop().unwrap_or('0');
    incremented.push(char::from(last as u8 + 1));
    incremented + &zeros
}

#[cfg(test)]
#[path = "decimal_tests.rs"]
mod tests;
