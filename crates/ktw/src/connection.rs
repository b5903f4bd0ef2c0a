//! Which server is called, and as who: what options, variables and profiles say, and which of them wins.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use keeptrusts_webhooks_client::{BuildError, Client, RetryPolicy};

use crate::failure::Failure;
use crate::files::read_secret;
use crate::options::ConnectionOptions;
use crate::profiles::{Profile, Profiles};

/// The order, for `ktw --help`; [`places`] keeps to it.
pub(crate) const PRECEDENCE: &str = "\
Which setting of the connection wins: an option, then the profile of --profile, then a variable of the
environment, then the default profile (KTW_PROFILE, or `ktw profiles use`).";

/// The server of a first look: `keeptrusts-webhooks serve` on this machine.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:50051";

/// The variable that has the key.
const KEY_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_API_KEY";
/// The variable that says which profile is the default one.
pub(crate) const PROFILE_VARIABLE: &str = "KTW_PROFILE";
const KEY_FILE_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE";
const ADDRESS_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_ADDRESS";
const ORGANIZATION_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_ORGANIZATION";
const CA_FILE_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_CA_FILE";
const CLIENT_CERT_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_CLIENT_CERT_FILE";
const CLIENT_KEY_VARIABLE: &str = "KEEPTRUSTS_WEBHOOKS_CLIENT_KEY_FILE";

/// Where settings are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Options,
    Environment,
    Profile(String),
}

/// What one place says. Without Debug: it has a key.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    pub(crate) address: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) key: Option<Key>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) certificate: Option<CertificateFiles>,
}

/// A key, or the file that has it.
#[derive(Clone)]
pub(crate) enum Key {
    Text(String),
    File(PathBuf),
}

impl Key {
    pub(crate) fn read(&self) -> Result<String, Failure> {
        match self {
            Key::Text(key) => Ok(key.clone()),
            Key::File(file) => read_secret(file),
        }
    }
}

/// The certificate of this client with its private key: they belong together.
#[derive(Clone)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

impl Settings {
    pub(crate) fn of_options(options: &ConnectionOptions) -> Settings {
        let pair = options.client_cert.clone().zip(options.client_key.clone());
        Settings {
            address: options.address.clone(),
            organization: options.organization.clone(),
            key: options.key_file.clone().map(Key::File),
            ca_file: options.ca_file.clone(),
            // clap requires one with the other.
            certificate: pair
                .map(|(certificate, private_key)| CertificateFiles { certificate, private_key }),
        }
    }

    /// Of the variables; an empty one is not given.
    pub(crate) fn of_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Settings, Failure> {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| match given(name).map(OsString::into_string) {
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(Failure::Usage(format!("the variable {name} is not UTF-8"))),
            None => Ok(None),
        };
        let path = |name: &str| given(name).map(PathBuf::from);
        let certificate = match (path(CLIENT_CERT_VARIABLE), path(CLIENT_KEY_VARIABLE)) {
            (Some(certificate), Some(private_key)) => {
                Some(CertificateFiles { certificate, private_key })
            }
            (None, None) => None,
            _ => {
                return Err(Failure::Usage(format!(
                    "{CLIENT_CERT_VARIABLE} and {CLIENT_KEY_VARIABLE} belong together, and one of them is not given"
                )));
            }
        };
        Ok(Settings {
            address: text(ADDRESS_VARIABLE)?,
            organization: text(ORGANIZATION_VARIABLE)?,
            key: text(KEY_VARIABLE)?
                .map(Key::Text)
                .or_else(|| path(KEY_FILE_VARIABLE).map(Key::File)),
            ca_file: path(CA_FILE_VARIABLE),
            certificate,
        })
    }

    fn of_profile(profile: &Profile) -> Settings {
        let pair = profile.client_cert.clone().zip(profile.client_key.clone());
        Settings {
            address: Some(profile.address.clone()),
            organization: profile.organization.clone(),
            key: profile.key.clone().map(Key::Text).or(profile.key_file.clone().map(Key::File)),
            ca_file: profile.ca_file.clone(),
            certificate: pair
                .map(|(certificate, private_key)| CertificateFiles { certificate, private_key }),
        }
    }
}

