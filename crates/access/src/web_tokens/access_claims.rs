//! Reads organizations and roles from claims, as identity providers write them. Pure.
//!
//! | provider | organizations | roles |
//! |---|---|---|
//! | Keycloak | `organization`: a list of aliases, or a map of them (`{"acme": {"id": …}}`) | `realm_access.roles`, `resource_access.CLIENT.roles`: lists |
//! | Entra ID | a claim of the directory: a text | `roles`: a list; `groups`: a list of ids |
//! | Auth0 | `org_name`, `org_id`: texts | a claim that is named by a URL: a list |
//! | Okta | a claim of the authorization server: a text or a list | `groups`: a list |

use std::collections::BTreeSet;
use std::str::FromStr;

use keeptrusts_webhooks_domain::access::{OrganizationScope, Role};
use keeptrusts_webhooks_domain::ids::OrganizationId;
use serde_json::Value;

use crate::issuer::Claims;

/// Organizations that a token may name.
const MAX_ORGANIZATIONS: usize = 100;
/// Levels of nested claims that a path may have.
const MAX_DEPTH: usize = 8;

/// Why a valid token gives no access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimProblem {
    /// One of a few words, for the operator's log.
    pub(crate) kind: &'static str,
    /// For the client.
    pub(crate) message: String,
}

impl ClaimProblem {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> ClaimProblem {
        ClaimProblem { kind, message: message.into() }
    }

    /// Adds the claim's name to the message.
    pub(super) fn in_claim(self, name: &str) -> ClaimProblem {
        ClaimProblem { message: format!("the token's claim `{name}` {}", self.message), ..self }
    }
}

/// A provider's name of a role: `--oidc-role-map NAME=ROLE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleName {
    pub(crate) name: String,
    role: Role,
}

impl FromStr for RoleName {
    type Err = String;

    fn from_str(text: &str) -> Result<RoleName, String> {
        // A name may be a URL, which may contain `=`.
        let (name, role) = text.rsplit_once('=').ok_or("write NAME=ROLE")?;
        if name.is_empty() {
            return Err("write NAME=ROLE: the name is missing".to_owned());
        }
        let role = role.parse().map_err(|wrong| format!("`{role}` {wrong}"))?;
        Ok(RoleName { name: name.to_owned(), role })
    }
}

/// The claim with exactly this name, dots included, or the nested claim with this path.
pub(super) fn claim_at<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    descend(claims, name, MAX_DEPTH)
}

fn descend<'a>(claims: &'a Claims, path: &str, depth: usize) -> Option<&'a Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let depth = depth.checked_sub(1)?;
    // A name in the path may contain dots itself, such as a client's id.
    path.match_indices('.').find_map(|(dot, _)| {
        let within = claims.get(&path[..dot])?.as_object()?;
        descend(within, &path[dot + 1..], depth)
    })
}

/// The organizations that a token gives access to. `*` alone means all of them; in a list or a map it
/// would be an organization's name at the provider.
pub(super) fn organizations_in(claim: Option<&Value>) -> Result<OrganizationScope, ClaimProblem> {
    if let Some(Value::String(id)) = claim {
        let id = OrganizationId::or_all(id);
        return id
            .map(OrganizationScope::from)
            .map_err(|_| ClaimProblem::new("organization_id", "is not an organization's id"));
    }
    let names = names_in(claim).ok_or_else(|| {
        ClaimProblem::new("organization_missing", "is missing, or names no organization")
    })?;
    // Names that are no valid ids belong to something else.
    let ids: BTreeSet<OrganizationId> = names.filter_map(|name| name.parse().ok()).collect();
    match ids.len() {
        0 => Err(ClaimProblem::new("organization_id", "names no organization by its id")),
        1 => Ok(ids.into_iter().next().map(OrganizationScope::One).expect("there is one")),
        2..=MAX_ORGANIZATIONS => Ok(OrganizationScope::Several(ids.into_iter().collect())),
        more => {
            let message = format!("names {more} organizations and may name {MAX_ORGANIZATIONS}");
            Err(ClaimProblem::new("organization_count", message))
        }
    }
}

