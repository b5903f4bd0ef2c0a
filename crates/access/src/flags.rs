//! The flags of the gate, and how the gate is built from them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use http::Uri;
use ipnet::IpNet;
use keeptrusts_webhooks_domain::key::Token;
use keeptrusts_webhooks_process::database::Database;
use keeptrusts_webhooks_process::exit::Failure;
use keeptrusts_webhooks_process::flags::{network, positive_number};
use keeptrusts_webhooks_process::grpc_server::Gate;
use keeptrusts_webhooks_process::service_process::PreparedGate;
use keeptrusts_webhooks_store::Clock;
use keeptrusts_webhooks_telemetry::output;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;

use crate::failed_logins::FailedLogins;
use crate::fetcher::{TrustError, is_acceptable};
use crate::first_key;
use crate::gate::AccessGate;
use crate::issuer::{IssuerKeys, IssuerSettings, KeySource, TokenVerifier};
use crate::keys::KeyCache;
use crate::refused_tokens::RefusedTokenLog;
use crate::web_tokens::{ClaimNames, RoleName, WebTokens};

/// The flags that make the gate accept web tokens. Other flags about web tokens require one of them.
const WEB_TOKENS: &str = "web_tokens";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access", group = ArgGroup::new(WEB_TOKENS).multiple(true))]
pub struct AccessFlags {
    /// The token of the first key, an admin's of all organizations: kt_ and 64 hex digits.
    ///
    /// Make one with: echo kt_$(openssl rand -hex 32). It is better given by the environment than
    /// on the command line, which others can see. Without it, a database that has no key yet gets
    /// one, whose token is printed once, on standard output. Whoever has lost it, or all keys of
    /// admins, starts a process with this flag: it also makes a key in a database that has some.
    #[arg(long, value_name = "TOKEN", hide_env_values = true, value_parser = token)]
    pub bootstrap_admin_key: Option<Token>,

    /// Accept JSON Web Tokens of this OpenID Connect issuer. Its keys are fetched from the
    /// address that its discovery document names, and again when they change.
    #[arg(
        long,
        value_name = "URL",
        group = WEB_TOKENS,
        requires = "oidc_audience",
        value_parser = issuer_address
    )]
    pub oidc_issuer: Option<String>,

    /// The audience that tokens must be for, most often the console's client id. Can be given
    /// several times.
    #[arg(long, value_name = "NAME", requires = WEB_TOKENS, value_delimiter = ',')]
    pub oidc_audience: Vec<String>,

    /// A file with the issuer's keys (a JSON Web Key Set), instead of fetching them. With
    /// --oidc-issuer tokens must be of that issuer; without it, of whoever has these keys.
    #[arg(long, value_name = "FILE", group = WEB_TOKENS, requires = "oidc_audience")]
    pub oidc_jwks_file: Option<PathBuf>,

    /// A PEM file with certificates to trust for the issuer besides the system's: of an authority,
    /// or of the issuer itself.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    pub oidc_ca: Option<PathBuf>,

    /// The claim that names the organization, or several in a list or a map; * is all of them.
    /// A claim within others is named by the path to it, with dots.
    #[arg(long, value_name = "CLAIM", requires = WEB_TOKENS, default_value = "organization")]
    pub oidc_organization_claim: String,

    /// The claim that names the role: admin, publisher, viewer or platform; or a list or a map of
    /// names. A claim within others is named by the path to it, with dots: realm_access.roles.
    #[arg(long, value_name = "CLAIM", requires = WEB_TOKENS, default_value = "role")]
    pub oidc_role_claim: String,

    /// What the issuer calls a role: Webhooks.Read=viewer. Can be given several times; the roles'
    /// own names then mean nothing in tokens.
    #[arg(long, value_name = "NAME=ROLE", requires = WEB_TOKENS, value_delimiter = ',')]
    pub oidc_role_map: Vec<RoleName>,

    /// How many wrong tokens an address may send a minute; further ones are answered
    /// RESOURCE_EXHAUSTED.
    #[arg(long, value_name = "NUMBER", default_value = "600", value_parser = positive_number(1))]
    pub failed_logins_per_minute: NonZeroU32,

    /// A network whose peers may say by x-forwarded-for whom they ask for: a console or a proxy of
    /// yours. The audit trail shows that address, and wrong tokens are counted by it. Can be given
    /// several times.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', value_parser = network)]
    pub trusted_proxy: Vec<IpNet>,

    /// Do not tell what can be called (gRPC reflection), which takes no token.
    #[arg(long)]
    pub no_reflection: bool,
}

/// Checked flags: see [`AccessFlags::prepare`].
pub struct PreparedAccess {
    flags: AccessFlags,
    web_tokens: Option<WebTokens>,
}

#[derive(Debug, thiserror::Error)]
pub enum AccessSetupError {
    #[error("--oidc-role-map has {0} twice: a name means one role")]
    RoleMappedTwice(String),
    #[error("cannot prepare to fetch the issuer's keys (--oidc-ca)")]
    Trust(#[from] TrustError),
}

impl AccessFlags {
    /// Checks the flags, so that wrong ones fail before a database is created.
    pub fn prepare(self) -> Result<PreparedAccess, AccessSetupError> {
        let mut mapped = BTreeSet::new();
        for RoleName { name, .. } in &self.oidc_role_map {
            if !mapped.insert(name) {
                return Err(AccessSetupError::RoleMappedTwice(name.clone()));
            }
        }
        Ok(PreparedAccess { web_tokens: self.web_tokens()?, flags: self })
    }

