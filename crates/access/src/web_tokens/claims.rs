//! Turns the claims of a valid token into a caller.

use keeptrusts_webhooks_domain::Timestamp;
use keeptrusts_webhooks_domain::access::{Caller, Credential};
use keeptrusts_webhooks_domain::access::{OrganizationScope, Role};
use keeptrusts_webhooks_domain::limits::MAX_ACTOR_CHARS;
use keeptrusts_webhooks_domain::text::is_line;
use serde_json::Value;

use super::access_claims::{ClaimProblem, RoleName, claim_at, organizations_in, role_in};
use super::web_token_error::WebTokenError;
use crate::issuer::{Claims, TokenDefect};

/// The claims with the organization and the role, and the names of roles in them.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    /// A claim's name, or the path to a nested one: `realm_access.roles`.
    pub(crate) organization: String,
    /// Likewise.
    pub(crate) role: String,
    /// The provider's names of roles. Empty: it uses ours.
    pub(crate) role_map: Vec<RoleName>,
}

impl ClaimNames {
    /// The caller of a verified token.
    pub(crate) fn caller(&self, claims: &Claims) -> Result<Caller, WebTokenError> {
        let invalid =
            |claim, wanted| WebTokenError::Invalid(TokenDefect::claim(claims, claim, wanted));
        let subject = text(claims, "sub").filter(|text| is_nameable(text));
        let subject = subject.ok_or_else(|| {
            invalid("sub", format!("a line of 1 to {MAX_ACTOR_CHARS} visible characters"))
        })?;
        // An expiry beyond the range of timestamps must be a mistake of the issuer.
        let expire_time = expire_time(claims);
        let expire_time =
            expire_time.ok_or_else(|| invalid("exp", "a time before the year 10000".to_owned()))?;
        let (role, organizations) =
            self.role_and_organizations(claims).map_err(WebTokenError::Insufficient)?;
        let named = ["email", "preferred_username", "name"].iter();
        let name = named.filter_map(|claim| text(claims, claim)).find(|text| is_nameable(text));
        Ok(Caller {
            actor: format!("oidc:{subject}").into(),
            name: name.unwrap_or(subject).into(),
            role,
            organizations,
            expire_time: Some(expire_time),
            credential: Credential::WebToken,
            address: None,
        })
    }

    fn role_and_organizations(
        &self,
        claims: &Claims,
    ) -> Result<(Role, OrganizationScope), ClaimProblem> {
        let named = |name: &str| claim_at(claims, name);
        let role = role_in(named(&self.role), &self.role_map)
            .map_err(|lacks| lacks.in_claim(&self.role))?;
        let organizations = organizations_in(named(&self.organization))
            .map_err(|lacks| lacks.in_claim(&self.organization))?;
        if role == Role::Platform && organizations != OrganizationScope::All {
            let message = format!(
                "the token's role is platform, which is for every organization: its claim `{}` must be *",
                self.organization
            );
            return Err(ClaimProblem::new("platform", message));
        }
        Ok((role, organizations))
    }
}

fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    claims.get(name).and_then(Value::as_str)
}

/// Whether a text is fit for the log and for tables.
fn is_nameable(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_ACTOR_CHARS && is_line(text)
}

/// RFC 7519 section 2: seconds since 1970, possibly with a fraction.
fn expire_time(claims: &Claims) -> Option<Timestamp> {
    let seconds = claims.get("exp")?.as_f64()?;
    // `as` would saturate.
    let fits = seconds.abs() < Timestamp::MAX.as_second() as f64;
    fits.then(|| Timestamp::from_second(seconds as i64).ok()).flatten()
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