/// The role that a token gives. Admin includes viewer and publisher; other combinations are refused,
/// because no role has their permissions together. Unknown names are ignored.
pub(super) fn role_in(claim: Option<&Value>, map: &[RoleName]) -> Result<Role, ClaimProblem> {
    let names = names_in(claim).into_iter().flatten();
    let roles: BTreeSet<Role> = names.flat_map(|name| roles_of(name, map)).collect();
    let mut distinct = roles.iter().copied();
    match (distinct.next(), distinct.next()) {
        (None, _) => {
            let kind = if claim.is_some() { "role_unknown" } else { "role_missing" };
            Err(ClaimProblem::new(kind, format!("names none of the roles {}", all_names(map))))
        }
        (Some(role), None) => Ok(role),
        (Some(Role::Admin), Some(_)) if !roles.contains(&Role::Platform) => Ok(Role::Admin),
        _ => {
            let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
            let message = format!(
                "names the roles {}, of which none contains the others: give one of them, or admin",
                names.join(" and ")
            );
            Err(ClaimProblem::new("role_several", message))
        }
    }
}

/// With a map, our own names of roles mean nothing: at most providers `admin` is the admin of
/// something else.
fn roles_of(name: &str, map: &[RoleName]) -> Vec<Role> {
    match map {
        [] => name.parse().into_iter().collect(),
        map => map.iter().filter(|own| own.name == name).map(|own| own.role).collect(),
    }
}

fn all_names(map: &[RoleName]) -> String {
    match map {
        [] => "admin, publisher, viewer and platform".to_owned(),
        map => map.iter().map(|own| own.name.as_str()).collect::<Vec<_>>().join(", "),
    }
}

