//! Reads the queries of recording rules, alert rules and dashboards in `deploy/`.

use std::fs;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

/// A query, and how its result is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// The file, and the rule or panel.
    pub origin: String,
    /// PromQL.
    pub text: String,
    /// The metric that a recording rule makes of the result.
    pub record: Option<String>,
    /// The labels that an alert's annotations or a legend show.
    pub shown: Vec<String>,
}

/// Why the queries of a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum QueryFileError {
    #[error("cannot read {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    /// It does not have the expected format.
    #[error("{origin}: {problem}")]
    Content {
        /// The file, or a part of it.
        origin: String,
        problem: String,
    },
}

impl Query {
    /// All queries below `deploy`, recording rules first.
    pub fn of_folder(deploy: &Path) -> Result<Vec<Query>, QueryFileError> {
        let prometheus = deploy.join("prometheus");
        let mut rules = vec![prometheus.join("recording.yml")];
        rules.extend(files(&prometheus.join("alerts"), "yml")?);
        let mut queries = Vec::new();
        for path in rules {
            queries.extend(Query::of_rules(&name(&path), &read(&path)?)?);
        }
        for path in files(&deploy.join("grafana/dashboards"), "json")? {
            queries.extend(Query::of_dashboard(&name(&path), &read(&path)?)?);
        }
        Ok(queries)
    }

    /// The queries of a file of alert rules or recording rules.
    pub fn of_rules(file: &str, yaml: &str) -> Result<Vec<Query>, QueryFileError> {
        let wrong = |problem: &str| content(file, problem);
        let documents =
            Yaml::load_from_str(yaml).map_err(|error| content(file, &error.to_string()))?;
        let groups = documents.first().and_then(|document| document.as_mapping_get("groups"));
        let groups = groups.and_then(Yaml::as_vec).ok_or_else(|| wrong("there are no groups"))?;
        let mut queries = Vec::new();
        for group in groups {
            let rules = group.as_mapping_get("rules").and_then(Yaml::as_vec);
            for rule in rules.ok_or_else(|| wrong("a group has no rules"))? {
                let text = |key: &str| rule.as_mapping_get(key).and_then(Yaml::as_str);
                let record = text("record").map(str::to_owned);
                let name = text("alert").or(record.as_deref());
                let name = name.ok_or_else(|| wrong("a rule is neither an alert nor a record"))?;
                let origin = format!("{file}: {name}");
                let expression = text("expr").ok_or_else(|| content(&origin, "has no expr"))?;
                let mut shown = Vec::new();
                let annotations = rule.as_mapping_get("annotations").and_then(Yaml::as_mapping);
                for annotation in annotations.into_iter().flat_map(|texts| texts.values()) {
                    shown.extend(labels_in_template(annotation.as_str().unwrap_or_default()));
                }
                queries.push(Query { origin, text: expression.to_owned(), record, shown });
            }
        }
        Ok(queries)
    }

    /// The queries of a Grafana dashboard: of panels, also within rows, and of variables.
    pub fn of_dashboard(file: &str, json: &str) -> Result<Vec<Query>, QueryFileError> {
        let dashboard: Value =
            serde_json::from_str(json).map_err(|error| content(file, &error.to_string()))?;
        let mut queries = Vec::new();
        of_panels(file, &dashboard["panels"], &mut queries);
        for variable in array(&dashboard["templating"]["list"]) {
            if variable["type"] == "query" {
                let origin = format!("{file}: variable {}", variable["name"]);
                queries.push(of_variable(origin, variable)?);
            }
        }
        Ok(queries)
    }
}

fn of_panels(file: &str, panels: &Value, queries: &mut Vec<Query>) {
    for panel in array(panels) {
        let title = panel["title"].as_str().unwrap_or("a panel without a title");
        for target in array(&panel["targets"]) {
            let Some(expression) = target["expr"].as_str() else { continue };
            queries.push(Query {
                origin: format!("{file}: {title}"),
                text: without_macros(expression),
                record: None,
                shown: labels_in_legend(target["legendFormat"].as_str().unwrap_or_default()),
            });
        }
        of_panels(file, &panel["panels"], queries);
    }
}

