//! The rules of `buf.validate` in the contracts say what the conversions check: both are asked about the
//! same requests, with values at each limit and beyond it, and at random.
//!
//! The rules are evaluated by protovalidate's own library, which knows nothing of ours. What it cannot
//! say is checked by the conversions alone and stands in [`ALONE`]. It never refuses what they accept.

mod cases;
mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keeptrusts_webhooks_contracts::DESCRIPTORS;
use keeptrusts_webhooks_domain::violation::{Violation, ViolationReason};
use keeptrusts_webhooks_testkit::tools;
use prost_reflect::DescriptorPool;

use cases::Case;
use checks::{CHECKS, Check, PACKAGE};

/// What the conversions check alone: the end of a field's path, what the violation says, and why there is
/// no rule for it.
const ALONE: &[(&str, &str, &str)] = &[
    ("", "NUL character", "databases keep none; no text of people has one"),
    ("", "invisible characters", "Unicode's lists of what does not show"),
    ("secret", "which does not show", "the same"),
    ("secret", "ends with a blank", "the same"),
    ("secret", "is required", "depends on the update's mask, as the next ones do"),
    ("email", "is required when update_mask names it", ""),
    ("pagerduty", "is required when update_mask names it", ""),
    ("slack", "is required when update_mask names it", ""),
    ("teams", "is required when update_mask names it", ""),
    ("webhook", "is required when update_mask names it", ""),
    ("subscriptions", "is required", ""),
    ("display_name", "is required", "a name of blanks is empty"),
    ("event_types", "is required", ""),
    ("payload_format", "is required", ""),
    ("routing_key", "is required", "depends on the endpoint's format, as the next ones do"),
    ("routing_key", "is for the pagerduty format", ""),
    ("payload_template", "is required", ""),
    ("payload_template", "is for the custom format", ""),
    ("url", "is required", "a URL of blanks is empty"),
    ("url", "is not a URL", "needs a parser, as the next ones do"),
    ("url", "has the scheme", ""),
    ("url", "control character", ""),
    ("data_json", "is not JSON", ""),
    ("recipients", "is not a mail address", ""),
    ("event_type", "is not one of ListEventTypes", "the catalogue grows"),
    ("event_types", "is not one of ListEventTypes", ""),
    ("event_types", "is not an event type", ""),
    ("event_types", "webhook.test cannot be subscribed to", ""),
    ("page_token", "is from another list", "only the server reads tokens"),
    ("page_token", "is not from this list", ""),
    ("resume_token", "is not from a watch", ""),
    ("order_by", "must be fields with commas between them", "each list has its own"),
    ("organization_id", "is required", "PublishEvent needs one, an event of a batch does not"),
    ("expire_time", "must be a time from", "depends on the time"),
    ("time", "must be a valid timestamp", "nanoseconds below 0 are no time"),
    ("end_time", "must be after start_time", "times are cut to microseconds"),
];

/// A oneof has its own name in the rules. The conversions name the member that most requests have.
const ONEOFS: &[(&str, &str)] = &[("payload", "data")];

/// A field's path, and the id of the rule that it breaks.
type Found = (String, String);

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).expect("descriptors")
}

/// The violations of each request by protovalidate: the path of its field, and its rule's id.
fn evaluated(cases: &[Case]) -> Vec<Vec<Found>> {
    let folder = tempfile::tempdir().expect("a folder");
    let descriptors = folder.path().join("descriptors.bin");
    fs::write(&descriptors, DESCRIPTORS).expect("it is written");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rules/evaluate.py");
    let mut python = Command::new(tools::python())
        .arg(script)
        .arg(&descriptors)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut input = python.stdin.take().expect("its input");
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            for case in cases {
                let line = format!("{PACKAGE}.{} {}\n", case.request, STANDARD.encode(&case.bytes));
                input.write_all(line.as_bytes()).expect("Python reads on");
            }
        });
        python.wait_with_output().expect("Python ends")
    });
    assert!(output.status.success(), "see above");
    let lines: Vec<_> = output.stdout.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines.len(), cases.len() + 1, "a line for each request");
    let read = |line: &&[u8]| serde_json::from_slice::<Vec<Found>>(line).expect("JSON");
    let named = |(path, rule): Found| match rule.rsplit_once('.') {
        // A rule about several fields: its id is the path within the message and a word.
        Some((field, _)) if is_about_several(&path, &rule) => {
            (if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }, rule)
        }
        _ => (path, rule),
    };
    let found = lines[..cases.len()].iter().map(read);
    found.map(|violations| violations.into_iter().map(named).collect()).collect()
}

fn is_about_several(path: &str, rule: &str) -> bool {
    path.is_empty() || rule.starts_with("end_time.") || rule.starts_with("include_delivered.")
}

/// Whether one path is the other, or within it.
fn agree(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let same = |path: &str, name: &str| {
        ONEOFS.iter().any(|(oneof, field)| (path, name) == (*oneof, *field))
    };
    within(one, other) || within(other, one) || same(one, other) || same(other, one)
}

