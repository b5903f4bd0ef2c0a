//! Parses the database URL in all forms of libpq, with one host or several.
//!
//! A general parser of URLs would find a host in a password with an `@` or a `/` that is not
//! encoded. That host would be looked up, logged and shown.

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// What is wrong with a database URL. It contains no part of the URL but names of parameters: those
/// that libpq knows, and unknown ones that cannot be part of a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("it does not begin with postgres:// or postgresql://")]
    Scheme,
    /// Its parts cannot be told apart.
    #[error(
        "in user, password and names write @ as %40, / as %2F, # as %23, ? as %3F, : as %3A and % as %25 (percent-encoding)"
    )]
    NotEncoded,
    #[error("what is percent-encoded in it is not UTF-8")]
    NotText,
    #[error(
        "a port is not a number from 1 to 65535; or the password has an @ or a / that is not percent-encoded (%40, %2F)"
    )]
    Port,
    #[error("give one port for all hosts, or one for each")]
    PortCount,
    /// A parameter of libpq that is not supported here.
    #[error("the parameter {0} is not supported: remove it")]
    Unsupported(&'static str),
    #[error("{name} must be {allowed}")]
    Value {
        name: &'static str,
        /// The allowed values.
        allowed: &'static str,
    },
    /// An unknown parameter that cannot be part of a password.
    #[error("the parameter {0} is not known: correct or remove it")]
    Unknown(String),
    /// An unknown parameter that may be part of a password.
    #[error(
        "it has a parameter that is not known; or a value with an & that is not percent-encoded (%26)"
    )]
    UnknownParameter,
}

/// Parameters of libpq that are not supported here.
/// <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>
const UNSUPPORTED: [&str; 34] = [
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "scram_client_key",
    "scram_server_key",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslnegotiation",
    "sslpassword",
];

/// Parameters that are passed on to sqlx, which passes some on to the server.
const PASSED_ON: [&str; 11] = [
    "application_name",
    "options",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "statement-cache-capacity",
    "sslmode",
];

/// Longer names are not shown in errors.
const MAX_SHOWN_NAME_BYTES: usize = 40;

#[derive(Default)]
struct Parts<'a> {
    hosts: Vec<Cow<'a, str>>,
    /// The port of the host with the same index. None: not given.
    ports: Vec<Option<u16>>,
    user: Option<Cow<'a, str>>,
    password: Option<Cow<'a, str>>,
    database: Option<Cow<'a, str>>,
    passed_on: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Following parameters may be part of the password, if it has an & that is not encoded.
    is_behind_password: bool,
}

/// How to connect to each host of a URL, in its order. There is at least one.
pub(super) fn parse(url: &str) -> Result<Vec<PgConnectOptions>, InvalidUrl> {
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    let rest = rest.ok_or(InvalidUrl::Scheme)?;
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // Neither can follow the authority, so it is part of a password.
    if tail.contains(['@', '#']) {
        return Err(InvalidUrl::NotEncoded);
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let mut parts = Parts::default();
    parts.read_authority(authority)?;
    let database = path.trim_start_matches('/');
    parts.database = (!database.is_empty()).then(|| decode(database)).transpose()?;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        parts.read_parameter(name, value)?;
    }
    parts.options()
}

/// Whether a text looks like a parameter's name, and can be shown in one line.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_SHOWN_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_part)
}

fn decode(text: &str) -> Result<Cow<'_, str>, InvalidUrl> {
    percent_decode_str(text).decode_utf8().map_err(|_| InvalidUrl::NotText)
}

fn port(text: &str) -> Result<Option<u16>, InvalidUrl> {
    match text {
        "" => Ok(None),
        _ => text.parse().ok().filter(|port| *port > 0).map(Some).ok_or(InvalidUrl::Port),
    }
}

