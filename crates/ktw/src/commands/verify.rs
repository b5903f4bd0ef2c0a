//! `ktw verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use keeptrusts_webhooks_client::verify::{Secret, Verifier, VerifyError};

use crate::failure::Failure;
use crate::files::{read_bytes, read_secret};
use crate::options::duration;
use crate::output::{self, Output};

/// Verifies the signature of a captured request.
///
/// Give the secret by file, the body by file, and the headers as they arrived, with one --header each or in
/// a file; a file may be the whole request as `curl -v` or a proxy shows it.
#[derive(Args)]
#[command(after_help = "\
Example:
  ktw verify --secret-file secret.txt --body body.json \\
    --header 'webhook-id: evt_…' --header 'webhook-timestamp: 1776945600' --header 'webhook-signature: v1,…'
  ktw verify --secret-file secret.txt --request captured.txt --any-time")]
pub(crate) struct Verify {
    /// A file with the secret; `-` for stdin. May be repeated: one of them has to fit.
    #[arg(long, required = true, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// A file with the exact bytes of the body; `-` for stdin.
    #[arg(long, value_name = "FILE", required_unless_present = "request")]
    body: Option<PathBuf>,
    /// A header of the request; may be repeated.
    #[arg(long, short = 'H', value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A file with the whole request: lines of headers, an empty line, the body; `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    request: Option<PathBuf>,
    /// How far the timestamp may be from now.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    tolerance: Duration,
    /// Do not compare the timestamp with the clock: for requests that were captured long ago.
    #[arg(long)]
    any_time: bool,
}

impl Verify {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        output.refuse_forms("verify")?;
        let (mut headers, body) = match (&self.request, &self.body) {
            (Some(file), _) => parse_request(&read_bytes(file)?),
            (None, Some(file)) => (Vec::new(), read_bytes(file)?),
            (None, None) => (Vec::new(), Vec::new()),
        };
        for header in &self.header {
            let (name, value) = header.split_once(':').ok_or_else(|| {
                Failure::Usage(format!("--header {header:?} is not `NAME: VALUE`"))
            })?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        let secrets = self.secret_file.iter().map(|file| read_secret(file));
        let secrets = secrets.collect::<Result<Vec<_>, _>>()?;
        check(&secrets, &headers, &body, (!self.any_time).then_some(self.tolerance))?;
        output::message("valid");
        Ok(())
    }
}

/// Both kinds of signatures, as far as their headers are there: each must be valid.
fn check(
    secrets: &[String],
    headers: &[(String, String)],
    body: &[u8],
    tolerance: Option<Duration>,
) -> Result<(), Failure> {
    let secrets = secrets.iter().map(|text| Secret::new(text.as_str()));
    let secrets = secrets.collect::<Result<Vec<_>, _>>();
    let secrets = secrets.map_err(|error| Failure::Usage(error.to_string()))?;
    let verifier = Verifier::of(secrets);
    let verifier = match tolerance {
        Some(tolerance) => verifier.tolerance(tolerance),
        None => verifier.tolerance(Duration::MAX),
    };
    let pairs = || headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let failed = |error: VerifyError| {
        let hint = match error {
            VerifyError::TimestampTooOld => " (--any-time verifies it nevertheless)",
            VerifyError::BadSignature => {
                " (the body must be the exact bytes, without a line break that an editor added)"
            }
            _ => "",
        };
        Failure::Check(format!("{error}{hint}"))
    };
    let has =
        |wanted: &str| headers.iter().any(|(name, _)| name.to_lowercase().starts_with(wanted));
    match (has("webhook-"), has("x-keeptrusts-signature")) {
        (false, false) => Err(Failure::Check(
            "the request has no signature: neither webhook-signature nor X-Keeptrusts-Signature"
                .to_owned(),
        )),
        (standard, own) => {
            if standard {
                verifier.verify(pairs(), body).map_err(failed)?;
            }
            if own {
                verifier.verify_body(pairs(), body).map_err(failed)?;
            }
            Ok(())
        }
    }
}

/// The headers and the body of a request as tools show it: a request line and marks (`> `) are skipped.
fn parse_request(bytes: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
    let mut headers = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches('\r').trim_start_matches("> ").trim_start_matches('>');
        if line.trim().is_empty() {
            return (headers, rest.to_vec());
        }
        if let Some((name, value)) = line.split_once(':').filter(|(name, _)| !name.contains(' ')) {
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use keeptrusts_webhooks_client::verify::sign;

    use super::*;

    const SECRET: &str = "correct horse battery staple";

    fn signed(body: &[u8]) -> Vec<(String, String)> {
        let secret = Secret::new(SECRET).expect("a secret");
        let headers = sign(&secret, None, "evt_1", SystemTime::UNIX_EPOCH, body);
        headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn a_captured_request_is_verified_also_after_its_time() {
        let (secrets, headers) = ([SECRET.to_owned()], signed(b"{}"));
        assert!(check(&secrets, &headers, b"{}", None).is_ok());
        for (body, tolerance) in
            [(b"{}".as_slice(), Some(Duration::from_secs(300))), (b"{ }", None)]
        {
            assert!(matches!(check(&secrets, &headers, body, tolerance), Err(Failure::Check(_))));
        }
        assert!(matches!(check(&secrets, &[], b"{}", None), Err(Failure::Check(_))));
    }

    #[test]
    fn a_whole_request_is_read_as_tools_show_it() {
        let text = b"POST /hook HTTP/1.1\r\n> Webhook-Id: evt_1\r\nHost: x\r\n\r\n{\"a\":1}\n";
        let (headers, body) = parse_request(text);
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, [("Webhook-Id", "evt_1"), ("Host", "x")]);
        assert_eq!(body, b"{\"a\":1}\n");
    }
}
