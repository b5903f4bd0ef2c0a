//! Alerts, recording rules and the dashboard ask only for metrics that our processes have.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use keeptrusts_webhooks_deployment::{Query, Scrape, check};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn contract() -> Scrape {
    Scrape::parse(include_str!("../contract.prom")).expect("the contract is a scrape")
}

#[test]
fn every_metric_label_and_value_in_a_query_is_in_the_contract() {
    let queries = Query::of_folder(&deploy()).expect("queries");
    assert!(queries.len() > 50, "only {} queries were found", queries.len());
    let problems: Vec<String> =
        check(&contract(), &queries).iter().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_metric_of_the_contract_is_used_by_a_query() {
    let queries = Query::of_folder(&deploy()).expect("queries");
    let contract = include_str!("../contract.prom");
    let types = contract.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let unused: Vec<&str> = types
        .filter_map(|line| line.split_whitespace().next())
        .filter(|metric| !queries.iter().any(|query| query.text.contains(metric)))
        .collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
}

struct Alert {
    name: String,
    group: String,
    severity: String,
    annotations: Vec<String>,
}

fn alerts() -> Vec<Alert> {
    let folder = deploy().join("prometheus/alerts");
    let mut alerts = Vec::new();
    for entry in fs::read_dir(&folder).expect("alerts") {
        let path = entry.expect("a file").path();
        let group = path.file_name().expect("a name").to_string_lossy().into_owned();
        let yaml = text(&path);
        let documents = Yaml::load_from_str(&yaml).expect("YAML");
        for rules in documents[0]["groups"].as_vec().expect("groups") {
            for rule in rules["rules"].as_vec().expect("rules") {
                let annotations = rule["annotations"].as_mapping().expect("annotations");
                let names = annotations.keys().filter_map(Yaml::as_str).map(str::to_owned);
                alerts.push(Alert {
                    name: rule["alert"].as_str().expect("a name").to_owned(),
                    group: group.clone(),
                    severity: rule["labels"]["severity"].as_str().expect("severity").to_owned(),
                    annotations: names.collect(),
                });
            }
        }
    }
    assert!(alerts.len() > 10, "only {} alerts were found", alerts.len());
    alerts
}

#[test]
fn every_alert_has_its_meaning_and_the_first_thing_to_look_at() {
    for alert in alerts() {
        assert!(["critical", "warning"].contains(&alert.severity.as_str()), "{}", alert.name);
        for wanted in ["summary", "description", "meaning", "first_look"] {
            let has = alert.annotations.iter().any(|annotation| annotation == wanted);
            assert!(has, "{} has no {wanted}", alert.name);
        }
    }
}

#[test]
fn every_alert_fires_in_a_test_and_is_in_the_table() {
    let table = text(&deploy().join("README.md"));
    for alert in alerts() {
        let tests = text(&deploy().join("prometheus/tests").join(&alert.group));
        let fires = format!("alertname=\"{}\"", alert.name);
        assert!(tests.contains(&fires), "no test in tests/{} sees {}", alert.group, alert.name);
        let row = format!("| {} | {} |", alert.name, alert.severity);
        assert!(table.contains(&row), "deploy/README.md has no row that begins with {row}");
    }
}

#[test]
fn every_panel_has_a_description_and_uses_the_selected_data_source() {
    let path = deploy().join("grafana/dashboards/keeptrusts-webhooks.json");
    let dashboard: Value = serde_json::from_str(&text(&path)).expect("JSON");
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: the id is not its own");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|it| it.len() > 30), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let legend = target["legendFormat"].as_str().is_some_and(|it| !it.is_empty());
            assert!(legend || target["format"] == "table", "{title} has no legend");
        }
    }
}
