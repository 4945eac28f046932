//! What a crate counts: one table each, from which `/metrics` takes its help lines and the operator guide its reference.

/// A metric of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// `skein_…`, the unit last; counters end with `_total`.
    pub name: &'static str,
    pub kind: Kind,
    /// Names of its labels, separated by spaces.
    pub labels: &'static str,
    pub meaning: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; watch its rate.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often which size; watch its quantiles.
    Histogram,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

pub const fn counter(name: &'static str, labels: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, meaning }
}

pub const fn gauge(name: &'static str, labels: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, meaning }
}

pub const fn histogram(name: &'static str, labels: &'static str, meaning: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, meaning }
}