/// A text, the texts of a list, or the names in a map.
fn names_in(claim: Option<&Value>) -> Option<Box<dyn Iterator<Item = &str> + '_>> {
    match claim? {
        Value::String(name) => Some(Box::new(std::iter::once(name.as_str()))),
        Value::Array(names) => Some(Box::new(names.iter().filter_map(Value::as_str))),
        Value::Object(names) => Some(Box::new(names.keys().map(String::as_str))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde_json::json;

    use super::*;

    /// A refusal must contain the expected words.
    fn assert_reads<T: PartialEq + Debug>(
        claim: &Value,
        found: Result<T, ClaimProblem>,
        expected: Result<T, &str>,
    ) {
        match (found, expected) {
            (Err(problem), Err(words)) => {
                assert!(problem.message.contains(words), "{claim}: {problem:?}");
            }
            (found, expected) => {
                let found = found.map_err(|problem| problem.message);
                assert_eq!(found, expected.map_err(str::to_owned), "{claim}");
            }
        }
    }

    #[test]
    fn organizations_are_read_as_providers_send_them() {
        let several = |ids: &[&str]| {
            OrganizationScope::Several(ids.iter().map(|id| id.parse().expect("an id")).collect())
        };
        let one = |id: &str| OrganizationScope::One(id.parse().expect("an id"));
        let many: Vec<_> = (0..=MAX_ORGANIZATIONS).map(|number| format!("o{number}")).collect();
        for (claim, expected) in [
            (json!("acme"), Ok(one("acme"))),
            (json!("*"), Ok(OrganizationScope::All)),
            (json!(["acme"]), Ok(one("acme"))),
            (json!(["globex", "acme", "acme"]), Ok(several(&["acme", "globex"]))),
            (json!({"acme": {"id": "42c3"}}), Ok(one("acme"))),
            (json!({"acme": {}, "globex": {"id": "7"}}), Ok(several(&["acme", "globex"]))),
            (json!(["acme", "No Id", 7, null]), Ok(one("acme"))),
            (json!(["acme", "*"]), Ok(one("acme"))),
            (json!(["*"]), Err("no organization by its id")),
            (json!({"*": {}}), Err("no organization by its id")),
            (json!([]), Err("no organization by its id")),
            (json!("No Id"), Err("not an organization's id")),
            (json!(7), Err("names no organization")),
            (json!(null), Err("names no organization")),
            (
                json!(many[1..]),
                Ok(several(
                    &many[1..]
                        .iter()
                        .map(String::as_str)
                        .collect::<BTreeSet<_>>()
                        .into_iter()
                        .collect::<Vec<_>>(),
                )),
            ),
            (json!(many), Err("names 101 organizations and may name 100")),
        ] {
            assert_reads(&claim, organizations_in(Some(&claim)), expected);
        }
    }

    #[test]
    fn roles_are_read_as_providers_send_them() {
        for (claim, expected) in [
            (json!("viewer"), Ok(Role::Viewer)),
            (json!(["offline_access", "viewer", "uma_authorization"]), Ok(Role::Viewer)),
            (json!({"publisher": {"org": "x"}}), Ok(Role::Publisher)),
            (json!(["viewer", "admin"]), Ok(Role::Admin)),
            (json!(["publisher", "viewer", "admin", "admin"]), Ok(Role::Admin)),
            (json!(["offline_access", "platform"]), Ok(Role::Platform)),
            (json!(["publisher", "viewer"]), Err("publisher and viewer, of which none contains")),
            (json!(["platform", "admin"]), Err("admin and platform, of which none")),
            (json!(["platform", "admin", "viewer"]), Err("of which none")),
            (json!(["platform", "viewer"]), Err("viewer and platform, of which none")),
            (json!(["Viewer", 7]), Err("names none of the roles admin, publisher")),
            (json!(7), Err("names none of the roles")),
            (json!([]), Err("names none of the roles")),
        ] {
            assert_reads(&claim, role_in(Some(&claim), &[]), expected);
        }
    }

    #[test]
    fn with_a_role_map_only_the_providers_names_count() {
        let map = ["Webhooks.Read=viewer", "0b6f-11=admin", "a=b=publisher"];
        let map = map.map(|text| text.parse::<RoleName>().expect("a role's name"));
        let role = |names: Value| role_in(Some(&names), &map);
        assert_eq!(role(json!("Webhooks.Read")), Ok(Role::Viewer));
        assert_eq!(role(json!(["0b6f-11", "Webhooks.Read"])), Ok(Role::Admin));
        assert_eq!(role(json!(["admin", "a=b"])), Ok(Role::Publisher), "an admin of other things");
        assert!(
            role(json!("admin"))
                .is_err_and(|lacks| lacks.message.contains("Webhooks.Read, 0b6f-11"))
        );
        for wrong in ["viewer", "=viewer", "Readers=root", "Readers="] {
            assert!(wrong.parse::<RoleName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_problem_with_claims_has_a_kind_of_its_own() {
        let many: Vec<_> = (0..=MAX_ORGANIZATIONS).map(|number| format!("o{number}")).collect();
        let organizations = [None, Some(json!("No Id")), Some(json!(many))];
        let roles = [None, Some(json!("root")), Some(json!(["viewer", "publisher"]))];
        let organizations =
            organizations.iter().map(|claim| organizations_in(claim.as_ref()).map(drop));
        let role = roles.iter().map(|claim| role_in(claim.as_ref(), &[]).map(drop));
        let kinds: BTreeSet<_> = organizations
            .chain(role)
            .map(|found| found.expect_err("it lacks something").kind)
            .collect();
        assert_eq!(
            kinds.len(),
            6,
            "one a minute of each is told, and none hides another: {kinds:?}"
        );
    }

    #[test]
    fn a_claim_is_found_by_its_exact_name_or_by_the_path_to_it() {
        let claims = json!({
            "realm_access": {"roles": ["viewer"]},
            "resource_access": {"web.hooks": {"roles": ["admin"]}},
            "https://acme.example/roles": ["publisher"],
            "a.b": 1, "a": {"b": 2, "c": null},
        });
        let claims = claims.as_object().expect("an object");
        for (name, expected) in [
            ("realm_access.roles", Some(json!(["viewer"]))),
            ("resource_access.web.hooks.roles", Some(json!(["admin"]))),
            ("https://acme.example/roles", Some(json!(["publisher"]))),
            ("a.b", Some(json!(1))),
            ("a.c", Some(json!(null))),
            ("a.d", None),
            ("a.b.c", None),
            ("roles", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(claim_at(claims, name), expected.as_ref(), "{name}");
        }
    }
}
