//! `ktw profiles`.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use keeptrusts_webhooks_client::{RetryPolicy, v1};
use serde_json::json;

use super::doctor;
use crate::completion;
use crate::connection::{CertificateFiles, Connection, Key, Place, Settings};
use crate::failure::Failure;
use crate::names::Names;
use crate::options::{ConnectionOptions, OutputOptions};
use crate::output::{Column, Kind, Output, View, message};
use crate::profiles::{Profile, Profiles};
use crate::prompt;

/// What is shown of a profile. It is no message of the API. The key is not among it.
pub(super) const VIEW: View = View {
    message: "",
    plural: "profiles: `ktw profiles add NAME --address URL` makes one",
    id: "name",
    columns: &[
        Column::new("NAME", "name", Kind::Text),
        Column::new("DEFAULT", "default", Kind::Flag),
        Column::new("ADDRESS", "address", Kind::Text),
        Column::new("ORGANIZATION", "organization", Kind::Text),
    ],
};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists the profiles.
    List,
    Add(Add),
    /// Makes a profile the one that is used when none is named.
    Use(Name),
    /// Removes a profile.
    Remove(Name),
}

/// Adds a profile, or replaces one, after asking the server whom the key belongs to.
///
/// `--address`, `--organization`, `--ca-file` and so on say what is in it. The key comes from `--key-file`,
/// or is asked for. If the server refuses the key or does not answer, nothing is stored, unless you say so.
#[derive(Args)]
pub(crate) struct Add {
    /// The profile's name.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// Name the file of `--key-file` instead of keeping the key in the profile.
    #[arg(long, requires = "key_file")]
    keep_file: bool,
    /// Store it without asking the server.
    #[arg(long)]
    no_check: bool,
}

#[derive(Args)]
pub(crate) struct Name {
    /// The profile's name.
    #[arg(value_name = "NAME", add = completion::profiles())]
    name: String,
}

impl Command {
    pub(crate) async fn run(
        self,
        options: &ConnectionOptions,
        output: OutputOptions,
    ) -> Result<(), Failure> {
        let path = Profiles::path()?;
        let mut profiles = Profiles::load(&path)?;
        match self {
            Command::List => return list(&profiles, &output.output()),
            Command::Add(add) => {
                let profile = add.profile(options).await?;
                let default = profiles.default.get_or_insert_with(|| add.name.clone());
                let is_default = if *default == add.name { ", the default one" } else { "" };
                let replaced = profiles.profiles.insert(add.name.clone(), profile);
                let again = if replaced.is_some() { " in place of the former one" } else { "" };
                profiles.save(&path)?;
                message(&format!(
                    "{} has the profile {:?}{again}{is_default}",
                    path.display(),
                    add.name
                ));
                return Ok(());
            }
            Command::Use(Name { name }) => {
                profiles.get(&name)?;
                profiles.default = Some(name);
            }
            Command::Remove(Name { name }) => {
                profiles.get(&name)?;
                profiles.profiles.remove(&name);
                profiles.default = profiles.default.filter(|default| *default != name);
            }
        }
        profiles.save(&path)
    }
}

fn list(profiles: &Profiles, output: &Output) -> Result<(), Failure> {
    let items = profiles.profiles.iter().map(|(name, profile)| {
        json!({
            "name": name,
            "default": profiles.default.as_ref() == Some(name),
            "address": profile.address,
            "organization": profile.organization,
        })
    });
    output.list(&VIEW, &items.collect::<Vec<_>>(), &Names::default())
}

