//! The operators of the language, implemented as filters that no template can name. They know numbers
//! that keep their text, and charge for what they read.
//!
//! Decision: docs/decisions/template-operators-are-ours.md

use minijinja::machinery::ast::CompareOpKind;
use std::cmp::Ordering;

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::arguments::kind_of;
use super::cost::{Meter, charge, pay};
use super::data::{Array, Map, is_number};
use super::numbers;
use super::write::text;

/// `a < b`, `a in b`, and chains of them.
pub(super) const COMPARE: &str = "operator:compare";
/// `a ~ b`.
pub(super) const CONCAT: &str = "operator:concat";
/// `a[0]`, `a["b"]`, and `a.b` if the name is long.
pub(super) const ITEM: &str = "operator:item";
/// `a + b` and the other arithmetic operators.
pub(super) const ARITHMETIC: &str = "operator:arithmetic";
/// `-a`.
pub(super) const NEGATE: &str = "operator:negate";
/// What `{% for %}` iterates over.
pub(super) const ITERATE: &str = "operator:iterate";

/// Sorted.
#[cfg(test)]
pub(super) const NAMES: [&str; 6] = [ARITHMETIC, COMPARE, CONCAT, ITEM, ITERATE, NEGATE];

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter(ARITHMETIC, numbers::arithmetic);
    environment.add_filter(COMPARE, compare);
    environment.add_filter(CONCAT, concat);
    environment.add_filter(ITEM, item);
    environment.add_filter(ITERATE, iterate);
    environment.add_filter(NEGATE, numbers::negate);
}

/// The name of a comparison in the arguments of [`COMPARE`].
pub(super) fn comparison(operator: CompareOpKind) -> &'static str {
    match operator {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}

/// A chain is true if each of its comparisons is.
fn compare(
    state: &State<'_, '_>,
    comparisons: &Value,
    operands: Rest<Value>,
) -> Result<bool, Error> {
    for (comparison, pair) in comparisons.try_iter()?.zip(operands.windows(2)) {
        let [left, right] = pair else { continue };
        let holds = match comparison.as_str() {
            Some("in") => contains(state, right, left)?,
            Some("not in") => !contains(state, right, left)?,
            Some("==") => equals(state, left, right)?,
            Some("!=") => !equals(state, left, right)?,
            Some("<") => order(state, left, right)?.is_lt(),
            Some("<=") => order(state, left, right)?.is_le(),
            Some(">") => order(state, left, right)?.is_gt(),
            Some(">=") => order(state, left, right)?.is_ge(),
            _ => return Err(Error::new(ErrorKind::InvalidOperation, "unknown comparison")),
        };
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equals(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<bool, Error> {
    charge_comparison(state, left, right)?;
    match numbers::compare(state, left, right)? {
        Some(order) => Ok(order.is_eq()),
        None => Ok(left == right),
    }
}

/// Values of different kinds are ordered by kind, as in the engine.
fn order(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<Ordering, Error> {
    charge_comparison(state, left, right)?;
    let kind_only = |value: &Value| match is_number(value) {
        true => Value::from(0),
        false => value.clone(),
    };
    match numbers::compare(state, left, right)? {
        Some(order) => Ok(order),
        None => Ok(kind_only(left).cmp(&kind_only(right))),
    }
}

fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map)
}

/// Comparing texts reads at most the shorter one. The language makes sure that one side is no
/// container.
fn charge_comparison(state: &State<'_, '_>, left: &Value, right: &Value) -> Result<(), Error> {
    if is_container(left) && is_container(right) {
        let detail = "lists and objects cannot be compared: compare their json_text";
        return Err(Error::new(ErrorKind::InvalidOperation, detail));
    }
    match (left.as_str(), right.as_str()) {
        (Some(left), Some(right)) => charge(state, left.len().min(right.len())),
        _ => Ok(()),
    }
}

fn contains(state: &State<'_, '_>, container: &Value, sought: &Value) -> Result<bool, Error> {
    if let Some(whole) = container.as_str() {
        charge(state, whole.len())?;
        return Ok(whole.contains(&*text(state, sought)?));
    }
    if let Some(map) = container.downcast_object_ref::<Map>() {
        let Some(name) = sought.as_str() else { return Ok(false) };
        charge(state, Map::bytes_to_find(name))?;
        return Ok(map.get(name).is_some());
    }
    if let Some(array) = container.downcast_object_ref::<Array>() {
        return is_any(state, array.items().iter(), sought);
    }
    match container.kind() {
        ValueKind::Undefined | ValueKind::None => Ok(false),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<_> = container.try_iter()?.collect();
            is_any(state, items.iter(), sought)
        }
        _ => {
            let container = kind_of(container);
            let detail =
                format!("nothing is in {container}: \"in\" takes a text, a list or an object");
            Err(Error::new(ErrorKind::InvalidOperation, detail))
        }
    }
}

fn is_any<'a>(
    state: &State<'_, '_>,
    items: impl Iterator<Item = &'a Value>,
    sought: &Value,
) -> Result<bool, Error> {
    let mut meter = Meter::new(state);
    for item in items {
        meter.item(0)?;
        if !is_container(item) && equals(state, item, sought)? {
            meter.finish()?;
            return Ok(true);
        }
    }
    meter.finish()?;
    Ok(false)
}

/// Joins all operands to one text. Charged before it is made.
fn concat(state: &State<'_, '_>, first: &Value, others: Rest<Value>) -> Result<String, Error> {
    let parts = [first].into_iter().chain(others.iter());
    let mut joined = String::new();
    for part in parts {
        let part = text(state, part)?;
        charge(state, part.len())?;
        joined.push_str(&part);
    }
    Ok(joined)
}

fn item(state: &State<'_, '_>, index: &Value, value: &Value) -> Result<Value, Error> {
    let Some(index) = index.as_usize() else {
        let name = index.as_str().unwrap_or_default();
        charge(state, Map::bytes_to_find(name))?;
        return Ok(value.get_attr(name).unwrap_or_default());
    };
    if let Some(text) = value.as_str() {
        charge(state, index)?;
        return Ok(text.chars().nth(index).map_or(Value::UNDEFINED, Value::from));
    }
    if let Some(array) = value.downcast_object_ref::<Array>() {
        return Ok(array.items().get(index).cloned().unwrap_or_default());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            pay(state, index)?;
            Ok(value.try_iter()?.nth(index).unwrap_or_default())
        }
        _ => Ok(Value::UNDEFINED),
    }
}

/// The value if it can be iterated over. A text becomes the list of its characters, because the engine
/// does not know which character of a text is the last. A missing value has no items.
fn iterate(state: &State<'_, '_>, value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        // Each character becomes a value.
        charge(state, 8 * text.len())?;
        return Ok(text.chars().map(Value::from).collect());
    }
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Seq
        | ValueKind::Iterable
        | ValueKind::Map => Ok(value.clone()),
        _ => {
            let detail =
                format!("a loop takes a list, an object or a text, not {}", kind_of(value));
            Err(Error::new(ErrorKind::InvalidOperation, detail))
        }
    }
}
