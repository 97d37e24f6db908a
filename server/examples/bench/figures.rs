//! The measured figures and their limits.

use std::fs;

use serde_json::json;
use testing::RedisServer;

use crate::BenchResult;

/// The limit of a figure.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// No limit: the figure only explains others.
    None,
    AtMost(f64),
    AtLeast(f64),
}

struct Figure {
    what: String,
    measured: f64,
    unit: &'static str,
    limit: Limit,
    /// The smallest and the largest value, if the figure is a median.
    spread: Option<(f64, f64)>,
    /// The reason why there is no figure: the tool to compare with is not installed.
    missing: Option<&'static str>,
}

impl Figure {
    fn holds(&self) -> bool {
        match self.limit {
            _ if self.missing.is_some() => true,
            Limit::None => true,
            Limit::AtMost(most) => self.measured <= most,
            Limit::AtLeast(least) => self.measured >= least,
        }
    }

    fn verdict(&self) -> &'static str {
        match self.limit {
            Limit::None => "",
            _ if self.missing.is_some() => "",
            _ if self.holds() => "ok",
            Limit::AtMost(_) => "OVER",
            Limit::AtLeast(_) => "UNDER",
        }
    }

    fn spread_in_words(&self) -> String {
        self.spread.map_or_else(String::new, |(least, most)| format!("{least:.0}–{most:.0}"))
    }

    fn limit_in_words(&self) -> String {
        match self.limit {
            Limit::None => "–".into(),
            Limit::AtMost(most) => format!("≤ {most:.0} {}", self.unit),
            Limit::AtLeast(least) => format!("≥ {least:.0} {}", self.unit),
        }
    }
}

/// All figures, in the order in which they were measured.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, limit: Limit) {
        self.0.push(Figure { what: what.into(), measured, unit, limit, spread: None, missing: None });
    }

    pub(crate) fn add_median(&mut self, what: impl Into<String>, samples: &[f64], unit: &'static str, limit: Limit) {
        let spread = Some((percentile(samples, 0), percentile(samples, 100)));
        self.0.push(Figure {
            what: what.into(),
            measured: percentile(samples, 50),
            unit,
            limit,
            spread,
            missing: None,
        });
    }

    /// Adds a row that says why it has no figure.
    pub(crate) fn add_missing(&mut self, what: impl Into<String>, why: &'static str, unit: &'static str, limit: Limit) {
        self.0.push(Figure { what: what.into(), measured: f64::NAN, unit, limit, spread: None, missing: Some(why) });
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Checks that the rows are those of `expected`, one a line, and that each has a figure. Without Redis, its rows
    /// are left out.
    pub(crate) fn expect_rows(&self, expected: &str) -> BenchResult<()> {
        let rows: Vec<&str> = self.0.iter().map(|figure| figure.what.as_str()).collect();
        let expected = expected.lines().filter(|row| RedisServer::is_installed() || !row.contains("Redis"));
        if rows != expected.collect::<Vec<_>>() {
            println!("{}", rows.join("\n"));
            return Err("the rows above were measured; rows.txt lists others".into());
        }
        match self.0.iter().find(|figure| figure.measured.is_nan() && figure.missing.is_none()) {
            Some(figure) => Err(format!("“{}” has no figure", figure.what).into()),
            None => Ok(()),
        }
    }

    pub(crate) fn all_hold(&self) -> bool {
        self.0.iter().all(Figure::holds)
    }

    pub(crate) fn print(&self) {
        println!("{:<56} {:>14} {:>11} {:>14}", "", "measured", "from–to", "limit");
        for figure in &self.0 {
            let measured = match figure.missing {
                Some(why) => why.to_owned(),
                None => format!("{:.1} {}", figure.measured, figure.unit),
            };
            let (spread, limit) = (figure.spread_in_words(), figure.limit_in_words());
            println!("{:<56} {measured:>14} {spread:>11} {limit:>14} {}", figure.what, figure.verdict());
        }
    }

    pub(crate) fn write_json(&self) -> BenchResult<()> {
        let rows = self.0.iter().map(|figure| {
            let (bound, limit) = match figure.limit {
                Limit::None => (None, None),
                Limit::AtMost(most) => (Some("at most"), Some(most)),
                Limit::AtLeast(least) => (Some("at least"), Some(least)),
            };
            json!({ "what": figure.what, "measured": figure.measured, "unit": figure.unit, "spread": figure.spread,
                    "bound": bound, "limit": limit, "ok": figure.holds(), "missing": figure.missing })
        });
        fs::create_dir_all("target")?;
        fs::write("target/bench.json", serde_json::to_vec_pretty(&rows.collect::<Vec<_>>())?)?;
        Ok(())
    }
}

/// The value that `percent` of the samples are below; NaN without samples.
pub(crate) fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
