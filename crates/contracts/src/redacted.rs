//! Debug for messages that carry a secret in clear, without the secret (invariant 10). For these
//! messages (with a field of the option `debug_redact`) `build.rs` leaves out the derived Debug.

use std::fmt;

use crate::v1;

/// Replaces a secret in Debug output. Empty if there is none.
fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "(hidden)" }
}

macro_rules! hide_token {
    ($($message:ident { $($field:ident),* };)*) => {
        $(impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let v1::$message { token, $($field),* } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    .field("token", &hidden(token))
                    .finish()
            }
        })*
    };
}

hide_token! {
    CreateKeyResponse { key };
    CreateSessionResponse { session };
}

macro_rules! hide_secret {
    ($($message:ident { $($field:ident),* };)*) => {
        $(impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                // Destructured, so that a new field cannot be forgotten.
                let v1::$message { secret, $($field),* } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    .field("secret", &hidden(secret))
                    .finish()
            }
        })*
    };
}

hide_secret! {
    RotateSecretRequest { organization_id, endpoint_id, overlap };
    WebhookDestination { url };
}

/// The same for responses, which have the secret in two forms.
macro_rules! hide_shown_secret {
    ($($message:ident { $($field:ident),* };)*) => {
        $(impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let v1::$message { secret, standard_webhooks_secret, $($field),* } = self;
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), $field))*
                    .field("secret", &hidden(secret))
                    .field("standard_webhooks_secret", &hidden(standard_webhooks_secret))
                    .finish()
            }
        })*
    };
}

hide_shown_secret! {
    CreateEndpointResponse { endpoint };
    RotateSecretResponse { endpoint };
    RevealSecretResponse {};
}

macro_rules! hide_url {
    ($($message:ident),*) => {
        $(impl fmt::Debug for v1::$message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let v1::$message { url, address } = self;
                f.debug_struct(stringify!($message))
                    .field("url", &hidden(url))
                    .field("address", address)
                    .finish()
            }
        })*
    };
}

hide_url!(SlackDestination, TeamsDestination);

impl fmt::Debug for v1::PagerDutyDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v1::PagerDutyDestination { routing_key, region, url } = self;
        f.debug_struct("PagerDutyDestination")
            .field("routing_key", &hidden(routing_key))
            .field("region", region)
            .field("url", url)
            .finish()
    }
}

/// Shows the endpoint to be created as its own message, which has no secret.
impl fmt::Debug for v1::CreateEndpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateEndpointRequest")
            .field("organization_id", &self.organization_id)
            .field("endpoint", &v1::Endpoint::from(self.clone()))
            .field("secret", &hidden(&self.secret))
            .field("routing_key", &hidden(&self.routing_key))
            .finish()
    }
}

impl fmt::Debug for v1::UpdateEndpointRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v1::UpdateEndpointRequest {
            organization_id,
            endpoint,
            update_mask,
            secret,
            routing_key,
        } = self;
        f.debug_struct("UpdateEndpointRequest")
            .field("organization_id", organization_id)
            .field("endpoint", endpoint)
            .field("update_mask", update_mask)
            .field("secret", &hidden(secret))
            .field("routing_key", &hidden(routing_key))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_10_no_message_shows_its_secret() {
        let secret = || "correct horse battery".to_owned();
        let shown = [
            format!("{:?}", v1::CreateEndpointRequest { secret: secret(), ..Default::default() }),
            format!("{:?}", v1::CreateEndpointResponse { secret: secret(), ..Default::default() }),
            format!("{:?}", v1::UpdateEndpointRequest { secret: secret(), ..Default::default() }),
            format!(
                "{:?}",
                v1::CreateEndpointRequest { routing_key: secret(), ..Default::default() }
            ),
            format!(
                "{:?}",
                v1::UpdateEndpointRequest { routing_key: secret(), ..Default::default() }
            ),
            format!("{:?}", v1::RotateSecretRequest { secret: secret(), ..Default::default() }),
            format!("{:?}", v1::RotateSecretResponse { secret: secret(), ..Default::default() }),
            format!("{:?}", v1::RevealSecretResponse { secret: secret(), ..Default::default() }),
            {
                let standard_webhooks_secret = secret();
                let shown =
                    v1::CreateEndpointResponse { standard_webhooks_secret, ..Default::default() };
                format!("{shown:?}")
            },
            {
                let standard_webhooks_secret = secret();
                let shown =
                    v1::RotateSecretResponse { standard_webhooks_secret, ..Default::default() };
                format!("{shown:?}")
            },
            {
                let standard_webhooks_secret = secret();
                let shown =
                    v1::RevealSecretResponse { standard_webhooks_secret, ..Default::default() };
                format!("{shown:?}")
            },
            format!("{:?}", v1::CreateKeyResponse { token: secret(), ..Default::default() }),
            format!("{:?}", v1::CreateSessionResponse { token: secret(), ..Default::default() }),
            format!("{:?}", v1::SlackDestination { url: secret(), ..Default::default() }),
            format!("{:?}", v1::TeamsDestination { url: secret(), ..Default::default() }),
            format!("{:?}", v1::WebhookDestination { secret: secret(), ..Default::default() }),
            format!(
                "{:?}",
                v1::PagerDutyDestination { routing_key: secret(), ..Default::default() }
            ),
        ];
        for text in shown {
            assert!(text.contains("(hidden)") && !text.contains("horse"), "{text}");
        }
    }
}
