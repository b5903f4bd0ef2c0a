//! docs/api has a page for each service, made from the contracts: `cargo xtask documents` writes the
//! pages, and the test compares them.

mod page;
mod rules;
mod types;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use keeptrusts_webhooks_contracts::API_DESCRIPTORS;
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use serde_json::value::RawValue;

const PACKAGE: &str = "keeptrusts.webhooks.v1";

/// Set by `cargo xtask documents`: the pages are written, not compared.
const WRITE: &str = "KEEPTRUSTS_WRITE_DOCUMENTS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api")
}

fn services() -> Vec<ServiceDescriptor> {
    let pool = DescriptorPool::decode(API_DESCRIPTORS).expect("descriptors");
    pool.services().filter(|service| service.package_name() == PACKAGE).collect()
}

/// An example of a method. A stream is a list of its messages.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    request: Box<RawValue>,
    /// What a server answered, as grpcurl prints it.
    response: Box<RawValue>,
    /// Whether a list in the response has been cut.
    #[serde(default)]
    shortened: bool,
}

/// The examples of a service's methods.
fn examples(service: &ServiceDescriptor) -> BTreeMap<String, Example> {
    let path = folder().join(format!("examples/{}.json", service.name()));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

#[test]
fn the_reference_says_what_the_contracts_say() {
    for service in services() {
        let page = page::of(&service, &examples(&service));
        let path = folder().join(types::page_of_service(service.name()));
        if env::var_os(WRITE).is_some() {
            fs::write(&path, page).expect("it is written");
            continue;
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "run `cargo xtask documents`: {} is not up to date",
            path.display()
        );
    }
}

#[test]
fn every_page_is_listed() {
    let index = fs::read_to_string(folder().join("README.md")).expect("the index");
    for service in services() {
        let page = types::page_of_service(service.name());
        assert!(index.contains(&format!("[{}]({page})", service.name())), "{page}");
    }
}
