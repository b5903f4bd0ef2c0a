use super::*;

const SCRAPE: &str = r#"
requests_total{result="ok",shard="1"} 1
requests_total{result="failed",shard="1"} 1
duration_bucket{result="ok",le="1"} 1
depth 1
"#;

fn complaints_of(text: &str, shown: &[&str]) -> Vec<String> {
    let scrape = Scrape::parse(SCRAPE).expect("a scrape");
    let record = Query {
        text: "sum by (shard) (rate(requests_total[5m]))".into(),
        record: Some("requests:rate5m".into()),
        ..Query::default()
    };
    let query = Query {
        origin: "here".into(),
        text: text.into(),
        record: None,
        shown: shown.iter().map(|label| (*label).to_owned()).collect(),
    };
    check(&scrape, &[record, query]).iter().map(ToString::to_string).collect()
}

#[test]
fn queries_for_scraped_metrics_have_no_problem() {
    for text in [
        "depth > 1",
        "sum by (result, job) (rate(requests_total{shard=~\"1|2\", instance!=\"x\"}[5m]))",
        "sum without (shard) (requests_total) / on (result) sum by (result) (requests_total)",
        "histogram_quantile(0.99, sum by (le, result) (rate(duration_bucket[5m])))",
        "max_over_time(sum by (shard) (requests_total)[1h:1m]) or vector(0)",
        "requests_total * on (job) group_left (instance) up",
        "absent(up{job=\"console\"})",
        "topk by (shard) (3, requests_total)",
        "sum by (shard) (requests:rate5m) unless depth",
        "label_replace(depth, \"kind\", \"$1\", \"job\", \"(.*)\")",
        "-(1 - depth)",
        "requests_total{result!=\"never\"}",
    ] {
        assert_eq!(complaints_of(text, &[]), [""; 0], "{text}");
    }
}

#[test]
fn a_missing_metric_is_reported_once_at_any_place_in_a_query() {
    for text in [
        "request_total",
        "sum by (result) (rate(request_total{result=\"ok\"}[5m]))",
        "depth and (1 + request_total) > 0",
        "max_over_time(request_total[1h:1m] offset 1h)",
        "clamp_min(request_total, 1) / request_total",
    ] {
        let expected = "here: nobody has a metric request_total";
        let problems = complaints_of(text, &[]);
        assert!(problems.contains(&expected.to_owned()), "{text}: {problems:?}");
    }
    assert_eq!(complaints_of("{job=\"a\"}", &[]), ["here: nobody has a metric without a name"]);
}

#[test]
fn a_missing_or_dropped_label_is_reported() {
    for (text, label) in [
        ("requests_total{resultt=\"ok\"}", "resultt of requests_total"),
        ("sum by (region) (requests_total)", "region"),
        ("sum by (result) (sum by (shard) (requests_total))", "result"),
        ("sum without (region) (requests_total)", "region"),
        ("requests_total / on (region) requests_total", "region"),
        ("requests_total * on (shard) group_left (le) requests_total", "le"),
        ("sum by (result) (requests:rate5m)", "result"),
        ("histogram_quantile(0.9, sum by (result) (duration_bucket))", "le for histogram_quantile"),
    ] {
        assert_eq!(
            complaints_of(text, &[]),
            [format!("here: there is no label {label}")],
            "{text}"
        );
    }
}

#[test]
fn a_label_that_is_shown_must_be_in_the_result() {
    assert_eq!(complaints_of("sum by (shard) (requests_total)", &["shard"]), [""; 0]);
    assert_eq!(complaints_of("requests:rate5m > 1", &["shard"]), [""; 0]);
    for text in ["sum(requests_total)", "absent(up{shard=\"1\"} == 1)", "vector(1)"] {
        let problems = complaints_of(text, &["shard"]);
        let expected = "here: there is no label shard".to_owned();
        assert!(problems.contains(&expected), "{text}: {problems:?}");
    }
}

#[test]
fn a_missing_value_is_reported() {
    for text in ["requests_total{result=\"okay\"}", "requests_total{result=~\"okay|fail\"}"] {
        let problems = complaints_of(text, &[]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("here: nothing has requests_total{result"));
    }
}

#[test]
fn an_invalid_query_is_reported() {
    let problems = complaints_of("sum(", &["shard"]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("here: cannot be parsed: "), "{problems:?}");
}
