//! The alarms that are shipped: written in the form Prometheus reads, and only about metrics there are.

use skein_domain::metric::{Kind, Metric};
use std::collections::BTreeSet;
use std::path::Path;

const RULES: &str = "deploy/prometheus-rules.yaml";
const GUIDE: &str = "docs/operator-guide.md";

fn text_of(path: &str) -> String {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()))
}

/// One alarm, as far as it is judged here.
#[derive(Debug)]
struct Alarm {
    name: String,
    expr: String,
    held_for: String,
}

/// The lines of an alarm, in their order: what stands before the value, and after it.
const LINES: [(&str, &str); 7] = [
    ("      - alert: ", ""),
    ("        expr: ", ""),
    ("        for: ", ""),
    ("        labels:", ""),
    ("          severity: ", ""),
    ("        annotations:", ""),
    ("          summary: \"", "\""),
];

/// Of all YAML only the form this file has: a rule file of one group, all keys of an alarm in one order.
fn alarms() -> Vec<Alarm> {
    let text = text_of(RULES);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let (head, rules) = lines.split_at(3);
    assert_eq!(head, ["groups:", "  - name: skein", "    rules:"]);
    assert_eq!(rules.len() % LINES.len(), 0, "an alarm has {} lines", LINES.len());
    rules.chunks(LINES.len()).map(alarm).collect()
}

fn alarm(lines: &[&str]) -> Alarm {
    let value = |n: usize| {
        let (before, after) = LINES[n];
        let value = lines[n].strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        value.unwrap_or_else(|| panic!("{:?} where {before:?} is expected", lines[n])).to_owned()
    };
    let (name, expr, held_for, severity, summary) = (value(0), value(1), value(2), value(4), value(6));
    assert_eq!((value(3), value(5)), (String::new(), String::new()));
    assert!(["page", "ticket"].contains(&severity.as_str()), "{name}: {severity}");
    assert!(summary.contains(" · ") && !summary.contains(['"', '\\']), "{name}: {summary} is not in both languages");
    // Else YAML would take what follows for a comment or a mapping.
    assert!(!expr.contains(" #") && !expr.contains(": ") && !expr.starts_with(['"', '\'', '{', '[', '*', '&', '!', '|', '>']), "{expr}");
    Alarm { name, expr, held_for }
}

/// Each series with what stands right before it and right after it.
fn series(expr: &str) -> Vec<(&str, &str, &str)> {
    let places = expr.match_indices("skein_").map(|(start, _)| {
        let length = expr[start..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expr.len() - start);
        (&expr[..start], &expr[start..start + length], &expr[start + length..])
    });
    places.collect()
}

/// The metric of a series; for a histogram one of its counters.
fn metric_of(series: &str) -> Option<(Metric, bool)> {
    let tables = skein_server::telemetry::metrics::tables();
    let find = |name: &str| tables.iter().flat_map(|(_, table)| *table).copied().find(|metric| metric.name == name);
    if let Some(metric) = find(series) {
        return (metric.kind != Kind::Histogram).then_some((metric, metric.kind == Kind::Counter));
    }
    let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| series.strip_suffix(part))?;
    find(part).filter(|metric| metric.kind == Kind::Histogram).map(|metric| (metric, true))
}

#[test]
fn every_alarm_is_of_the_form_prometheus_reads() {
    let alarms = alarms();
    assert!(alarms.len() > 10);
    assert_eq!(alarms.iter().map(|alarm| &alarm.name).collect::<BTreeSet<_>>().len(), alarms.len(), "names are unique");
    for Alarm { name, expr, held_for } in &alarms {
        assert!(name.starts_with("Skein") && name.chars().all(char::is_alphanumeric), "{name}");
        let count = held_for.strip_suffix(['s', 'm']).and_then(|count| count.parse::<u32>().ok());
        assert!(count.is_some_and(|count| count < 60), "{name}: for {held_for}");
        assert_eq!(expr.matches('(').count(), expr.matches(')').count(), "{expr}");
        for compared in expr.split(" or ") {
            let bound = compared.rsplit_once(" > ").or(compared.rsplit_once(" == ")).and_then(|(_, bound)| bound.parse::<f64>().ok());
            assert!(bound.is_some(), "{compared} is not compared to a number");
        }
    }
}

#[test]
fn every_alarm_is_about_metrics_and_labels_there_are() {
    for Alarm { name, expr, .. } in alarms() {
        let series = series(&expr);
        assert!(!series.is_empty(), "{name}");
        for (before, series, after) in series {
            let (metric, grows) = metric_of(series).unwrap_or_else(|| panic!("{name}: no metric has the series {series}"));
            let is_rate = before.ends_with("rate(") || before.ends_with("increase(");
            assert_eq!(is_rate, grows, "{name}: what only grows is watched by its rate: {series}");
            let label = after.strip_prefix('{').and_then(|rest| rest.split(['=', '!']).next());
            let labels: Vec<&str> = metric.labels.split(' ').collect();
            assert!(label.is_none_or(|label| labels.contains(&label)), "{name}: {series} has no label {label:?}");
        }
    }
}

/// And what it asks of Prometheus elsewhere.
#[test]
fn the_operator_guide_shows_an_alarm_as_it_is_shipped() {
    let (guide, rules) = (text_of(GUIDE), text_of(RULES));
    let (_, shown) = guide.split_once("```yaml\n  - alert: ").expect("an alarm in the guide");
    let (shown, _) = shown.split_once("```").expect("its end");
    for line in shown.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(rules.contains(line), "{line} is not in {RULES}");
    }
    let watch = guide.split_once("## Watch\n").and_then(|(_, rest)| rest.split_once("<!-- generated")).expect("a chapter").0;
    let asked = watch.lines().filter(|line| line.starts_with("| "));
    let is_name = |text: &str| skein_server::telemetry::metrics::tables().iter().any(|(_, table)| table.iter().any(|of| of.name == text));
    let mentioned = asked.flat_map(series).map(|(_, series, _)| series);
    let unknown = mentioned.filter(|series| metric_of(series).is_none() && !is_name(series));
    assert_eq!(unknown.collect::<Vec<_>>(), Vec::<&str>::new());
}
