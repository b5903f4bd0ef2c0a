use serde_json::json;

use super::*;

fn caller(claims: Value) -> Result<Caller, WebTokenError> {
    let names = ClaimNames {
        organization: "organization".to_owned(),
        role: "role".to_owned(),
        role_map: Vec::new(),
    };
    names.caller(claims.as_object().expect("an object"))
}

#[test]
fn claims_give_the_callers_name_organization_and_role() {
    let claims = json!({
        "sub": "u-1", "email": "ann@acme.example", "organization": "acme",
        "role": ["offline_access", "viewer"], "exp": 4_000_000_000.5,
    });
    let caller = caller(claims).expect("enough is said");
    assert_eq!((&*caller.actor, &*caller.name), ("oidc:u-1", "ann@acme.example"));
    assert_eq!(caller.role, Role::Viewer);
    assert_eq!(caller.organizations.to_string(), "acme");
    assert_eq!(caller.expire_time.map(|time| time.as_second()), Some(4_000_000_000));
}

#[test]
fn a_token_that_gives_no_access_is_answered_with_the_problem() {
    let says = |claims, what: &str| match caller(claims).expect_err("not enough") {
        WebTokenError::Insufficient(lacks) => assert!(lacks.message.contains(what), "{lacks:?}"),
        other => panic!("{other:?}"),
    };
    says(json!({"sub": "u", "exp": 4e9, "role": "viewer"}), "`organization`");
    says(
        json!({"sub": "u", "exp": 4e9, "role": "viewer", "organization": "No Id"}),
        "organization's id",
    );
    says(json!({"sub": "u", "exp": 4e9, "organization": "acme"}), "`role`");
    says(json!({"sub": "u", "exp": 4e9, "organization": "acme", "role": "root"}), "`role`");
    says(
        json!({"sub": "u", "exp": 4e9, "organization": "acme", "role": ["viewer", "publisher"]}),
        "publisher and viewer",
    );
    says(json!({"sub": "u", "exp": 4e9, "organization": "acme", "role": "platform"}), "must be *");
}

#[test]
fn an_expiry_beyond_the_range_of_timestamps_is_invalid() {
    for end in [json!(9_223_372_036_854_775_808_u64), json!(1e300), json!(-1e300), json!("4e9")] {
        let claims = json!({"sub": "u", "exp": end, "organization": "acme", "role": "viewer"});
        let Err(WebTokenError::Invalid(defect)) = caller(claims) else { panic!("it has no end") };
        assert_eq!(defect.kind(), "exp", "{defect}");
    }
}

#[test]
fn a_subject_that_is_not_a_short_line_is_invalid() {
    for subject in [json!(""), json!("a\nb"), json!("x".repeat(201)), json!(7)] {
        let claims = json!({"sub": subject, "exp": 4e9, "organization": "acme", "role": "viewer"});
        let Err(WebTokenError::Invalid(defect)) = caller(claims) else { panic!("it is nobody's") };
        assert_eq!(defect.kind(), "sub", "{defect}");
    }
}
