//! What those who depend on the package get with it.

use std::process::Command;

/// The packages that are built with these features.
fn packages(features: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges", "normal", "--offline"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(features)
        .output()
        .expect("cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<_> =
        text.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

#[test]
fn the_client_brings_no_crate_of_the_server() {
    let packages = packages(&[]);
    let ours: Vec<_> = packages.iter().filter(|name| name.starts_with("keeptrusts-")).collect();
    assert_eq!(ours, [env!("CARGO_PKG_NAME")]);
    assert!(packages.iter().any(|name| name == "tonic"));
    for unwanted in ["axum", "sqlx", "prost-build", "protox"] {
        assert!(!packages.iter().any(|name| name == unwanted), "{unwanted}");
    }
}

#[test]
fn verification_alone_brings_little() {
    let packages = packages(&["--no-default-features", "--features", "verify"]);
    assert!(packages.len() < 30, "{} packages: {packages:?}", packages.len());
    for unwanted in ["tokio", "tonic", "prost", "rustls", "serde"] {
        assert!(!packages.iter().any(|name| name == unwanted), "{unwanted}");
    }
}