impl Add {
    async fn profile(&self, options: &ConnectionOptions) -> Result<Profile, Failure> {
        if options.profile.is_some() {
            return Err(Failure::Usage(format!(
                "--profile has no meaning here: {:?} is the profile that is added",
                self.name
            )));
        }
        let settings = self.settings(options)?;
        let connection = Connection::choose(&[(Place::Options, settings.clone())])?;
        let key = settings.key.as_ref().map(Key::read).transpose()?.filter(|key| !key.is_empty());
        let patience = options.timeout.min(doctor::PATIENCE);
        if self.no_check {
            // What can be seen from here is seen.
            connection.client(key.as_deref(), patience, RetryPolicy::none())?;
        } else {
            check(&connection, key.as_deref(), patience).await?;
        }
        let failed = |error| Failure::local("find the working folder", error);
        let absolute = |path: PathBuf| std::path::absolute(path).map_err(failed);
        let key_file = match settings.key {
            Some(Key::File(file)) if self.keep_file => Some(absolute(file)?),
            _ => None,
        };
        let (certificate, private_key) = match settings.certificate {
            Some(CertificateFiles { certificate, private_key }) => {
                (Some(absolute(certificate)?), Some(absolute(private_key)?))
            }
            None => (None, None),
        };
        Ok(Profile {
            address: connection.address.value,
            organization: settings.organization,
            key: key.filter(|_| key_file.is_none()),
            key_file,
            ca_file: settings.ca_file.map(absolute).transpose()?,
            client_cert: certificate,
            client_key: private_key,
        })
    }

    /// What options and variables say, and what is asked for otherwise.
    fn settings(&self, options: &ConnectionOptions) -> Result<Settings, Failure> {
        let given = Settings::of_options(options);
        let environment = Settings::of_environment(|name| env::var_os(name))?;
        if self.keep_file && options.key_file.as_deref() == Some(Path::new("-")) {
            return Err(Failure::Usage("--keep-file needs a file, and stdin is none".to_owned()));
        }
        let address = match given.address.or(environment.address.clone()) {
            Some(address) => address,
            None if prompt::is_possible() => prompt::line("Address: ")?,
            None => return Err(Failure::Usage("the address is missing: add --address".to_owned())),
        };
        // Nobody types a key for an address that cannot be.
        let only_address = Settings { address: Some(address.clone()), ..Settings::default() };
        let connection = Connection::choose(&[(Place::Options, only_address)])?;
        connection.client(None, options.timeout, RetryPolicy::none())?;
        // The key of the environment may be for another server.
        let is_of_address = environment.address.as_ref().is_none_or(|theirs| *theirs == address);
        let key = match given.key.or(environment.key.filter(|_| is_of_address)) {
            Some(key) => key,
            None if prompt::is_possible() => Key::Text(prompt::secret("API key: ")?),
            None => {
                return Err(Failure::Usage(
                    "the key is missing: add --key-file FILE, or --key-file - for stdin".to_owned(),
                ));
            }
        };
        // Stdin is read once: what was read is the key from here on.
        let key = match key {
            Key::File(file) if file == Path::new("-") => Key::Text(Key::File(file).read()?),
            key => key,
        };
        Ok(Settings {
            address: Some(address),
            organization: given.organization.or(environment.organization),
            key: Some(key),
            ca_file: given.ca_file.or(environment.ca_file),
            certificate: given.certificate.or(environment.certificate),
        })
    }
}

/// Says who one is. If the server does not: asks whether the profile is wanted nevertheless.
async fn check(
    connection: &Connection,
    key: Option<&str>,
    patience: Duration,
) -> Result<(), Failure> {
    let client = connection.client(key, patience, RetryPolicy::none())?;
    match client.who_am_i(v1::WhoAmIRequest {}).await {
        Ok(caller) => {
            message(&format!("You are {}.", doctor::described(&caller)));
            Ok(())
        }
        Err(error) => {
            let (_, help) = doctor::explained(&error, &connection.address.value);
            message(&format!("{}: {}\n{help}", connection.address.value, error.message()));
            if !prompt::is_possible() {
                message("Nothing was stored; --no-check stores it without asking the server.");
                return Err(error.into());
            }
            prompt::confirm("Store the profile nevertheless?")
        }
    }
}