impl<'a> Parts<'a> {
    fn read_authority(&mut self, authority: &'a str) -> Result<(), InvalidUrl> {
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (Some(user_info), hosts),
            None => (None, authority),
        };
        if let Some(user_info) = user_info {
            let (user, password) = match user_info.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (user_info, None),
            };
            self.user = (!user.is_empty()).then(|| decode(user)).transpose()?;
            self.password = password.map(decode).transpose()?;
        }
        for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
            let (name, port_text) = match host.strip_prefix('[') {
                Some(address) => {
                    let (address, rest) = address.split_once(']').ok_or(InvalidUrl::NotEncoded)?;
                    (address, rest.strip_prefix(':').unwrap_or(rest))
                }
                None => host.split_once(':').unwrap_or((host, "")),
            };
            self.hosts.push(decode(name)?);
            self.ports.push(port(port_text)?);
        }
        Ok(())
    }

    /// A parameter overrides the parts before it, as in libpq.
    fn read_parameter(
        &mut self,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    ) -> Result<(), InvalidUrl> {
        match &*name {
            "host" | "hostaddr" => {
                self.hosts = list(&value);
                self.ports.resize(self.hosts.len(), None);
            }
            "port" => {
                self.ports =
                    list(&value).iter().map(|text| port(text)).collect::<Result<_, _>>()?;
            }
            "user" => self.user = Some(value),
            "password" => {
                self.password = Some(value);
                self.is_behind_password = true;
            }
            "dbname" => self.database = Some(value),
            "target_session_attrs" => {
                // Only a host that can be written to is of use, whatever the value.
                if !["any", "read-write", "primary"].contains(&&*value) {
                    let allowed = "read-write, primary or any: the log is written to";
                    return Err(InvalidUrl::Value { name: "target_session_attrs", allowed });
                }
            }
            "ssl-mode" => self.pass_on("sslmode".into(), value)?,
            known if PASSED_ON.contains(&known) => self.pass_on(name, value)?,
            known if known.starts_with("options[") && known.ends_with(']') => {
                self.passed_on.push((name, value));
            }
            unknown => {
                let known = UNSUPPORTED.into_iter().find(|known| *known == unknown);
                return Err(match known {
                    Some(known) => InvalidUrl::Unsupported(known),
                    None if !self.is_behind_password && is_name(unknown) => {
                        InvalidUrl::Unknown(unknown.to_owned())
                    }
                    None => InvalidUrl::UnknownParameter,
                });
            }
        }
        Ok(())
    }

    fn pass_on(&mut self, name: Cow<'a, str>, value: Cow<'a, str>) -> Result<(), InvalidUrl> {
        let refused = |name, allowed| Err(InvalidUrl::Value { name, allowed });
        match &*name {
            "sslmode" if !SSL_MODES.contains(&&*value) => {
                return refused(
                    "sslmode",
                    "disable, allow, prefer, require, verify-ca or verify-full",
                );
            }
            "sslrootcert" if value == "system" => {
                return refused(
                    "sslrootcert",
                    "a file; without it the system's certificates count",
                );
            }
            "statement-cache-capacity" if value.parse::<usize>().is_err() => {
                return refused("statement-cache-capacity", "a number");
            }
            _ => self.passed_on.push((name, value)),
        }
        Ok(())
    }

    fn options(mut self) -> Result<Vec<PgConnectOptions>, InvalidUrl> {
        if self.ports.len() == 1 {
            self.ports.resize(self.hosts.len().max(1), self.ports[0]);
        }
        if !self.ports.is_empty() && self.ports.len() != self.hosts.len().max(1) {
            return Err(InvalidUrl::PortCount);
        }
        (0..self.hosts.len().max(1)).map(|index| self.options_of(index)).collect()
    }

    /// Passes the parts to sqlx in an unambiguous URL: sqlx looks up passwords (PGPASSFILE) only
    /// after it has read a URL.
    fn options_of(&self, index: usize) -> Result<PgConnectOptions, InvalidUrl> {
        let host = self.hosts.get(index).filter(|host| !host.is_empty());
        let port = self.ports.get(index).copied().flatten().map(|port| port.to_string().into());
        let own = [
            ("host", host),
            ("port", port.as_ref()),
            ("user", self.user.as_ref()),
            ("password", self.password.as_ref()),
            ("dbname", self.database.as_ref()),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, &**value?)));
        let passed_on = self.passed_on.iter().map(|(name, value)| (&**name, &**value));
        let mut url = form_urlencoded::Serializer::for_suffix("postgres:///?".to_owned(), 13);
        url.extend_pairs(own.chain(passed_on));
        // All other errors were found before.
        let options =
            PgConnectOptions::from_str(&url.finish()).map_err(|_| InvalidUrl::NotEncoded)?;
        // PgBouncer refuses connections with extra_float_digits, and we read no floating-point
        // numbers as text. Statements in the log are of no use to operators; metrics show slow ones.
        Ok(options.extra_float_digits(None).disable_statement_logging())
    }
}

const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