/// The entry of [`ALONE`] that a violation of a conversion falls under.
fn alone(violation: &Violation) -> Option<usize> {
    let field = violation.field.split('[').next().unwrap_or_default();
    let fits = |(end, words, _): &(&str, &str, &str)| {
        field.ends_with(end) && violation.description.contains(words)
    };
    ALONE.iter().position(fits)
}

/// The reasons that a violation may have where the rule with this id is broken. None: any.
fn reasons_of(rule: &str) -> Option<&'static [ViolationReason]> {
    use ViolationReason::{
        InvalidFormat, NotAllowed, OutOfRange, Required, TooLong, TooMany, UnknownValue,
    };
    Some(match rule.rsplit('.').next()? {
        "required" | "min_items" => &[Required],
        "max_len" | "max_bytes" => &[TooLong],
        "max_items" => &[TooMany],
        "defined_only" => &[UnknownValue],
        // 0, which is no value, and values that there are.
        "not_in" => &[UnknownValue, NotAllowed],
        // No text fits the pattern either.
        "pattern" => &[InvalidFormat, Required],
        _ if ["int32", "int64", "duration", "timestamp"]
            .iter()
            .any(|kind| rule.starts_with(kind)) =>
        {
            &[OutOfRange]
        }
        _ => return None,
    })
}

/// What both say of a request differently. `used` are the entries of [`ALONE`] that were needed.
fn difference(
    case: &Case,
    rules: &[Found],
    check: &Check,
    used: &mut BTreeSet<usize>,
) -> Option<String> {
    let checked = (check.check)(&case.bytes);
    let only_rules = match checked.is_empty() {
        true => rules.first(),
        // Several fields are wrong, and a conversion may stop at what makes the others meaningless.
        false if case.is_random => None,
        false => rules.iter().find(|(path, _)| !checked.iter().any(|by| agree(path, &by.field))),
    };
    if let Some((path, rule)) = only_rules {
        return Some(format!("{}: only the rule {rule} refuses {path}", case.request));
    }
    if let ([violation], [(path, rule)]) = (&checked[..], rules)
        && let Some(reasons) = reasons_of(rule)
        && alone(violation).is_none()
        && !reasons.contains(&violation.reason)
    {
        let reason = violation.reason.name();
        return Some(format!("{}: {reason} is not the reason of {rule} of {path}", case.request));
    }
    let is_by_rules =
        |violation: &Violation| rules.iter().any(|(path, _)| agree(path, &violation.field));
    for violation in checked.iter().filter(|violation| !is_by_rules(violation)) {
        let Violation { field: path, description, .. } = violation;
        match alone(violation) {
            Some(entry) => used.insert(entry),
            None => {
                let kind = format!("{}: no rule refuses {path}", case.request);
                return Some(format!("{kind}, which {description}"));
            }
        };
    }
    None
}

fn check_of(request: &str) -> &'static Check {
    CHECKS.iter().find(|check| check.request == request).expect("a check")
}

#[test]
fn every_request_has_its_check() {
    let pool = pool();
    let methods = pool.services().filter(|service| service.package_name() == PACKAGE);
    let methods = methods.flat_map(|service| service.methods().collect::<Vec<_>>());
    let inputs = methods.map(|method| method.input().name().to_owned());
    let inputs: BTreeSet<_> = inputs.collect();
    let known: BTreeSet<_> = CHECKS.iter().map(|check| check.request.to_owned()).collect();
    let others: BTreeSet<_> =
        checks::WITHOUT_CONVERSION.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(inputs, known.union(&others).cloned().collect());
}

#[test]
fn the_rules_and_the_conversions_refuse_the_same_fields() {
    let cases = cases::all(&pool());
    let rules = evaluated(&cases);
    let (mut used, mut differences) = (BTreeSet::new(), BTreeMap::new());
    for (case, rules) in cases.iter().zip(&rules) {
        if let Some(text) = difference(case, rules, check_of(case.request), &mut used) {
            // The shortest request of each kind tells most.
            let shown = differences.entry(text).or_insert(&case.text);
            *shown = if case.text.len() < shown.len() { &case.text } else { shown };
        }
    }
    let shown = differences.iter().map(|(text, request)| {
        format!("{text}\n    {}\n", request.chars().take(300).collect::<String>())
    });
    assert!(differences.is_empty(), "\n{}", shown.collect::<String>());
    let unused = (0..ALONE.len()).filter(|entry| !used.contains(entry)).map(|entry| ALONE[entry]);
    assert_eq!(unused.collect::<Vec<_>>(), [], "no request needs it");
    let valid = rules.iter().filter(|violations| violations.is_empty()).count();
    assert!(valid > cases.len() / 10 && valid < cases.len() * 9 / 10, "{valid} of {}", cases.len());
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let cases = cases::examples(&pool());
    for (case, rules) in cases.iter().zip(evaluated(&cases)) {
        assert_eq!(rules, [], "{}: {}", case.request, case.text);
        if let Some(check) = CHECKS.iter().find(|check| check.request == case.request) {
            let found = (check.check)(&case.bytes);
            assert_eq!(found, [], "{}: {}", case.request, case.text);
        }
    }
    assert!(cases.len() > 40, "{}", cases.len());
}
