//! Rules for compose.yaml, the Dockerfile and the collector's configuration.

use std::fs;
use std::path::Path;

use saphyr::{LoadableYamlNode, Mapping, Yaml};

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Resolves `<<` as compose does: a mapping's own keys take precedence.
fn merged<'a>(node: &Yaml<'a>) -> Yaml<'a> {
    match node {
        Yaml::Sequence(items) => Yaml::Sequence(items.iter().map(merged).collect()),
        Yaml::Mapping(mapping) => {
            let mut whole = Mapping::new();
            let is_merge = |key: &Yaml| key.as_str() == Some("<<");
            for (_, base) in mapping.iter().filter(|(key, _)| is_merge(key)) {
                if let Yaml::Mapping(base) = merged(base) {
                    whole.extend(base);
                }
            }
            for (key, value) in mapping.iter().filter(|(key, _)| !is_merge(key)) {
                whole.insert(key.clone(), merged(value));
            }
            Yaml::Mapping(whole)
        }
        other => other.clone(),
    }
}

fn names(list: &Yaml) -> Vec<String> {
    let items = list.as_vec().into_iter().flatten();
    items.filter_map(Yaml::as_str).map(str::to_owned).collect()
}

fn services(compose: &str) -> Vec<(String, Yaml<'_>)> {
    let documents = Yaml::load_from_str(compose).expect("YAML");
    let whole = merged(&documents[0]);
    let services = whole["services"].as_mapping().expect("services");
    let named = services.iter().map(|(name, it)| (name.as_str().expect("a name").to_owned(), it));
    named.map(|(name, service)| (name, service.clone())).collect()
}

#[test]
fn every_container_is_limited_and_hardened_and_restarts() {
    let compose = text("deploy/compose.yaml");
    let services = services(&compose);
    assert_eq!(services.len(), 12);
    for (name, service) in &services {
        assert_eq!(service["restart"].as_str(), Some("unless-stopped"), "{name}");
        assert_eq!(service["read_only"].as_bool(), Some(true), "{name}");
        assert_eq!(names(&service["cap_drop"]), ["ALL"], "{name}");
        assert_eq!(names(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        let user = service["user"].as_str().unwrap_or_default();
        assert!(!user.is_empty() && !user.starts_with('0'), "{name} runs as {user:?}");
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["memory"].as_str().is_some(), "{name} has no memory limit");
        assert!(limits["cpus"].as_str().is_some(), "{name} has no CPU limit");
        assert!(service.contains_mapping_key("healthcheck"), "{name} says nothing of its health");
        let image = service["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        let is_version = tag.contains('.') && tag.contains(|c: char| c.is_ascii_digit());
        assert!(is_version, "{image} is not pinned");
    }
}

#[test]
fn ports_are_published_on_the_loopback_only() {
    let compose = text("deploy/compose.yaml");
    let mut published = 0;
    for (name, service) in services(&compose) {
        if !service.contains_mapping_key("ports") {
            continue;
        }
        for port in names(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            published += 1;
        }
    }
    assert_eq!(published, 5);
}

#[test]
fn only_the_services_that_open_the_database_reach_it() {
    let compose = text("deploy/compose.yaml");
    let on = |network: &str| -> Vec<String> {
        let member = |(name, service): (String, Yaml)| {
            names(&service["networks"]).iter().any(|it| it == network).then_some(name)
        };
        services(&compose).into_iter().filter_map(member).collect()
    };
    let openers = ["endpoint", "ingest", "dispatch", "access", "notification", "postgres"];
    assert_eq!(on("database"), openers);
    assert_eq!(on("outbound"), ["dispatch"]);
    let documents = Yaml::load_from_str(&compose).expect("YAML");
    for internal in ["database", "services", "telemetry", "backends"] {
        let network = &documents[0]["networks"][internal];
        assert_eq!(network["internal"].as_bool(), Some(true), "{internal}");
    }
}

#[test]
fn all_services_have_the_same_master_key_and_no_secret_is_written_down() {
    let compose = text("deploy/compose.yaml");
    let mut with_master_key = 0;
    for (name, service) in services(&compose) {
        let Some(environment) = service.as_mapping_get("environment") else { continue };
        if ["endpoint", "ingest", "dispatch", "access", "notification"].contains(&name.as_str()) {
            let file = environment["KEEPTRUSTS_WEBHOOKS_MASTER_KEY_FILE"].as_str();
            assert_eq!(file, Some("/run/secrets/master.key"), "{name}");
            with_master_key += 1;
            assert!(names(&service["secrets"]).contains(&"master.key".to_owned()), "{name}");
        }
        for (variable, value) in environment.as_mapping().into_iter().flatten() {
            let variable = variable.as_str().unwrap_or_default();
            let secret = ["PASSWORD", "SECRET", "TOKEN", "MASTER_KEY", "ADMIN_KEY"]
                .iter()
                .any(|word| variable.contains(word));
            let path = value.as_str().unwrap_or_default().starts_with("/run/secrets/");
            assert!(!secret || path, "{name} is told {variable}");
        }
    }
    assert_eq!(with_master_key, 5);
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let toolchain = text("rust-toolchain.toml");
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).expect("one");
    let expected = format!("ARG RUST_VERSION={}", channel.trim_matches('"'));
    let dockerfile = text("deploy/Dockerfile");
    assert!(dockerfile.lines().any(|line| line == expected), "{expected} is not in the Dockerfile");
}

#[test]
fn what_is_deployed_or_measured_is_built_in_the_profile_for_it() {
    for path in ["deploy/Dockerfile", "deploy/README.md", "xtask/src/bench.rs"] {
        let text = text(path);
        assert!(text.contains("dist"), "{path} does not name the profile");
        for other in ["--release", "target/release", "target/debug"] {
            assert!(!text.contains(other), "{path} has {other}");
        }
    }
    let copied = "target/dist/keeptrusts-webhooks";
    assert!(text("deploy/Dockerfile").contains(copied), "{copied} is not in the image");
}

/// Components of the distribution otel/opentelemetry-collector 0.159 that may be used here.
const COMPONENTS: [(&str, &[&str]); 4] = [
    ("receivers", &["otlp"]),
    ("processors", &["batch", "memory_limiter"]),
    ("exporters", &["debug", "nop", "otlp_grpc", "otlp_http"]),
    ("extensions", &["health_check"]),
];

#[test]
fn the_collectors_pipelines_name_what_is_configured_and_exists() {
    let yaml = text("deploy/otel-collector.yaml");
    let documents = Yaml::load_from_str(&yaml).expect("YAML");
    let config = &documents[0];
    let defined = |kind: &str| -> Vec<String> {
        let components = config[kind].as_mapping().expect("a mapping");
        components.keys().filter_map(Yaml::as_str).map(str::to_owned).collect()
    };
    for (kind, known) in COMPONENTS {
        for component in defined(kind) {
            let name = component.split('/').next().unwrap_or_default().to_owned();
            assert!(known.contains(&name.as_str()), "{component} is not among {kind}");
        }
    }
    let pipelines = config["service"]["pipelines"].as_mapping().expect("pipelines");
    for (signal, pipeline) in pipelines {
        for (kind, _) in &COMPONENTS[..3] {
            for used in names(&pipeline[*kind]) {
                assert!(defined(kind).contains(&used), "{signal:?} uses {used}");
            }
        }
        let first = names(&pipeline["processors"]).into_iter().next();
        assert_eq!(first.as_deref(), Some("memory_limiter"), "{signal:?}");
    }
    assert_eq!(names(&config["service"]["extensions"]), defined("extensions"));
}
