//! Flags for signing in with an account of an OpenID Connect issuer.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use keeptrusts_webhooks_domain::text::is_line;
use zeroize::Zeroizing;

const MAX_LABEL_CHARS: usize = 60;

/// What the console is at an issuer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Console, signing in with an account")]
pub struct AccountFlags {
    /// The console's client id at --oidc-issuer. With it, people sign in to the console with their
    /// accounts there (OpenID Connect, authorization code flow with PKCE).
    ///
    /// Register this redirect URI at the issuer: --console-public-url, or http:// and the address
    /// that the console listens on, and /sign-in/callback. The services must accept tokens for
    /// the client: name it as an --oidc-audience.
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    pub oidc_client_id: Option<String>,

    /// The secret of that client, unless it is a public one. It is better given by the environment
    /// or in a file than on the command line, which others can see.
    #[arg(long, value_name = "SECRET", hide_env_values = true, requires = "oidc_client_id")]
    pub oidc_client_secret: Option<ClientSecret>,

    /// A file with the secret of that client.
    #[arg(
        long,
        value_name = "FILE",
        requires = "oidc_client_id",
        conflicts_with = "oidc_client_secret"
    )]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// What the console asks the issuer for, besides openid: the scopes with which its tokens have
    /// the claims that name organization and role. Can be given several times.
    #[arg(
        long,
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "profile,email",
        value_parser = scope
    )]
    pub oidc_scope: Vec<String>,

    /// What people call the issuer: the button on the sign-in page reads "Sign in with NAME"
    /// [default: the issuer's host]
    #[arg(long, value_name = "NAME", requires = "oidc_client_id", value_parser = label)]
    pub oidc_label: Option<String>,
}

/// The secret of a client. No output shows it.
#[derive(Clone)]
pub struct ClientSecret(Zeroizing<String>);

/// A text that cannot be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client secret is empty: leave it away for a public client")]
pub struct EmptySecret;

impl ClientSecret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientSecret {
    type Err = EmptySecret;

    fn from_str(text: &str) -> Result<ClientSecret, EmptySecret> {
        match text.trim() {
            "" => Err(EmptySecret),
            text => Ok(ClientSecret(Zeroizing::new(text.to_owned()))),
        }
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// RFC 6749 section 3.3.
fn scope(text: &str) -> Result<String, String> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    match !text.is_empty() && text.bytes().all(is_allowed) {
        true => Ok(text.to_owned()),
        false => Err("write scopes separated by commas, such as profile,email".to_owned()),
    }
}

fn label(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    match (1..=MAX_LABEL_CHARS).contains(&length) && is_line(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("write a name of 1 to {MAX_LABEL_CHARS} characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_10_a_client_secret_is_in_no_output() {
        let secret: ClientSecret = " s3cret\n".parse().expect("a secret");
        assert_eq!(secret.expose(), "s3cret", "a file ends with a line's end");
        assert_eq!(format!("{secret:?}"), "ClientSecret(..)");
        assert_eq!("\n".parse::<ClientSecret>().err(), Some(EmptySecret));
    }

    #[test]
    fn scopes_and_labels_are_what_they_can_be() {
        assert!(scope("https://id.example/scopes/roles").is_ok());
        for wrong in ["", "a b", "\"", "\\", "ä"] {
            assert!(scope(wrong).is_err(), "{wrong}");
        }
        assert!(label("Keycloak (staff)").is_ok());
        for wrong in ["", "a\nb", &"x".repeat(61)] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }
}