/// The places that hold for a command, the first wins; see [`PRECEDENCE`].
pub(crate) fn places(
    options: &ConnectionOptions,
    variable: impl Fn(&str) -> Option<OsString>,
    profiles: &Profiles,
) -> Result<Vec<(Place, Settings)>, Failure> {
    let of_profile = |name: &str| {
        let profile = profiles.get(name)?;
        Ok::<_, Failure>((Place::Profile(name.to_owned()), Settings::of_profile(profile)))
    };
    let from_options = (Place::Options, Settings::of_options(options));
    let from_environment = (Place::Environment, Settings::of_environment(&variable)?);
    if let Some(name) = &options.profile {
        return Ok(vec![from_options, of_profile(name)?, from_environment]);
    }
    let named = variable(PROFILE_VARIABLE).filter(|name| !name.is_empty());
    let named = named.map(|name| name.to_string_lossy().into_owned());
    let mut places = vec![from_options, from_environment];
    if let Some(name) = named.as_ref().or(profiles.default.as_ref()) {
        places.push(of_profile(name)?);
    }
    Ok(places)
}

/// A setting, and where it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen<T> {
    pub(crate) value: T,
    pub(crate) source: String,
}

/// What holds. Without Debug: it has a key.
pub(crate) struct Connection {
    pub(crate) address: Chosen<String>,
    pub(crate) organization: Option<String>,
    pub(crate) key: Option<Chosen<Key>>,
    ca_file: Option<PathBuf>,
    certificate: Option<CertificateFiles>,
}

impl Connection {
    /// The connection of a command, which options, variables and profiles say.
    pub(crate) fn of(options: &ConnectionOptions) -> Result<Connection, Failure> {
        let profiles = Profiles::load(&Profiles::path()?)?;
        Connection::choose(&places(options, |name| env::var_os(name), &profiles)?)
    }

    /// Takes each setting from the first place that has it.
    pub(crate) fn choose(places: &[(Place, Settings)]) -> Result<Connection, Failure> {
        let beside = first(places, |settings| Some((settings.address.as_ref()?, settings)));
        let address = match beside {
            Some((place, (address, _))) => Chosen {
                value: address.clone(),
                source: source(place, "--address", ADDRESS_VARIABLE),
            },
            None => Chosen { value: DEFAULT_ADDRESS.to_owned(), source: "the default".to_owned() },
        };
        let key = first(places, |settings| settings.key.as_ref().map(|key| (key, settings)));
        let key = match key {
            Some((place, (key, settings))) => {
                refuse_another_address(place, settings, &address)?;
                if let (Place::Environment, Some((Place::Profile(profile), (_, theirs)))) =
                    (place, beside)
                {
                    refuse_the_environments_key(profile, theirs)?;
                }
                let source = match key {
                    Key::Text(_) => source(place, "an option", KEY_VARIABLE),
                    Key::File(file) => format!("the file {}", file.display()),
                };
                Some(Chosen { value: key.clone(), source })
            }
            None => None,
        };
        let organization = first(places, |settings| settings.organization.clone());
        let ca_file = first(places, |settings| settings.ca_file.clone());
        let certificate = first(places, |settings| settings.certificate.clone());
        Ok(Connection {
            address,
            organization: organization.map(|(_, organization)| organization),
            key,
            ca_file: ca_file.map(|(_, file)| file),
            certificate: certificate.map(|(_, files)| files),
        })
    }

