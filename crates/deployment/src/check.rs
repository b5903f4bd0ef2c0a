//! Checks each metric and label of a query against a scrape.
//!
//! The check computes the labels of the result of each part of the parsed query, so that it also finds
//! `by (shard)` after an aggregation that has dropped `shard`.

use std::collections::BTreeSet;
use std::fmt;

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier};
use promql_parser::parser::{VectorMatchCardinality, VectorSelector};

use crate::query::Query;
use crate::scrape::Scrape;

/// The labels that Prometheus adds to every metric that it scrapes.
const TARGET_LABELS: [&str; 2] = ["instance", "job"];

/// Prometheus's own metrics, with their labels besides those of targets.
const PROMETHEUS_METRICS: [(&str, &[&str]); 2] =
    [("up", &[]), ("ALERTS", &["alertname", "alertstate", "severity", "shard"])];

/// Something that a query asks for and that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryProblem {
    /// The query's file, and its rule or panel.
    pub origin: String,
    pub kind: ProblemKind,
    /// The name of what is missing.
    pub name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// It is no valid PromQL; the name is the parser's message.
    Syntax,
    Metric,
    /// The metric, or the result at that place, has no such label.
    Label,
    /// The label has no such value. In a real scrape the event may not have happened yet.
    Value,
}

impl fmt::Display for QueryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let QueryProblem { origin, kind, name } = self;
        match kind {
            ProblemKind::Syntax => write!(f, "{origin}: cannot be parsed: {name}"),
            ProblemKind::Metric => write!(f, "{origin}: nobody has a metric {name}"),
            ProblemKind::Label => write!(f, "{origin}: there is no label {name}"),
            ProblemKind::Value => write!(f, "{origin}: nothing has {name}"),
        }
    }
}

/// Returns what the queries ask for and `scrape` does not have. Recording rules must come before
/// the queries that use them.
pub fn check(scrape: &Scrape, queries: &[Query]) -> Vec<QueryProblem> {
    let mut known = scrape.clone();
    for (metric, labels) in PROMETHEUS_METRICS {
        known.add(metric, labels.iter().map(|label| (*label).to_owned()));
    }
    let mut problems = Vec::new();
    for query in queries {
        let mut walk = Walk { known: &known, origin: &query.origin, problems: Vec::new() };
        let labels = match parser::parse(&query.text) {
            Ok(expression) => walk.labels(&expression),
            Err(message) => {
                walk.report(ProblemKind::Syntax, message);
                query.shown.iter().cloned().collect()
            }
        };
        walk.require_labels(&query.shown, &labels);
        problems.append(&mut walk.problems);
        if let Some(record) = &query.record {
            known.add(record, labels);
        }
    }
    problems
}

type Names = BTreeSet<String>;

struct Walk<'a> {
    known: &'a Scrape,
    origin: &'a str,
    problems: Vec<QueryProblem>,
}

