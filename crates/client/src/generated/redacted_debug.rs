// Generated from proto/ by tests/generated_code. Do not edit.

impl ::std::fmt::Debug for CreateKeyResponse {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("CreateKeyResponse")
            .field("key", &self.r#key)
            .field("token", &if self.token.is_empty() { "" } else { "(hidden)" })
            .field("duplicate", &self.r#duplicate)
            .finish()
    }
}
impl ::std::fmt::Debug for CreateSessionResponse {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("CreateSessionResponse")
            .field("session", &self.r#session)
            .field("token", &if self.token.is_empty() { "" } else { "(hidden)" })
            .field("duplicate", &self.r#duplicate)
            .finish()
    }
}
impl ::std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.r#id)
            .field("organization_id", &self.r#organization_id)
            .field("display_name", &self.r#display_name)
            .field("url", &self.r#url)
            .field("description", &self.r#description)
            .field("event_types", &self.r#event_types)
            .field("state", &self.r#state)
            .field("state_reason", &self.r#state_reason)
            .field("etag", &self.r#etag)
            .field("create_time", &self.r#create_time)
            .field("update_time", &self.r#update_time)
            .field("previous_secret_expire_time", &self.r#previous_secret_expire_time)
            .field("state_time", &self.r#state_time)
            .field("state_cause", &self.r#state_cause)
            .field("state_delivery_id", &self.r#state_delivery_id)
            .field("failing_since_time", &self.r#failing_since_time)
            .field("pause", &self.r#pause)
            .field("payload_format", &self.r#payload_format)
            .field("payload_template", &self.r#payload_template)
            .field("has_routing_key", &self.r#has_routing_key)
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .field("routing_key", &if self.routing_key.is_empty() { "" } else { "(hidden)" })
            .finish()
    }
}
impl ::std::fmt::Debug for CreateEndpointResponse {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("CreateEndpointResponse")
            .field("endpoint", &self.r#endpoint)
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .field(
                "standard_webhooks_secret",
                &if self.standard_webhooks_secret.is_empty() { "" } else { "(hidden)" },
            )
            .field("duplicate", &self.r#duplicate)
            .finish()
    }
}
impl ::std::fmt::Debug for RotateSecretRequest {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("RotateSecretRequest")
            .field("organization_id", &self.r#organization_id)
            .field("endpoint_id", &self.r#endpoint_id)
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .field("overlap", &self.r#overlap)
            .field("request_id", &self.r#request_id)
            .finish()
    }
}
impl ::std::fmt::Debug for RotateSecretResponse {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("RotateSecretResponse")
            .field("endpoint", &self.r#endpoint)
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .field(
                "standard_webhooks_secret",
                &if self.standard_webhooks_secret.is_empty() { "" } else { "(hidden)" },
            )
            .field("duplicate", &self.r#duplicate)
            .finish()
    }
}
impl ::std::fmt::Debug for RevealSecretResponse {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("RevealSecretResponse")
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .field(
                "standard_webhooks_secret",
                &if self.standard_webhooks_secret.is_empty() { "" } else { "(hidden)" },
            )
            .finish()
    }
}
impl ::std::fmt::Debug for SlackDestination {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("SlackDestination")
            .field("url", &if self.url.is_empty() { "" } else { "(hidden)" })
            .field("address", &self.r#address)
            .finish()
    }
}
impl ::std::fmt::Debug for TeamsDestination {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("TeamsDestination")
            .field("url", &if self.url.is_empty() { "" } else { "(hidden)" })
            .field("address", &self.r#address)
            .finish()
    }
}
impl ::std::fmt::Debug for PagerDutyDestination {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("PagerDutyDestination")
            .field("routing_key", &if self.routing_key.is_empty() { "" } else { "(hidden)" })
            .field("region", &self.r#region)
            .field("url", &self.r#url)
            .finish()
    }
}
impl ::std::fmt::Debug for WebhookDestination {
    fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
        f.debug_struct("WebhookDestination")
            .field("url", &self.r#url)
            .field("secret", &if self.secret.is_empty() { "" } else { "(hidden)" })
            .finish()
    }
}