    /// A client, which does not connect yet.
    pub(crate) fn client(
        &self,
        key: Option<&str>,
        timeout: Duration,
        retry: RetryPolicy,
    ) -> Result<Client, Failure> {
        let mut builder = Client::builder(self.address.value.clone())
            .deadline(timeout)
            .retry(retry)
            .user_agent(concat!("ktw/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = key {
            builder = builder.api_key(key);
        }
        if let Some(file) = &self.ca_file {
            builder = builder.ca_file(file);
        }
        if let Some(CertificateFiles { certificate, private_key }) = &self.certificate {
            builder = builder.client_certificate_files(certificate, private_key);
        }
        builder.build().map_err(|error| Failure::Usage(explained(error)))
    }
}

fn first<'a, T>(
    places: &'a [(Place, Settings)],
    setting: impl Fn(&'a Settings) -> Option<T>,
) -> Option<(&'a Place, T)> {
    places.iter().find_map(|(place, settings)| Some((place, setting(settings)?)))
}

fn source(place: &Place, option: &str, variable: &str) -> String {
    match place {
        Place::Options => option.to_owned(),
        Place::Environment => format!("the variable {variable}"),
        Place::Profile(name) => format!("the profile {name:?}"),
    }
}

/// A key is told to nobody but the server that it was given for.
fn refuse_another_address(
    place: &Place,
    settings: &Settings,
    chosen: &Chosen<String>,
) -> Result<(), Failure> {
    match &settings.address {
        Some(address) if *address != chosen.value => {
            let place = match place {
                Place::Options => "the options".to_owned(),
                Place::Environment => "the environment".to_owned(),
                Place::Profile(name) => format!("the profile {name:?}"),
            };
            Err(Failure::Usage(format!(
                "the key of {place} is for {address}, and the address is {} (from {}): give the key of that server with --key-file, or name its profile with --profile",
                chosen.value, chosen.source
            )))
        }
        _ => Ok(()),
    }
}

/// A key in the environment that names no server is for the server of a profile only if the profile has no
/// key of its own: somebody may have left the variable there for another program.
fn refuse_the_environments_key(profile: &str, settings: &Settings) -> Result<(), Failure> {
    if settings.key.is_none() {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "the environment has a key ({KEY_VARIABLE} or {KEY_FILE_VARIABLE}), and so has the profile {profile:?}, whose server it would go to: unset the variable, set {ADDRESS_VARIABLE} beside it, or add `--profile {profile}` for the profile's key"
    )))
}

/// There is no key.
pub(crate) fn no_key() -> Failure {
    Failure::NoKey(format!(
        "there is no key: `ktw profiles add` stores one, `ktw profiles use` chooses a stored one, --key-file or {KEY_VARIABLE} give one"
    ))
}

/// What is wrong, in the words of this program's options.
fn explained(error: BuildError) -> String {
    match error {
        BuildError::Plaintext { address } => {
            format!("the key would go to {address} unencrypted: use https://")
        }
        BuildError::Address { address, problem } => {
            format!("the address {address:?} cannot be used: {}", wrong_address(&address, problem))
        }
        error => error.to_string(),
    }
}

