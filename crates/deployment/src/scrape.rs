//! Reads the metrics and labels of a scrape of `/metrics`.
//!
//! The format is Prometheus's text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>). Values are ignored.

use std::collections::{BTreeMap, BTreeSet};

/// Labels with their values.
pub type Labels = BTreeMap<String, BTreeSet<String>>;

/// The metrics of one or several scrapes, by name. `…_bucket`, `…_sum` and `…_count` of a histogram are
/// separate, as in queries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scrape {
    metrics: BTreeMap<String, Labels>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {number} of the scrape is not in Prometheus' text format: {line}")]
pub struct InvalidScrape {
    number: usize,
    line: String,
}

impl Scrape {
    /// Reads one scrape, or several concatenated ones.
    pub fn parse(text: &str) -> Result<Scrape, InvalidScrape> {
        let mut scrape = Scrape::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, labels) = sample(line)
                .ok_or_else(|| InvalidScrape { number: index + 1, line: line.to_owned() })?;
            let known = scrape.metrics.entry(name).or_default();
            for (label, value) in labels {
                known.entry(label).or_default().insert(value);
            }
        }
        Ok(scrape)
    }

    /// `None`: there is no such metric.
    pub fn labels(&self, metric: &str) -> Option<&Labels> {
        self.metrics.get(metric)
    }

    pub(crate) fn add(&mut self, metric: &str, labels: impl IntoIterator<Item = String>) {
        let labels = labels.into_iter().map(|label| (label, BTreeSet::new()));
        self.metrics.insert(metric.to_owned(), labels.collect());
    }

    /// How this scrape of running processes differs from `contract`: metrics with one of `prefixes`
    /// that only one of them has, and different labels.
    ///
    /// Label values are not compared. A metric appears when its event has happened, so the processes
    /// must have published, delivered, failed and refused before.
    pub fn differences(&self, contract: &Scrape, prefixes: &[&str]) -> Vec<String> {
        let ours = |name: &&String| prefixes.iter().any(|prefix| name.starts_with(prefix));
        let names: BTreeSet<&String> =
            self.metrics.keys().chain(contract.metrics.keys()).filter(ours).collect();
        let mut differences = Vec::new();
        for name in names {
            match (self.labels(name), contract.labels(name)) {
                (Some(_), None) => differences.push(format!("{name} is not in the contract")),
                (None, _) => differences.push(format!("{name} is in the contract only")),
                (Some(here), Some(there)) => {
                    let here: Vec<&String> = here.keys().collect();
                    let there: Vec<&String> = there.keys().collect();
                    if here != there {
                        let said = format!("{name} has the labels {here:?}, not {there:?}");
                        differences.push(said);
                    }
                }
            }
        }
        differences
    }
}

/// `name{label="value",…} number`, without the number.
fn sample(line: &str) -> Option<(String, Vec<(String, String)>)> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(end);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix('}') {
                rest = after;
                break;
            }
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            labels.push((label.trim().to_owned(), value));
            rest = after.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
    let number = rest.split_whitespace().next()?;
    number.parse::<f64>().ok()?;
    Some((name.to_owned(), labels))
}

/// The value up to its closing quote, and the rest.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(scrape: &Scrape, metric: &str, label: &str) -> Vec<String> {
        let labels = scrape.labels(metric).expect("the metric is there");
        labels.get(label).into_iter().flatten().cloned().collect()
    }

    #[test]
    fn metrics_and_labels_are_read_and_comments_are_not() {
        let text = "# HELP a_total What {it=\"is\"}\n# TYPE a_total counter\n\
                    a_total{b=\"1\",c=\"x\"} 1\na_total{b=\"2\",c=\"x\",} 2.5e3 1700000000\n\nplain NaN\n";
        let scrape = Scrape::parse(text).expect("a scrape");
        assert_eq!(values(&scrape, "a_total", "b"), ["1", "2"]);
        assert_eq!(values(&scrape, "a_total", "c"), ["x"]);
        assert!(scrape.labels("plain").expect("there").is_empty());
        assert_eq!(scrape.labels("What"), None);
    }

    #[test]
    fn values_may_hold_what_the_format_uses() {
        let scrape = Scrape::parse(r#"a{b="x\"},\\ y=\"",le="+Inf"} +Inf"#).expect("a scrape");
        assert_eq!(values(&scrape, "a", "b"), [r#"x"},\ y=""#]);
        assert_eq!(values(&scrape, "a", "le"), ["+Inf"]);
    }

    #[test]
    fn what_is_no_scrape_is_refused() {
        for text in ["<html> 1", "a{b=\"1\"", "a{b=1} 1", "a", "a b", "{} 1"] {
            assert!(Scrape::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn differences_go_both_ways_and_concern_our_metrics_only() {
        let parse = |text| Scrape::parse(text).expect("a scrape");
        let contract = parse("k_a{b=\"1\"} 1\nk_gone 1\nother_contract 1\nk_same{x=\"1\"} 1\n");
        let real = parse("k_a{c=\"1\"} 1\nk_new 1\nother 1\nk_same{x=\"2\"} 7\n");
        assert_eq!(
            real.differences(&contract, &["k_"]),
            [
                "k_a has the labels [\"c\"], not [\"b\"]",
                "k_gone is in the contract only",
                "k_new is not in the contract",
            ]
        );
    }
}