impl Walk<'_> {
    fn report(&mut self, kind: ProblemKind, name: impl Into<String>) {
        let problem = QueryProblem { origin: self.origin.to_owned(), kind, name: name.into() };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn require_labels<'n>(&mut self, wanted: impl IntoIterator<Item = &'n String>, there: &Names) {
        for label in wanted {
            if !there.contains(label) {
                self.report(ProblemKind::Label, label);
            }
        }
    }

    /// The labels of the result.
    fn labels(&mut self, expression: &Expr) -> Names {
        match expression {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(selector) => self.selector(&selector.vs),
            Expr::Subquery(subquery) => self.labels(&subquery.expr),
            Expr::Paren(inner) => self.labels(&inner.expr),
            Expr::Unary(inner) => self.labels(&inner.expr),
            Expr::Aggregate(aggregation) => self.aggregation(aggregation),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Call(call) => self.call(call),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Names::new(),
        }
    }

    fn selector(&mut self, selector: &VectorSelector) -> Names {
        let known = self.known;
        let Some(metric) = &selector.name else {
            self.report(ProblemKind::Metric, "without a name");
            return Names::new();
        };
        let Some(labels) = known.labels(metric) else {
            self.report(ProblemKind::Metric, metric);
            // Its labels are not reported as well.
            return mentioned(selector);
        };
        let mut names: Names = labels.keys().cloned().collect();
        names.extend(TARGET_LABELS.map(str::to_owned));
        for matcher in matchers(selector) {
            if !names.contains(&matcher.name) {
                self.report(ProblemKind::Label, format!("{} of {metric}", matcher.name));
                continue;
            }
            let values = labels.get(&matcher.name).filter(|values| !values.is_empty());
            let wants = matches!(matcher.op, MatchOp::Equal | MatchOp::Re(_));
            let found =
                values.is_none_or(|values| values.iter().any(|value| matcher.is_match(value)));
            if wants && !found {
                self.report(ProblemKind::Value, format!("{metric}{{{matcher}}}"));
            }
        }
        names
    }

    fn aggregation(&mut self, aggregation: &AggregateExpr) -> Names {
        let inner = self.labels(&aggregation.expr);
        let keeps_series = matches!(
            aggregation.op.to_string().as_str(),
            "topk" | "bottomk" | "limitk" | "limit_ratio"
        );
        match &aggregation.modifier {
            Some(modifier) => {
                self.require_labels(&modifier.labels().labels, &inner);
                match modifier {
                    _ if keeps_series => inner,
                    LabelModifier::Include(by) => by.labels.iter().cloned().collect(),
                    LabelModifier::Exclude(without) => {
                        inner.into_iter().filter(|name| !without.labels.contains(name)).collect()
                    }
                }
            }
            None if keeps_series => inner,
            None => Names::new(),
        }
    }

    fn binary(&mut self, binary: &BinaryExpr) -> Names {
        let left = self.labels(&binary.lhs);
        let right = self.labels(&binary.rhs);
        if let Some(matching) = binary.modifier.as_ref().and_then(|it| it.matching.as_ref()) {
            for side in [&left, &right] {
                self.require_labels(&matching.labels().labels, side);
            }
        }
        if binary.op.is_set_operator() {
            return match binary.op.to_string().as_str() {
                "or" => left.union(&right).cloned().collect(),
                _ => left,
            };
        }
        if binary.lhs.value_type() == ValueType::Scalar {
            return right;
        }
        let Some(modifier) = &binary.modifier else { return left };
        match (&modifier.card, &modifier.matching) {
            (VectorMatchCardinality::ManyToOne(more), _) => {
                self.require_labels(&more.labels, &right);
                left.into_iter().chain(more.labels.iter().cloned()).collect()
            }
            (VectorMatchCardinality::OneToMany(more), _) => {
                self.require_labels(&more.labels, &left);
                right.into_iter().chain(more.labels.iter().cloned()).collect()
            }
            (_, Some(LabelModifier::Include(on))) => on.labels.iter().cloned().collect(),
            (_, Some(LabelModifier::Exclude(ignoring))) => {
                left.into_iter().filter(|name| !ignoring.labels.contains(name)).collect()
            }
            _ => left,
        }
    }

    fn call(&mut self, call: &Call) -> Names {
        let mut labels = Names::new();
        for argument in &call.args.args {
            labels.append(&mut self.labels(argument));
        }
        match call.func.name {
            // Their result has the labels of their equality matchers, if the argument is a selector.
            "absent" | "absent_over_time" => match call.args.args.first().map(|it| &**it) {
                Some(Expr::VectorSelector(selector)) => asked_for(selector),
                Some(Expr::MatrixSelector(selector)) => asked_for(&selector.vs),
                _ => Names::new(),
            },
            "histogram_quantile" => {
                if !labels.remove("le") {
                    self.report(ProblemKind::Label, "le for histogram_quantile");
                }
                labels
            }
            "label_replace" | "label_join" => {
                if let Some(Expr::StringLiteral(name)) = call.args.args.get(1).map(|it| &**it) {
                    labels.insert(name.val.clone());
                }
                labels
            }
            "vector" | "scalar" | "time" => Names::new(),
            _ => labels,
        }
    }
}

fn matchers(selector: &VectorSelector) -> impl Iterator<Item = &Matcher> {
    let all = &selector.matchers;
    all.matchers.iter().chain(all.or_matchers.iter().flatten())
}

fn mentioned(selector: &VectorSelector) -> Names {
    let names = matchers(selector).map(|matcher| matcher.name.clone());
    names.chain(TARGET_LABELS.map(str::to_owned)).collect()
}

fn asked_for(selector: &VectorSelector) -> Names {
    let equal = matchers(selector).filter(|matcher| matcher.op == MatchOp::Equal);
    equal.map(|matcher| matcher.name.clone()).collect()
}

#[cfg(test)]
mod tests;
