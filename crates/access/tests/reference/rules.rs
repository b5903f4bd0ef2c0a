//! What a field's options say of it, in words.

use keeptrusts_webhooks_domain::Timestamp;
use prost_reflect::{
    DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    Value,
};

/// What `field_behavior` says (AIP-203).
pub(crate) fn behaviors(field: &FieldDescriptor) -> Vec<String> {
    let pool = field.parent_pool();
    let behavior = pool.get_extension_by_name("google.api.field_behavior").expect("imported");
    let Kind::Enum(kind) = behavior.kind() else { panic!("it is an enum") };
    let options = field.options();
    let numbers = options.get_extension(&behavior).as_list().map(<[Value]>::to_vec);
    let numbers = numbers.unwrap_or_default();
    let names = numbers.iter().filter_map(|number| kind.get_value(number.as_enum_number()?));
    let names = names.map(|name| name.name().replace('_', " ").to_lowercase());
    // What nothing is said about may be left out.
    names
        .filter(|name| name != "optional")
        .map(|name| if name == "required" { format!("**{name}**") } else { name })
        .collect()
}

/// The limits of a field, by its rules.
pub(crate) fn limits(field: &FieldDescriptor) -> Vec<String> {
    let pool = field.parent_pool();
    let rules = pool.get_extension_by_name("buf.validate.field").expect("imported");
    let options = field.options();
    if !options.has_extension(&rules) {
        return Vec::new();
    }
    let rules = options.get_extension(&rules);
    let kind = match field.kind() {
        Kind::Enum(kind) => Some(kind),
        _ => None,
    };
    rules.as_message().map(|rules| of_rules(rules, kind.as_ref())).unwrap_or_default()
}

/// Whether one of the fields of a choice has to be given.
pub(crate) fn is_required(oneof: &OneofDescriptor) -> bool {
    let rules = oneof.parent_message().parent_pool().get_extension_by_name("buf.validate.oneof");
    let options = oneof.options();
    let rules = rules.map(|rules| options.get_extension(&rules).into_owned());
    let required = rules
        .as_ref()
        .and_then(Value::as_message)
        .and_then(|rules| rules.get_field_by_name("required").map(|value| value.into_owned()));
    required.and_then(|value| value.as_bool()) == Some(true)
}

/// What holds between fields of a message, by its rules. What is required of a resource is said so.
pub(crate) fn about_several(message: &MessageDescriptor) -> Vec<String> {
    let pool = message.parent_pool();
    let rules = pool.get_extension_by_name("buf.validate.message").expect("imported");
    let options = message.options();
    let rules = options.get_extension(&rules);
    let cel =
        rules.as_message().map(|rules| rules.get_field_by_name("cel").map(|cel| cel.into_owned()));
    let cel =
        cel.flatten().and_then(|cel| cel.as_list().map(<[Value]>::to_vec)).unwrap_or_default();
    let text = |rule: &Value| {
        let rule_id = rule.as_message()?.get_field_by_name("id")?;
        let field = rule_id.as_str()?.strip_suffix(".required").unwrap_or_default();
        if message.get_field_by_name(field).is_some() {
            // It is said of the field itself.
            return None;
        }
        let message = rule.as_message()?.get_field_by_name("message")?.as_str()?.to_owned();
        // Names of fields look like what they are.
        let words = message.split(' ').map(|word| {
            match word.contains(['.', '_']) && word.chars().any(char::is_lowercase) {
                true => format!("`{word}`"),
                false => word.to_owned(),
            }
        });
        Some(words.collect::<Vec<_>>().join(" "))
    };
    cel.iter().filter_map(text).collect()
}

