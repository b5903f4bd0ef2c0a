use super::*;

type Patch = PayloadPatch<&'static str>;
type Format = PayloadFormat<&'static str>;

const FIELDS: PayloadFields = PayloadFields::TOP;

fn wrong(current: &Format, change: Patch) -> Vec<String> {
    let violations = change.resolve(current, FIELDS).expect_err("a violation");
    violations.into_iter().map(|violation| violation.field).collect()
}

fn custom(template: &str) -> Format {
    PayloadFormat::Custom { template: template.to_owned() }
}

#[test]
fn an_empty_patch_changes_nothing() {
    for current in [
        Format::Keeptrusts,
        Format::Slack,
        PayloadFormat::PagerDuty { routing_key: "key" },
        custom("{}"),
    ] {
        assert_eq!(Patch::default().resolve(&current, FIELDS), Ok(current));
    }
}

#[test]
fn a_format_keeps_the_part_that_its_kind_needs_and_drops_the_other() {
    let pager = PayloadFormat::PagerDuty { routing_key: "old" };
    let to = |kind| Patch { kind: Some(kind), ..Patch::default() };
    assert_eq!(to(PayloadKind::Slack).resolve(&pager, FIELDS), Ok(Format::Slack));
    assert_eq!(to(PayloadKind::PagerDuty).resolve(&pager, FIELDS), Ok(pager.clone()));
    let new_key = Patch { routing_key: Some("new"), ..Patch::default() };
    let expected = PayloadFormat::PagerDuty { routing_key: "new" };
    assert_eq!(new_key.resolve(&pager, FIELDS), Ok(expected));
    let edited = Patch { template: Some("[]".to_owned()), ..Patch::default() };
    assert_eq!(edited.resolve(&custom("{}"), FIELDS), Ok(custom("[]")));
}

#[test]
fn the_part_that_a_kind_needs_is_required() {
    let to = |kind| Patch { kind: Some(kind), ..Patch::default() };
    assert_eq!(wrong(&Format::Slack, to(PayloadKind::PagerDuty)), ["routing_key"]);
    assert_eq!(wrong(&Format::Slack, to(PayloadKind::Custom)), ["payload_template"]);
    let emptied = Patch { template: Some(String::new()), ..Patch::default() };
    assert_eq!(wrong(&custom("{}"), emptied), ["payload_template"]);
}

#[test]
fn a_part_that_a_kind_has_no_use_for_is_refused() {
    let template = Patch { template: Some("{}".to_owned()), ..Patch::default() };
    assert_eq!(wrong(&Format::Slack, template.clone()), ["payload_template"]);
    let key = Patch { routing_key: Some("key"), ..Patch::default() };
    assert_eq!(wrong(&custom("{}"), key), ["routing_key"]);
    let away = Patch { kind: Some(PayloadKind::Teams), ..template };
    assert_eq!(wrong(&custom("{}"), away), ["payload_template"]);
    let both = Patch {
        kind: Some(PayloadKind::Keeptrusts),
        template: Some("{}".to_owned()),
        routing_key: Some("key"),
    };
    assert_eq!(wrong(&Format::Keeptrusts, both), ["payload_template", "routing_key"]);
}

#[test]
fn a_template_is_at_most_16_kib() {
    let sized = |bytes: usize| Patch {
        kind: Some(PayloadKind::Custom),
        template: Some("1".repeat(bytes)),
        routing_key: None,
    };
    assert!(sized(MAX_TEMPLATE_BYTES).resolve(&Format::Slack, FIELDS).is_ok());
    assert_eq!(wrong(&Format::Slack, sized(MAX_TEMPLATE_BYTES + 1)), ["payload_template"]);
}

#[test]
fn a_routing_key_is_32_letters_and_digits_and_is_not_printed() {
    let key = RoutingKey::new("routing_key", "R0123456789abcdef0123456789ABCDE".to_owned());
    assert_eq!(format!("{:?}", key.expect("right")), "RoutingKey(Secret(..))");
    for wrong in ["", "0123", "0123456789abcdef0123456789abcde-", &"é".repeat(16)] {
        let violation = RoutingKey::new("routing_key", wrong.to_owned()).expect_err("wrong");
        assert!(!violation.description.contains(wrong) || wrong.is_empty(), "{violation}");
    }
}

#[test]
fn every_kind_is_read_back_from_its_name() {
    for kind in PayloadKind::ALL {
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    assert_eq!("Slack".parse::<PayloadKind>(), Err(UnknownPayloadKind));
}

#[test]
fn a_format_is_called_by_its_name_in_documents() {
    let routing_key = SealedSecret { key_id: "dk".to_owned(), nonce: [1; 12], ciphertext: vec![2] };
    for kind in PayloadKind::ALL.iter().copied() {
        let format = PayloadFormat::new(kind, Some("{}".to_owned()), Some(routing_key.clone()));
        let format = format.expect("it has what it needs");
        let json = serde_json::to_string(&format).expect("serializes");
        let name = format!("{:?}", kind.name());
        assert!(json == name || json.starts_with(&format!("{{{name}:")), "{json}");
        assert_eq!(serde_json::from_str::<PayloadFormat>(&json).expect("reads"), format);
    }
}

#[test]
fn the_page_on_payload_formats_has_a_row_for_each() {
    let page = include_str!("../../../docs/payload-formats.md");
    for kind in PayloadKind::ALL {
        let row = format!("\n| `PAYLOAD_FORMAT_{}`", kind.name().to_uppercase());
        assert!(page.contains(&row), "docs/payload-formats.md has no row for {kind}");
    }
}
