//! What a token's claims say of its subject.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential};
use keeptrusts_webhooks_domain::access::{Reach, Role};
use keeptrusts_webhooks_domain::limits::MAX_ACTOR_CHARS;
use keeptrusts_webhooks_domain::text::is_line;
use serde_json::Value;

use super::NoCaller;
use super::organizations_and_roles::{Lack, RoleName, claim_at, reach_in, role_in};
use crate::issuer::{Claims, Defect};

/// In which claims the organization and the role are, and what roles are called there.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    /// A claim's name, or a path to one in others: `realm_access.roles`.
    pub(crate) organization: String,
    /// The same.
    pub(crate) role: String,
    /// A provider's own names. Empty: roles are called what they are called here.
    pub(crate) role_map: Vec<RoleName>,
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
    fn place(&self, claims: &Claims) -> Result<(Role, Reach), Lack> {
        let named = |name: &str| claim_at(claims, name);
        let role = role_in(named(&self.role), &self.role_map)
            .map_err(|lacks| lacks.in_claim(&self.role))?;
        let reach = reach_in(named(&self.organization))
            .map_err(|lacks| lacks.in_claim(&self.organization))?;
        if role == Role::Platform && reach != Reach::Everywhere {
            let what = format!(
                "the token's role is platform, which is for every organization: its claim `{}` must be *",
                self.organization
            );
            return Err(Lack::new("platform", what));
        }
        Ok((role, reach))
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
#[path = "claims_tests.rs"]
mod tests;
