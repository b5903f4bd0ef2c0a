//! Finds Chromium and its WebDriver for the console's tests, or installs them from the system's
//! packages.

use std::env;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::apt;
use crate::failure::{Context, Failure, Result};
use crate::shell;

/// What the tests start, by the names of the links to them.
const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

/// Where distributions put a program that is not in PATH. Searched after PATH, because these may be
/// the bare programs that a wrapper in PATH sets up.
const ELSEWHERE: [&str; 3] =
    ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/usr/lib64/chromium"];

/// Makes the links `chromium` and `chromedriver` in `directory`.
pub(super) fn prepare(directory: &Path) -> Result<String> {
    let places = places();
    let programs = match find(&places) {
        Some(programs) => programs,
        None => {
            let missing = "Chromium with its chromedriver (in PATH)";
            apt::install(missing, &["chromium", "chromium-driver"])?;
            find(&places).ok_or_else(|| {
                Failure::new(
                    "Chromium was installed, but its programs are not where Debian puts them",
                )
            })?
        }
    };
    fs::create_dir_all(directory).context(|| format!("create {}", directory.display()))?;
    for (name, program) in PROGRAMS.iter().zip(&programs) {
        make_link(&directory.join(name), program)?;
    }
    let [browser, driver] = PROGRAMS.map(|name| version(&directory.join(name)));
    let (browser, driver) = (browser?, driver?);
    if major(&browser) != major(&driver) {
        return Err(Failure::new(format!(
            "chromium is version {browser}, chromedriver is {driver}: they only work together \
             with the same major version; upgrade the older one"
        )));
    }
    Ok(format!("chromium {browser} and chromedriver in {}", parent(&programs[0]).display()))
}

fn places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from)).collect()
}

/// Each program from the first place that has it. `None` unless all are found.
fn find(places: &[PathBuf]) -> Option<[PathBuf; 2]> {
    let first =
        |name: &str| places.iter().map(|place| place.join(name)).find(|path| path.is_file());
    let [browser, driver] = PROGRAMS.map(first);
    Some([browser?, driver?])
}

fn make_link(link: &Path, program: &Path) -> Result {
    if fs::read_link(link).ok().as_deref() == Some(program) {
        return Ok(());
    }
    if link.is_symlink() {
        fs::remove_file(link).context(|| format!("remove {}", link.display()))?;
    }
    symlink(program, link).context(|| format!("make the link {}", link.display()))
}

fn version(program: &Path) -> Result<String> {
    let said = shell::run_quietly(Command::new(program).arg("--version"))?;
    number(&said).ok_or_else(|| {
        Failure::new(format!("`{} --version` says no version: {said}", program.display()))
    })
}

/// The first word that is a number with dots: `148.0.7778.167` of
/// `Chromium 148.0.7778.167 built on Debian`.
fn number(said: &str) -> Option<String> {
    said.split_whitespace()
        .find(|word| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .map(str::to_owned)
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn parent(program: &Path) -> &Path {
    program.parent().unwrap_or(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_is_taken_from_the_first_place_that_has_it() {
        let base = env::temp_dir().join(format!("xtask-browser-{}", std::process::id()));
        let places: Vec<PathBuf> = ["path", "lib"].map(|name| base.join(name)).into();
        for place in &places {
            fs::create_dir_all(place).unwrap();
        }
        fs::write(places[1].join("chromium"), "").unwrap();
        assert_eq!(find(&places), None, "the driver is missing");

        fs::write(places[1].join("chromedriver"), "").unwrap();
        fs::write(places[0].join("chromium"), "").unwrap();
        let found = [places[0].join("chromium"), places[1].join("chromedriver")];
        assert_eq!(find(&places), Some(found));

        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn a_link_follows_the_program_to_another_place() {
        let base = env::temp_dir().join(format!("xtask-browser-link-{}", std::process::id()));
        fs::create_dir_all(&base).unwrap();
        let link = base.join("chromium");
        for program in ["/opt/old/chromium", "/opt/new/chromium", "/opt/new/chromium"] {
            make_link(&link, Path::new(program)).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(program));
        }
        fs::remove_dir_all(&base).unwrap();
    }

    #[test]
    fn the_version_is_found_in_what_the_programs_say() {
        let browser = "Chromium 148.0.7778.167 built on Debian GNU/Linux 12 (bookworm)";
        let driver = "ChromeDriver 148.0.7778.12 (65db666ac2cf-refs/branch-heads/7778@{#2783})";
        assert_eq!(number(browser).as_deref(), Some("148.0.7778.167"));
        assert_eq!(number(driver).as_deref().map(major), Some("148"));
        assert_eq!(number("no such program"), None);
    }
}
