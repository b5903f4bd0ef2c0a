//! `ktw doctor`.

use std::time::{Duration, Instant};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use keeptrusts_webhooks_client::{Code, Error, v1};

use crate::connection::no_key;
use crate::descriptors::shown_enum;
use crate::failure::Failure;
use crate::output::{line, message};
use crate::session::Session;
use crate::times;

/// Receivers that check timestamps allow five minutes; half of that is worth a warning.
const CLOCK_WARNING: SignedDuration = SignedDuration::from_secs(150);

/// How long the server may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Checks the address, TLS, key, clock and versions.
///
/// It says which settings hold and where they come from, and what helps. The exit status is 9 if something is
/// wrong.
#[derive(Args)]
pub(crate) struct Doctor {}

impl Doctor {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Failure> {
        session.output.refuse_forms("doctor")?;
        report(
            "address",
            Finding::Well,
            &format!("{} (from {})", session.address.value, session.address.source),
        )?;
        match &session.key_source {
            Some(source) => report("key", Finding::Well, &format!("from {source}"))?,
            None => report("key", Finding::Bad, "none")?,
        }
        let began = Instant::now();
        // Waiting for a server that is away tells nothing.
        let client = session.client.with_deadline(session.timeout.min(PATIENCE));
        let answer = client.who_am_i(v1::WhoAmIRequest {}).await;
        let took = began.elapsed();
        match answer {
            Ok(caller) => self.report_caller(session, &caller, took),
            // That the key is missing was said.
            Err(error) if error.code() == Code::Unauthenticated && session.key_source.is_none() => {
                report_connection(took)?;
                Err(no_key())
            }
            Err(error) => {
                let (what, help) = explained(&error, &session.address.value);
                report(what, Finding::Bad, error.message())?;
                message(&format!("\n{help}"));
                Err(Failure::Check(format!("no call succeeds: see {what} above")))
            }
        }
    }

    fn report_caller(
        &self,
        session: &Session,
        caller: &v1::WhoAmIResponse,
        took: Duration,
    ) -> Result<(), Failure> {
        let is_encrypted = session.address.value.starts_with("https:");
        report_connection(took)?;
        match is_encrypted {
            true => report("tls", Finding::Well, "the certificate is valid")?,
            false => report("tls", Finding::Warning, "not encrypted; only right on this machine")?,
        }
        report("caller", Finding::Well, &described(caller))?;
        match session.chosen_organization(caller) {
            Ok(organization) => report("organization", Finding::Well, &organization)?,
            Err(failure) => {
                let text = failure.text();
                report("organization", Finding::Warning, text.trim_start_matches("error: "))?;
            }
        }
        if let Some(expires) = caller.expire_time.and_then(timestamp) {
            let left = expires.duration_since(Timestamp::now());
            let is_soon = left < SignedDuration::from_hours(7 * 24);
            let finding = if is_soon { Finding::Warning } else { Finding::Well };
            let shown = times::shown(&expires.to_string(), &session.output.zone);
            report("key's end", finding, &format!("{shown}, in {} days", left.as_hours() / 24))?;
        }
        let clock = self.report_clock(caller, took)?;
        report_versions(&caller.server_version)?;
        match clock {
            Finding::Bad => Err(Failure::Check("the clocks differ".to_owned())),
            _ => Ok(()),
        }
    }

    /// The server's clock was read somewhere during the call: half of it is the best guess.
    fn report_clock(
        &self,
        caller: &v1::WhoAmIResponse,
        took: Duration,
    ) -> Result<Finding, Failure> {
        let Some(theirs) = caller.server_time.and_then(timestamp) else {
            report("clock", Finding::Warning, "the server does not tell its time")?;
            return Ok(Finding::Warning);
        };
        let halfway = SignedDuration::try_from(took / 2).unwrap_or_default();
        let ours = Timestamp::now().checked_sub(halfway).unwrap_or(Timestamp::MIN);
        let difference = ours.duration_since(theirs);
        let seconds = difference.as_secs_f64();
        let finding = match difference.abs() {
            apart if apart > CLOCK_WARNING * 2 => Finding::Bad,
            apart if apart > CLOCK_WARNING => Finding::Warning,
            _ => Finding::Well,
        };
        let ahead = if seconds < 0.0 { "behind" } else { "ahead of" };
        report("clock", finding, &format!("{:.1} s {ahead} the server's", seconds.abs()))?;
        Ok(finding)
    }
}

