//! What a token's claims say of its subject.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential, Reach, Role};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use keeptrusts_webhooks_domain::limits::MAX_ACTOR_CHARS;
use keeptrusts_webhooks_domain::text::is_line;
use serde_json::Value;

use super::NoCaller;
use crate::issuer::{Claims, Defect};

/// In which claims the organization and the role are.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    pub(crate) organization: String,
    pub(crate) role: String,
}

impl ClaimNames {
    /// Whose a token is, whose signature, audience and times have been checked.
    pub(crate) fn caller(&self, claims: &Claims) -> Result<Caller, NoCaller> {
        let invalid = |claim, wanted| NoCaller::Invalid(Defect::claim(claims, claim, wanted));
        let subject = text(claims, "sub").filter(|text| is_nameable(text));
        let subject = subject.ok_or_else(|| {
            invalid("sub", format!("a line of 1 to {MAX_ACTOR_CHARS} visible characters"))
        })?;
        // An end that no clock will ever show is none that the issuer can have meant.
        let expire_time = expire_time(claims);
        let expire_time =
            expire_time.ok_or_else(|| invalid("exp", "a time before the year 10000".to_owned()))?;
        let (role, reach) = self.place(claims).map_err(NoCaller::Insufficient)?;
        let named = ["email", "preferred_username", "name"].iter();
        let name = named.filter_map(|claim| text(claims, claim)).find(|text| is_nameable(text));
        Ok(Caller {
            actor: format!("oidc:{subject}").into(),
            name: name.unwrap_or(subject).into(),
            role,
            reach,
            expire_time: Some(expire_time),
            credential: Credential::WebToken,
            address: None,
        })
    }

    /// What its subject may do, and where. The error: what the token lacks.
    fn place(&self, claims: &Claims) -> Result<(Role, Reach), String> {
        let role = self.role(claims)?;
        let reach = Reach::from(self.organization(claims)?);
        if role == Role::Platform && reach != Reach::Everywhere {
            return Err(format!(
                "the token's role is platform, which is for every organization: its claim `{}` must be *",
                self.organization
            ));
        }
        Ok((role, reach))
    }

    fn organization(&self, claims: &Claims) -> Result<OrganizationId, String> {
        let name = &self.organization;
        let id = text(claims, name)
            .ok_or_else(|| format!("the token has no claim `{name}` that names an organization"))?;
        OrganizationId::or_all(id)
            .map_err(|_| format!("the token's claim `{name}` is not an organization's id"))
    }

    /// A role's name, or a list with exactly one: of two, who could say which is meant?
    fn role(&self, claims: &Claims) -> Result<Role, String> {
        let claim = claims.get(&self.role);
        let names: Vec<&str> = match claim {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let mut roles = names.into_iter().filter_map(|name| name.parse::<Role>().ok());
        match (roles.next(), roles.next()) {
            (Some(role), None) => Ok(role),
            _ => Err(format!(
                "the token's claim `{}` does not name exactly one of the roles admin, publisher, viewer and platform",
                self.role
            )),
        }
    }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// Whether a text can stand in the log and in a table for people.
fn is_nameable(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_ACTOR_CHARS && is_line(text)
}

/// RFC 7519 section 2: seconds since 1970, possibly with a fraction.
fn expire_time(claims: &Claims) -> Option<Timestamp> {
    let seconds = claims.get("exp")?.as_f64()?;
    // `as` would cut what is too large.
    let fits = seconds.abs() < Timestamp::MAX.as_second() as f64;
    fits.then(|| Timestamp::from_second(seconds as i64).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn caller(claims: Value) -> Result<Caller, NoCaller> {
        let names = ClaimNames { organization: "organization".to_owned(), role: "role".to_owned() };
        names.caller(claims.as_object().expect("an object"))
    }

    #[test]
    fn claims_say_who_where_and_what() {
        let claims = json!({
            "sub": "u-1", "email": "ann@acme.example", "organization": "acme",
            "role": ["offline_access", "viewer"], "exp": 4_000_000_000.5,
        });
        let caller = caller(claims).expect("enough is said");
        assert_eq!((&*caller.actor, &*caller.name), ("oidc:u-1", "ann@acme.example"));
        assert_eq!(caller.role, Role::Viewer);
        assert_eq!(caller.reach.to_string(), "acme");
        assert_eq!(caller.expire_time.map(|time| time.as_second()), Some(4_000_000_000));
    }

    #[test]
    fn a_token_that_does_not_say_enough_is_told_what_it_lacks() {
        let says = |claims, what: &str| match caller(claims).expect_err("not enough") {
            NoCaller::Insufficient(lacks) => assert!(lacks.contains(what), "{lacks}"),
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
            json!({"sub": "u", "exp": 4e9, "organization": "acme", "role": ["viewer", "admin"]}),
            "exactly",
        );
        says(
            json!({"sub": "u", "exp": 4e9, "organization": "acme", "role": "platform"}),
            "must be *",
        );
    }

    #[test]
    fn an_end_that_no_clock_will_show_is_none() {
        for end in [json!(9_223_372_036_854_775_808_u64), json!(1e300), json!(-1e300), json!("4e9")]
        {
            let claims = json!({"sub": "u", "exp": end, "organization": "acme", "role": "viewer"});
            let Err(NoCaller::Invalid(defect)) = caller(claims) else { panic!("it has no end") };
            assert_eq!(defect.kind(), "exp", "{defect}");
        }
    }

    #[test]
    fn a_subject_that_cannot_be_named_is_nobody() {
        for subject in [json!(""), json!("a\nb"), json!("x".repeat(201)), json!(7)] {
            let claims =
                json!({"sub": subject, "exp": 4e9, "organization": "acme", "role": "viewer"});
            let Err(NoCaller::Invalid(defect)) = caller(claims) else { panic!("it is nobody's") };
            assert_eq!(defect.kind(), "sub", "{defect}");
        }
    }
}