fn wrong_address(address: &str, problem: &str) -> String {
    if address.is_empty() {
        return "it is empty; it is `https://HOST[:PORT]`".to_owned();
    }
    if !address.contains("://") {
        return format!(
            "it has no scheme: use https://{address}, or http://{address} for a server on this machine"
        );
    }
    let uri: Option<Uri> = address.parse().ok();
    match uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?))) {
        Some((scheme @ ("http" | "https"), host)) if !host.as_str().contains('@') => {
            format!("it has a path, which gRPC has no use for: use {scheme}://{host}")
        }
        _ => problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Given {
        #[command(flatten)]
        options: ConnectionOptions,
    }

    fn profile(address: &str) -> Profile {
        let key = Some(format!("key of {address}"));
        Profile { address: address.to_owned(), key, ..Profile::default() }
    }

    fn profiles() -> Profiles {
        let mut prod = profile("https://prod");
        prod.organization = Some("of-prod".to_owned());
        let profiles = BTreeMap::from([
            ("prod".to_owned(), prod),
            ("test".to_owned(), profile("https://test")),
            ("keyless".to_owned(), Profile { key: None, ..profile("https://keyless") }),
        ]);
        Profiles { default: Some("test".to_owned()), profiles }
    }

    fn chosen(arguments: &str, variables: &str) -> Result<Connection, Failure> {
        let words = std::iter::once("ktw").chain(arguments.split_whitespace());
        let given = Given::try_parse_from(words).expect("arguments");
        let variables: BTreeMap<_, _> =
            variables.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
        let variable = |name: &str| variables.get(name).map(OsString::from);
        Connection::choose(&places(&given.options, variable, &profiles())?)
    }

    #[test]
    fn options_win_over_a_named_profile_over_variables_over_the_default_profile() {
        const ADDRESS: &str = "KEEPTRUSTS_WEBHOOKS_ADDRESS=https://env";
        const KEY: &str = "KEEPTRUSTS_WEBHOOKS_API_KEY=env";
        const ORGANIZATION: &str = "KEEPTRUSTS_WEBHOOKS_ORGANIZATION=of-env";
        for (arguments, variables, address, organization, key) in [
            ("", "", "https://test", None, "key of https://test"),
            ("", "KTW_PROFILE=prod", "https://prod", Some("of-prod"), "key of https://prod"),
            ("", &format!("{ADDRESS} {KEY}"), "https://env", None, "env"),
            (
                "",
                &format!("KTW_PROFILE=prod {ADDRESS} {KEY}"),
                "https://env",
                Some("of-prod"),
                "env",
            ),
            ("", ORGANIZATION, "https://test", Some("of-env"), "key of https://test"),
            ("", &format!("KTW_PROFILE=keyless {KEY}"), "https://keyless", None, "env"),
            ("", "KEEPTRUSTS_WEBHOOKS_ADDRESS=", "https://test", None, "key of https://test"),
            ("--profile prod", "", "https://prod", Some("of-prod"), "key of https://prod"),
            (
                "--profile prod",
                &format!("KTW_PROFILE=test {ADDRESS} {KEY} {ORGANIZATION}"),
                "https://prod",
                Some("of-prod"),
                "key of https://prod",
            ),
            ("--profile test", ORGANIZATION, "https://test", Some("of-env"), "key of https://test"),
            (
                "--profile prod --organization x",
                ORGANIZATION,
                "https://prod",
                Some("x"),
                "key of https://prod",
            ),
            (
                "--address https://given --key-file file",
                &format!("{ADDRESS} {KEY}"),
                "https://given",
                None,
                "file",
            ),
            ("--key-file file", &format!("{ADDRESS} {KEY}"), "https://env", None, "file"),
        ] {
            let connection = chosen(arguments, variables);
            let connection = connection.unwrap_or_else(|failure| panic!("{}", failure.text()));
            let name = format!("{arguments} {variables}");
            assert_eq!(connection.address.value, address, "{name}");
            assert_eq!(connection.organization.as_deref(), organization, "{name}");
            let found = match connection.key.expect("a key").value {
                Key::Text(key) => key,
                Key::File(file) => file.display().to_string(),
            };
            assert_eq!(found, key, "{name}");
        }
    }

    #[test]
    fn a_key_goes_to_no_other_server_than_that_beside_it() {
        let of_env = "KEEPTRUSTS_WEBHOOKS_ADDRESS=https://env KEEPTRUSTS_WEBHOOKS_API_KEY=env";
        for (arguments, variables) in [
            ("--address https://other", ""),
            ("--address https://other --profile prod", ""),
            ("--address https://other", of_env),
            ("", "KEEPTRUSTS_WEBHOOKS_ADDRESS=https://env"),
            ("", "KEEPTRUSTS_WEBHOOKS_API_KEY=env"),
            ("", "KEEPTRUSTS_WEBHOOKS_API_KEY_FILE=env"),
        ] {
            let refused = chosen(arguments, variables).err().expect("refused");
            assert!(matches!(refused, Failure::Usage(_)), "{arguments} {variables}");
        }
        // The key of the variable is not beside an address.
        assert!(chosen("--address https://other", "KEEPTRUSTS_WEBHOOKS_API_KEY=env").is_ok());
    }

    #[test]
    fn a_wrong_address_is_explained() {
        for (address, help) in [
            ("webhooks.example.com:50051", "use https://webhooks.example.com:50051"),
            ("https://webhooks.example.com/api/v1", "use https://webhooks.example.com"),
            ("https://webhooks.example.com?a=b", "use https://webhooks.example.com"),
            ("https://me:secret@webhooks.example.com", "user name"),
            ("ftp://webhooks.example.com", "https://"),
            ("", "https://HOST"),
        ] {
            let problem = "it must have no user name; it must begin with https://";
            let problem = problem.to_owned();
            let text = wrong_address(address, &problem);
            assert!(text.contains(help), "{address}: {text}");
        }
    }

    #[test]
    fn the_page_on_the_command_line_has_the_order() {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = words(include_str!("../../../docs/ktw.md"));
        assert!(page.contains(&words(PRECEDENCE)), "docs/ktw.md says another order");
    }
}