/// A variable's `label_values(SELECTOR, LABEL)` as a query for the metric and the label.
fn of_variable(origin: String, variable: &Value) -> Result<Query, QueryFileError> {
    let query = variable["query"].as_str().or_else(|| variable["query"]["query"].as_str());
    let inside = query
        .and_then(|query| query.trim().strip_prefix("label_values("))
        .and_then(|query| query.strip_suffix(')'))
        .and_then(|arguments| arguments.rsplit_once(','));
    let (selector, label) = inside
        .ok_or_else(|| content(&origin, "only label_values(SELECTOR, LABEL) is understood here"))?;
    let text = format!("count by ({}) ({})", label.trim(), without_macros(selector));
    Ok(Query { origin, text, record: None, shown: Vec::new() })
}

/// Replaces Grafana's macros, which all are durations here.
fn without_macros(expression: &str) -> String {
    let macros = ["$__rate_interval", "$__interval", "$__range"];
    macros.iter().fold(expression.to_owned(), |text, name| text.replace(name, "5m"))
}

/// The names after `$labels.` in a Prometheus template.
fn labels_in_template(template: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    template
        .split("$labels.")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| is_name(*c)).collect())
        .collect()
}

/// The names in `{{ }}` in a Grafana legend.
fn labels_in_legend(legend: &str) -> Vec<String> {
    legend
        .split("{{")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once("}}")?.0.trim().to_owned()))
        .collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn content(origin: &str, problem: &str) -> QueryFileError {
    QueryFileError::Content { origin: origin.to_owned(), problem: problem.to_owned() }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn read(path: &Path) -> Result<String, QueryFileError> {
    fs::read_to_string(path)
        .map_err(|source| QueryFileError::File { path: path.to_owned(), source })
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, QueryFileError> {
    let unreadable = |source| QueryFileError::File { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_with_the_labels_that_they_show() {
        let yaml = "groups:\n- name: g\n  rules:\n  - record: a:b\n    expr: sum(x)\n  - alert: A\n    expr: >-\n      a:b\n      > 1\n    annotations:\n      summary: 'of {{ $labels.job }} and {{$labels.shard}}'\n";
        let queries = Query::of_rules("r.yml", yaml).expect("rules");
        let expected = [
            Query {
                origin: "r.yml: a:b".into(),
                text: "sum(x)".into(),
                record: Some("a:b".into()),
                shown: vec![],
            },
            Query {
                origin: "r.yml: A".into(),
                text: "a:b > 1".into(),
                record: None,
                shown: vec!["job".into(), "shard".into()],
            },
        ];
        assert_eq!(queries, expected);
    }

    #[test]
    fn a_file_without_rules_is_an_error_and_not_nothing() {
        for yaml in ["", "groups: {}", "groups: [{name: g}]", "groups: [{rules: [{expr: a}]}]"] {
            assert!(Query::of_rules("r.yml", yaml).is_err(), "{yaml}");
        }
    }

    #[test]
    fn dashboards_are_read_down_into_rows_and_variables() {
        let json = r#"{"panels": [
            {"title": "Row", "panels": [{"title": "P", "targets": [
                {"expr": "rate(a[$__rate_interval])", "legendFormat": "{{ job }} p99"}]}]}],
            "templating": {"list": [
                {"type": "datasource", "query": "prometheus"},
                {"type": "query", "name": "s", "query": "label_values(a{b=\"c\"}, shard)"}]}}"#;
        let queries = Query::of_dashboard("d.json", json).expect("a dashboard");
        assert_eq!(queries[0].text, "rate(a[5m])");
        assert_eq!(queries[0].shown, ["job"]);
        assert_eq!(queries[1].text, "count by (shard) (a{b=\"c\"})");

        let strange = json.replace("label_values(", "query_result(");
        assert!(Query::of_dashboard("d.json", &strange).is_err());
    }
}