fn list<'a>(value: &str) -> Vec<Cow<'a, str>> {
    value.split(',').map(|item| item.to_owned().into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Vec<(String, u16)> {
        let address = |options: &PgConnectOptions| match options.get_socket() {
            Some(socket) => (socket.display().to_string(), options.get_port()),
            None => (options.get_host().to_owned(), options.get_port()),
        };
        parse(url).expect(url).iter().map(address).collect()
    }

    #[test]
    fn every_form_of_libpq_with_a_host_is_parsed() {
        let one = |host: &str, port| vec![(host.to_owned(), port)];
        for (url, read) in [
            ("postgres://db/webhooks", one("db", 5432)),
            ("postgresql://us@db:6432/webhooks?sslmode=disable", one("db", 6432)),
            ("postgres://us:secret@[::1]:5433/webhooks", one("::1", 5433)),
            ("postgres://us@%2Fsocket/webhooks", one("/socket", 5432)),
            ("postgres://us@/webhooks?host=/socket&port=5433", one("/socket", 5433)),
            ("postgres:///webhooks?host=/socket", one("/socket", 5432)),
            ("postgres:///?hostaddr=10.0.0.1&dbname=webhooks", one("10.0.0.1", 5432)),
            ("postgres://ignored:1/webhooks?host=db", one("db", 1)),
        ] {
            assert_eq!(addresses(url), read, "{url}");
        }
        let pair = |first, second| vec![("a".to_owned(), first), ("b".to_owned(), second)];
        for (url, read) in [
            ("postgres://us@a,b/webhooks?target_session_attrs=read-write", pair(5432, 5432)),
            ("postgres://us@a:1,b:2/webhooks", pair(1, 2)),
            ("postgres://us@a,b:2/webhooks?target_session_attrs=primary", pair(5432, 2)),
            ("postgres:///webhooks?host=a,b&port=1,2", pair(1, 2)),
            ("postgres:///webhooks?host=a,b&port=7", pair(7, 7)),
        ] {
            assert_eq!(addresses(url), read, "{url}");
        }
    }

    #[test]
    fn names_are_decoded_and_the_last_at_sign_ends_the_password() {
        for url in [
            "postgres://u%40s:p%40%2F%23w@db/web%20hooks",
            "postgres://u@s:p@w@db/web hooks",
            "postgres:///?host=db&user=u%40s&password=x&dbname=web+hooks",
        ] {
            let options = &parse(url).expect(url)[0];
            assert_eq!(options.get_host(), "db", "{url}");
            assert_eq!(options.get_username(), "u@s", "{url}");
            assert_eq!(options.get_database(), Some("web hooks"), "{url}");
        }
    }

    #[test]
    fn invariant_10_no_part_of_a_password_becomes_a_host_or_is_shown() {
        let host = |password: &str| format!("postgres://us:{password}@db:5432/webhooks");
        for character in ["/", "#", "?", "@/", "/@", "#@", "?@", ":/", "@#", ",/"] {
            let error = parse(&host(&format!("hunter{character}two"))).expect_err(character);
            assert_eq!(error, InvalidUrl::NotEncoded, "{character}");
            assert!(error.to_string().contains("%40"), "{error}");
        }
        for (url, expected) in [
            ("us:hunter2@db/webhooks", InvalidUrl::Scheme),
            ("postgres://us:hunter2/webhooks", InvalidUrl::Port),
            ("postgres://us:hunter2@db:hunter2/webhooks", InvalidUrl::Port),
            ("postgres:///?password=hunter&hunter2", InvalidUrl::UnknownParameter),
            ("postgres:///?password=hunter&hunter=2", InvalidUrl::UnknownParameter),
            ("postgres:///?password=hunter#hunter2", InvalidUrl::NotEncoded),
            ("postgres://us:hunter%FF2@db/webhooks", InvalidUrl::NotText),
        ] {
            let error = parse(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter"), "{error:?}");
            assert_eq!(error, expected, "{url}");
        }
    }

    #[test]
    fn unsupported_parameters_are_refused_by_name() {
        for name in UNSUPPORTED {
            let error = parse(&format!("postgres://db/webhooks?{name}=1")).expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
        for (parameter, named) in [
            ("target_session_attrs=standby", "target_session_attrs"),
            ("sslmode=maybe", "sslmode"),
            ("ssl-mode=maybe", "sslmode"),
            ("sslrootcert=system", "sslrootcert"),
            ("statement-cache-capacity=many", "statement-cache-capacity"),
        ] {
            let error = parse(&format!("postgres://db/webhooks?{parameter}")).expect_err(parameter);
            assert!(error.to_string().starts_with(named), "{error}");
        }
        for url in
            ["postgres://db/webhooks?foo=1", "postgres://us:pw@db/webhooks?sslmode=require&foo"]
        {
            let error = parse(url).expect_err(url);
            assert_eq!(error, InvalidUrl::Unknown("foo".to_owned()), "{url}");
        }
        for unnameable in ["", "a b", &"x".repeat(41)] {
            let error = parse(&format!("postgres://db/webhooks?{unnameable}=1")).expect_err("none");
            assert_eq!(error, InvalidUrl::UnknownParameter, "{unnameable}");
        }
        let counts = parse("postgres:///webhooks?host=a,b,c&port=1,2").expect_err("two ports");
        assert_eq!(counts, InvalidUrl::PortCount);
    }
}