fn of_rules(rules: &DynamicMessage, kind: Option<&EnumDescriptor>) -> Vec<String> {
    let part = |name: &str| set(rules, name).and_then(|part| part.as_message().cloned());
    let mut words = Vec::new();
    if let Some(string) = part("string") {
        words.extend(range(&string, "min_bytes", "max_bytes", "bytes"));
        words.extend(range(&string, "min_len", "max_len", "characters"));
        if let Some(pattern) = set(&string, "pattern") {
            words.push(format!("`{}`", pattern.as_str().unwrap_or_default()));
        }
        for text in list(&string, "not_in") {
            words.push(format!("not `{}`", text.as_str().unwrap_or_default()));
        }
    }
    for number in [part("int32"), part("int64")].into_iter().flatten() {
        words.extend(range(&number, "gte", "lte", ""));
        if let Some(least) = set(&number, "gt") {
            words.push(format!("greater than {}", shown(&least)));
        }
    }
    for time in [part("duration"), part("timestamp")].into_iter().flatten() {
        words.extend(range(&time, "gte", "lte", ""));
    }
    if let Some(entries) = part("repeated") {
        words.extend(range(&entries, "min_items", "max_items", "entries"));
        let items = set(&entries, "items");
        let items = items.as_ref().and_then(Value::as_message).map(|items| of_rules(items, kind));
        words.extend(items.unwrap_or_default().into_iter().map(|item| format!("each {item}")));
    }
    if let (Some(values), Some(kind)) = (part("enum"), kind) {
        let names = list(&values, "not_in").into_iter();
        let names = names.filter_map(|number| kind.get_value(number.as_i32()?));
        let names: Vec<_> = names
            .filter(|value| value.number() != 0)
            .map(|value| format!("`{}`", value.name()))
            .collect();
        if !names.is_empty() {
            words.push(format!("not {}", names.join(" or ")));
        }
    }
    words
}

fn set(rules: &DynamicMessage, name: &str) -> Option<Value> {
    let is_set = rules.has_field_by_name(name);
    rules.get_field_by_name(name).filter(|_| is_set).map(|value| value.into_owned())
}

fn list(rules: &DynamicMessage, name: &str) -> Vec<Value> {
    set(rules, name).and_then(|values| values.as_list().map(<[Value]>::to_vec)).unwrap_or_default()
}

/// `1 to 20 entries`, `at most 100 characters`, `at least 0`.
fn range(rules: &DynamicMessage, from: &str, to: &str, unit: &str) -> Option<String> {
    let words = match (set(rules, from), set(rules, to)) {
        (Some(from), Some(to)) => format!("{} to {}", shown(&from), shown(&to)),
        (Some(from), None) if is_first_time(&from) => return None,
        (Some(from), None) => format!("at least {}", shown(&from)),
        (None, Some(to)) => format!("at most {}", shown(&to)),
        (None, None) => return None,
    };
    Some(format!("{words} {unit}").trim().to_owned())
}

/// The years 1 to 9999, as the index says of all times.
fn is_first_time(value: &Value) -> bool {
    let first: Timestamp = "0001-01-01T00:00:00Z".parse().expect("a time");
    value.as_message().is_some_and(|message| seconds(message) == first.as_second())
}

fn seconds(message: &DynamicMessage) -> i64 {
    message.get_field_by_name("seconds").and_then(|seconds| seconds.as_i64()).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Message(duration) => in_words(seconds(duration)),
        Value::I32(number) => grouped(i64::from(*number)),
        Value::I64(number) => grouped(*number),
        Value::U64(number) => grouped(i64::try_from(*number).unwrap_or(i64::MAX)),
        other => format!("{other:?}"),
    }
}

fn in_words(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(24 * 60 * 60, "day"), (60 * 60, "hour"), (60, "minute")];
    let unit = UNITS.iter().find(|(unit, _)| seconds > 0 && seconds % unit == 0);
    match unit {
        Some((unit, name)) if seconds / unit == 1 => format!("1 {name}"),
        Some((unit, name)) => format!("{} {name}s", grouped(seconds / unit)),
        None => format!("{} s", grouped(seconds)),
    }
}

/// With commas: 1,000.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
