//! A server's own numbers, from its metrics page.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Metrics(String);

impl Metrics {
    pub async fn of(admin: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(admin).await.context("ask for metrics")?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.context("read the metrics")?;
        Ok(Self(page))
    }

    #[cfg(test)]
    pub fn read(page: &str) -> Self {
        Self(page.to_owned())
    }

    /// Of all series of the metric that have these labels.
    pub fn sum(&self, metric: &str, labels: &[&str]) -> f64 {
        self.series(metric).filter(|(series, _)| labels.iter().all(|label| series.contains(label))).fold(0.0, |sum, (_, value)| sum + value)
    }

    /// The bound of a histogram's highest bucket that is not empty. Infinite beyond the last bound; 0: nothing was recorded.
    pub fn most(&self, histogram: &str) -> f64 {
        let all = self.sum(&format!("{histogram}_count"), &[]);
        let buckets =
            self.series(&format!("{histogram}_bucket")).filter_map(|(series, so_many)| Some((bound(series)?, so_many))).collect::<Vec<_>>();
        let covers = buckets.iter().filter(|(_, so_many)| all > 0.0 && *so_many >= all).map(|(bound, _)| *bound);
        covers.reduce(f64::min).unwrap_or(0.0)
    }

    fn series<'m>(&'m self, metric: &str) -> impl Iterator<Item = (&'m str, f64)> {
        let lines = self.0.lines().filter(move |line| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' '])));
        lines.filter_map(|line| line.rsplit_once(' ')).filter_map(|(series, value)| Some((series, value.parse().ok()?)))
    }
}

fn bound(series: &str) -> Option<f64> {
    let (_, from) = series.split_once("le=\"")?;
    match from.split_once('"')?.0 {
        "+Inf" => Some(f64::INFINITY),
        bound => bound.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn series_are_summed_by_label_and_histograms_bounded() {
        let metrics = Metrics::read(
            "# HELP a_total What\na_total{x=\"1\",y=\"1\"} 7\na_total{x=\"1\",y=\"2\"} 2\na_total_more 50\n\
             h_bucket{le=\"0.1\"} 3\nh_bucket{le=\"0.5\"} 4\nh_bucket{le=\"+Inf\"} 4\nh_sum 0.6\nh_count 4\n\
             i_bucket{le=\"0.1\"} 0\ni_bucket{le=\"+Inf\"} 1\ni_count 1\n",
        );
        assert_eq!(
            [metrics.sum("a_total", &["x=\"1\""]), metrics.sum("a_total", &["y=\"2\""]), metrics.sum("a_total", &[])],
            [9.0, 2.0, 9.0]
        );
        assert_eq!([metrics.most("h"), metrics.most("i"), metrics.most("j")], [0.5, f64::INFINITY, 0.0]);
    }
}
