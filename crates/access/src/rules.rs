//! The permission that each method requires. A method without a rule is refused.
//!
//! Decision: docs/decisions/no-server-without-a-gate.md

use keeptrusts_webhooks_domain::access::Permission;

/// What a caller needs to call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// No token: health and reflection.
    Open,
    /// A token whose role has this permission.
    Needs(Permission),
    /// There is no rule: nobody may call the method.
    Missing,
}

const PACKAGE: &str = "/keeptrusts.webhooks.v1.";
const OPEN: [&str; 3] = [
    "/grpc.health.v1.Health/",
    "/grpc.reflection.v1.ServerReflection/",
    "/grpc.reflection.v1alpha.ServerReflection/",
];

/// The rule for a request's path (`/package.Service/Method`).
pub fn rule_of(path: &str) -> Rule {
    if OPEN.iter().any(|service| path.starts_with(service)) {
        return Rule::Open;
    }
    let permission = path.strip_prefix(PACKAGE).and_then(permission_for);
    permission.map_or(Rule::Missing, Rule::Needs)
}

fn permission_for(method: &str) -> Option<Permission> {
    Some(match method {
        "EndpointService/CreateEndpoint"
        | "EndpointService/UpdateEndpoint"
        | "EndpointService/EnableEndpoint"
        | "EndpointService/DisableEndpoint"
        | "EndpointService/DeleteEndpoint"
        | "EndpointService/RotateSecret" => Permission::Manage,
        "EndpointService/GetEndpoint"
        | "EndpointService/ListEndpoints"
        | "EndpointService/PreviewPayload" => Permission::Read,
        "EndpointService/RevealSecret" => Permission::RevealSecrets,
        "EndpointService/ListEventTypes" => Permission::Authenticated,

        "IngestService/PublishEvent"
        | "IngestService/BatchPublishEvents"
        | "IngestService/StreamEvents" => Permission::Publish,
        "IngestService/GetEvent" | "IngestService/ListEvents" => Permission::ReadEvents,

        "DispatchService/SendTest"
        | "DispatchService/RetryDelivery"
        | "DispatchService/CancelDelivery"
        | "DispatchService/CreateReplay"
        | "DispatchService/CancelReplay" => Permission::Send,
        "DispatchService/ListDeliveries"
        | "DispatchService/GetDelivery"
        | "DispatchService/GetAttempt"
        | "DispatchService/ListAttempts"
        | "DispatchService/WatchDeliveries"
        | "DispatchService/WatchEvents"
        | "DispatchService/GetReplay"
        | "DispatchService/ListReplays"
        | "DispatchService/WatchReplay"
        | "DispatchService/GetEndpointStats"
        | "DispatchService/GetHealthSummary" => Permission::Read,

        "AccessService/CreateKey"
        | "AccessService/GetKey"
        | "AccessService/ListKeys"
        | "AccessService/RevokeKey" => Permission::ManageKeys,
        "AccessService/WhoAmI" | "AccessService/CreateSession" | "AccessService/EndSession" => {
            Permission::Authenticated
        }

        "NotificationService/CreateChannel"
        | "NotificationService/UpdateChannel"
        | "NotificationService/DeleteChannel" => Permission::Manage,
        "NotificationService/TestChannel" => Permission::Send,
        "NotificationService/GetChannel"
        | "NotificationService/ListChannels"
        | "NotificationService/GetNotification"
        | "NotificationService/ListNotifications" => Permission::Read,

        "AuditService/ListAuditEntries" => Permission::ReadAudit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keeptrusts_webhooks_contracts::DESCRIPTORS;
    use keeptrusts_webhooks_domain::access::Role;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn every_method() -> Vec<String> {
        let files = FileDescriptorSet::decode(DESCRIPTORS).expect("descriptors").file;
        let ours = files.iter().filter(|file| file.package().starts_with("keeptrusts."));
        let methods = ours.flat_map(|file| {
            file.service.iter().flat_map(move |service| {
                service.method.iter().map(move |method| {
                    format!("/{}.{}/{}", file.package(), service.name(), method.name())
                })
            })
        });
        methods.collect()
    }

    #[test]
    fn every_method_of_the_contracts_has_a_rule() {
        let methods = every_method();
        assert!(methods.len() > 25, "the descriptors are those of the contracts");
        for method in methods {
            assert!(matches!(rule_of(&method), Rule::Needs(_)), "{method} has no rule");
        }
    }

    /// The methods in docs/api.md with their roles.
    fn listed_methods() -> BTreeMap<String, String> {
        let page = include_str!("../../../docs/api.md");
        let mut service = "";
        let mut listed = BTreeMap::new();
        for row in page.lines().filter_map(|line| line.strip_prefix("| ")) {
            let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
            match cells[..] {
                [name, ..] if name.starts_with("**") => {
                    service = name.split("**").nth(1).unwrap_or_default();
                }
                [method, _, roles] if !service.is_empty() => {
                    listed.insert(format!("{PACKAGE}{service}/{method}"), roles.to_owned());
                }
                _ => {}
            }
        }
        listed
    }

    #[test]
    fn the_page_on_the_api_lists_every_method_with_the_roles_that_may_call_it() {
        let roles_of = |method: &str| {
            let Rule::Needs(permission) = rule_of(method) else { return String::new() };
            let roles = Role::ALL.iter().copied().filter(|role| role.may(permission));
            let mut names: Vec<&str> = roles.map(Role::name).collect();
            names.sort_unstable();
            if names.len() == Role::ALL.len() { "anyone".to_owned() } else { names.join(", ") }
        };
        let expected: BTreeMap<String, String> =
            every_method().into_iter().map(|it| (it.clone(), roles_of(&it))).collect();
        assert_eq!(listed_methods(), expected);
    }

    #[test]
    fn who_may_update_may_create_because_an_update_may_create() {
        for resource in ["EndpointService/{}Endpoint", "NotificationService/{}Channel"] {
            let permission = |verb| permission_for(&resource.replace("{}", verb));
            assert!(permission("Create").is_some());
            assert_eq!(permission("Update"), permission("Create"), "{resource}");
        }
    }

    #[test]
    fn methods_outside_the_contracts_have_no_rule() {
        for path in [
            "/keeptrusts.webhooks.v1.EndpointService/Steal",
            "/keeptrusts.webhooks.v1.EndpointService/",
            "/keeptrusts.webhooks.v1.EndpointService/CreateEndpoint/",
            "/other.Service/CreateEndpoint",
            "/grpc.health.v1.HealthX/Check",
            "",
        ] {
            assert_eq!(rule_of(path), Rule::Missing, "{path:?}");
        }
        assert_eq!(rule_of("/grpc.health.v1.Health/Check"), Rule::Open);
    }
}
