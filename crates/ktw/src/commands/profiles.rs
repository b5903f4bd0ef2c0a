//! `ktw profiles`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::files::read_secret;
use crate::options::ConnectionOptions;
use crate::output::message;
use crate::profiles::{Profile, Profiles};
use crate::prompt;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists the profiles.
    List,
    /// Adds a profile, or replaces one: `--address`, `--organization`, `--ca-file` and so on say what is in it.
    Add(Add),
    /// Makes a profile the one that is used when none is named.
    Use(Name),
    /// Removes a profile.
    Remove(Name),
}

#[derive(Args)]
pub(crate) struct Add {
    /// The profile's name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Name the file of `--key-file` instead of keeping the key in the profile.
    #[arg(long, requires = "key_file")]
    keep_file: bool,
}

#[derive(Args)]
pub(crate) struct Name {
    /// The profile's name.
    #[arg(value_name = "NAME")]
    name: String,
}

impl Command {
    pub(crate) fn run(self, options: &ConnectionOptions) -> Result<(), Failure> {
        let path = Profiles::path()?;
        let mut profiles = Profiles::load(&path)?;
        match self {
            Command::List => {
                if profiles.profiles.is_empty() {
                    message("no profiles: `ktw profiles add NAME --address URL` makes one");
                }
                for (name, profile) in &profiles.profiles {
                    let is_default = profiles.default.as_deref() == Some(name);
                    let mark = if is_default { "*" } else { " " };
                    let organization = profile.organization.as_deref().unwrap_or_default();
                    crate::output::line(&format!(
                        "{mark} {name}  {}  {organization}",
                        profile.address
                    ))?;
                }
                return Ok(());
            }
            Command::Add(add) => {
                let profile = add.profile(options)?;
                profiles.default.get_or_insert_with(|| add.name.clone());
                profiles.profiles.insert(add.name.clone(), profile);
                message(&format!(
                    "{} has the profile {:?}; `ktw doctor` tries it",
                    path.display(),
                    add.name
                ));
            }
            Command::Use(Name { name }) => {
                profiles.choose(Some(&name))?;
                profiles.default = Some(name);
            }
            Command::Remove(Name { name }) => {
                profiles.choose(Some(&name))?;
                profiles.profiles.remove(&name);
                profiles.default = profiles.default.filter(|default| *default != name);
            }
        }
        profiles.save(&path)
    }
}

impl Add {
    fn profile(&self, options: &ConnectionOptions) -> Result<Profile, Failure> {
        let address = match &options.address {
            Some(address) => address.clone(),
            None if prompt::is_possible() => prompt::line("Address: ")?,
            None => return Err(Failure::Usage("the address is missing: add --address".to_owned())),
        };
        let key_file = options.key_file.clone().filter(|_| self.keep_file);
        let key = match (&key_file, &options.key_file) {
            (Some(_), _) => None,
            (None, Some(file)) => Some(read_secret(file)?),
            (None, None) if prompt::is_possible() => Some(prompt::secret("API key: ")?),
            (None, None) => {
                return Err(Failure::Usage(
                    "the key is missing: add --key-file FILE, or --key-file - for stdin".to_owned(),
                ));
            }
        };
        let absolute = |path: &Option<PathBuf>| path.as_ref().map(std::path::absolute).transpose();
        let paths = || {
            Ok::<_, std::io::Error>((
                absolute(&key_file)?,
                absolute(&options.ca_file)?,
                absolute(&options.client_cert)?,
                absolute(&options.client_key)?,
            ))
        };
        let (key_file, ca_file, client_cert, client_key) =
            paths().map_err(|error| Failure::local("find the working folder", error))?;
        Ok(Profile {
            address,
            organization: options.organization.clone(),
            key: key.filter(|key| !key.is_empty()),
            key_file,
            ca_file,
            client_cert,
            client_key,
        })
    }
}