    /// The issuer whose tokens are accepted. None: no web tokens are accepted, or those of any issuer
    /// that signs with the keys in `--oidc-jwks-file`.
    pub fn issuer(&self) -> Option<IssuerSettings> {
        Some(IssuerSettings {
            identifier: self.oidc_issuer.clone()?,
            jwks_file: self.oidc_jwks_file.clone(),
            ca: self.oidc_ca.clone(),
        })
    }

    fn web_tokens(&self) -> Result<Option<WebTokens>, AccessSetupError> {
        let audiences = self.oidc_audience.clone();
        let tokens = match (self.issuer(), &self.oidc_jwks_file) {
            (Some(issuer), _) => issuer.tokens(&issuer.fetcher()?, audiences),
            (None, Some(path)) => {
                TokenVerifier::new(IssuerKeys::new(KeySource::File(path.clone())), None, audiences)
            }
            (None, None) => return Ok(None),
        };
        let names = ClaimNames {
            organization: self.oidc_organization_claim.clone(),
            role: self.oidc_role_claim.clone(),
            role_map: self.oidc_role_map.clone(),
        };
        Ok(Some(WebTokens::new(tokens, names)))
    }
}

#[async_trait]
impl PreparedGate for PreparedAccess {
    fn permits_reflection(&self) -> bool {
        !self.flags.no_reflection
    }

    /// Prints a newly created first key on standard output, once and not in the logs.
    async fn start(self, database: &Database, clock: Clock) -> Result<Arc<dyn Gate>, Failure> {
        let PreparedAccess { flags, web_tokens } = self;
        let given = flags.bootstrap_admin_key.as_ref();
        if let Some(token) = first_key::ensure(&database.log, &clock, given).await? {
            print_first_key(token).await;
        }
        let keys = Arc::new(KeyCache::new(Arc::clone(&database.log), Arc::clone(&clock)));
        let stop = CancellationToken::new();
        let recording_uses = {
            let (keys, stop) = (Arc::clone(&keys), stop.clone());
            tokio::spawn(async move { keys.record_uses(stop).await })
        };
        Ok(Arc::new(AccessGate {
            keys,
            web_tokens,
            failed_logins: FailedLogins::per_minute(flags.failed_logins_per_minute),
            refused_tokens: RefusedTokenLog::default(),
            trusted_proxies: flags.trusted_proxy,
            clock,
            stop,
            recording_uses: Some(recording_uses).into(),
        }))
    }
}

/// How long printing the first key may take.
const PRINT_TIMEOUT: Duration = Duration::from_secs(2);

/// Prints the first key, or logs how to get in without it.
async fn print_first_key(token: Token) {
    let print = move || {
        let text = "The first key, an admin's of all organizations. It is shown only now:";
        output::result_line_within(format_args!("{text}\n\n  {}\n", token.expose()), PRINT_TIMEOUT)
    };
    if !tokio::task::spawn_blocking(print).await.unwrap_or(false) {
        tracing::error!(
            "the first key was made and could not be shown, since nobody reads standard output: start again with KEEPTRUSTS_WEBHOOKS_BOOTSTRAP_ADMIN_KEY set to a key of your own, and revoke \"the first key\""
        );
    }
}

fn token(text: &str) -> Result<Token, String> {
    text.parse().map_err(|_| {
        "write kt_ and 64 hex digits in lower case; make one with `echo kt_$(openssl rand -hex 32)`"
            .to_owned()
    })
}

/// Parses an issuer's identifier. Also for the flag of the console, which has no gate.
pub fn issuer_address(text: &str) -> Result<String, String> {
    let url: Option<Uri> = text.parse().ok();
    match url.is_some_and(|url| is_acceptable(&url)) {
        true => Ok(text.to_owned()),
        false => {
            Err("write https://host/path, as the tokens have it in their claim `iss`".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        access: AccessFlags,
    }

    #[test]
    fn flags_about_web_tokens_require_one_that_accepts_them() {
        let parsed = |flags: &[&str]| {
            Flags::try_parse_from(["program"].iter().chain(flags))
                .map_err(|error| error.to_string())
        };
        for flag in [
            "--oidc-audience=api",
            "--oidc-organization-claim=org",
            "--oidc-role-claim=roles",
            "--oidc-role-map=Readers=viewer",
            "--oidc-ca=ca.pem",
        ] {
            let refused = parsed(&[flag]).expect_err(flag);
            assert!(refused.contains("--oidc-issuer"), "{flag}: {refused}");
            let issuer = ["--oidc-issuer=https://id.example", "--oidc-audience=console", flag];
            assert!(parsed(&issuer).is_ok(), "{flag}");
        }
        let file = ["--oidc-jwks-file=keys.json", "--oidc-audience=api"];
        assert!(parsed(&[&file[..], &["--oidc-role-map=Readers=viewer"]].concat()).is_ok());
        let unread = parsed(&[&file[..], &["--oidc-ca=ca.pem"]].concat());
        assert!(unread.is_err_and(|error| error.contains("--oidc-issuer")), "nothing is fetched");
        let both = ["--oidc-issuer=https://id.example", "--oidc-audience=api"];
        assert!(
            parsed(&[&file[..1], &both[..]].concat()).is_ok(),
            "keys from a file, of an issuer"
        );
    }
}