/// Who a caller is, and what the caller may do.
pub(super) fn described(caller: &v1::WhoAmIResponse) -> String {
    let role = shown_enum("Role", caller.role);
    let organization = match caller.organization_id.as_str() {
        "*" => "every organization".to_owned(),
        "" => caller.organization_ids.join(", "),
        organization => organization.to_owned(),
    };
    format!("{} {:?}, {role} of {organization}", caller.actor, caller.display_name)
}

fn report_connection(took: Duration) -> Result<(), Failure> {
    report("connection", Finding::Well, &format!("answered in {} ms", took.as_millis()))
}

fn report_versions(server: &str) -> Result<(), Failure> {
    let ours = env!("CARGO_PKG_VERSION");
    let is_same_series = series(ours) == series(server);
    let finding = if is_same_series { Finding::Well } else { Finding::Warning };
    report("versions", finding, &format!("ktw {ours}, server {server}"))
}

/// What must be equal for all commands to work: major, and minor below 1.0 (semver.org, section 4).
fn series(version: &str) -> Vec<&str> {
    let parts: Vec<_> = version.split('.').collect();
    let count = if parts.first() == Some(&"0") { 2 } else { 1 };
    parts.into_iter().take(count).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Well,
    Warning,
    Bad,
}

fn report(what: &str, finding: Finding, text: &str) -> Result<(), Failure> {
    let (mark, color) = match finding {
        Finding::Well => ("ok", anstyle::AnsiColor::Green),
        Finding::Warning => ("warning", anstyle::AnsiColor::Yellow),
        Finding::Bad => ("wrong", anstyle::AnsiColor::Red),
    };
    let style = anstyle::Style::new().fg_color(Some(color.into()));
    line(&format!("{style}{mark:8}{style:#}{what:14}{text}"))
}

/// Which check an error belongs to, and what helps.
pub(super) fn explained(error: &Error, address: &str) -> (&'static str, String) {
    match error.code() {
        Code::Unauthenticated => ("key", "The key was revoked, has expired, or is for another server. An admin makes another one: `ktw keys create` or the console.".to_owned()),
        Code::PermissionDenied => ("key", "The key may not call WhoAmI, which every valid key may: is this the right server?".to_owned()),
        _ if error.message().contains("InvalidContentType") => ("connection", "What answers there does not encrypt: with http:// the address is right, if it is on this machine.".to_owned()),
        _ if error.message().contains("frame with invalid size") => ("connection", "What answers there encrypts: the address begins with https://.".to_owned()),
        _ if error.message().contains("UnknownIssuer") || error.message().contains("CaUsedAsEndEntity") => ("tls", "Its certificate is by an authority that is unknown here: --ca-file names the file with its certificate.".to_owned()),
        _ if error.message().contains("broken pipe") => ("connection", "An HTTP server seems to answer there, not gRPC: is it the port of the console?".to_owned()),
        Code::Unimplemented => ("connection", format!("Something answers at {address}, but it is no Keeptrusts Webhooks: is this the port of gRPC, not of the console?")),
        _ if address.starts_with("https:") => ("connection", "Is the server up, and does it encrypt? With a private authority, add --ca-file. `openssl s_client -connect HOST:PORT` shows its certificate.".to_owned()),
        _ => ("connection", "Is the server up? If it encrypts, the address begins with https://.".to_owned()),
    }
}

fn timestamp(time: prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_series_fit() {
        assert_eq!(series("0.1.0"), series("0.1.7"));
        assert_ne!(series("0.1.0"), series("0.2.0"));
        assert_eq!(series("1.2.0"), series("1.9.3"));
        assert_ne!(series("1.2.0"), series("2.0.0"));
    }
}
