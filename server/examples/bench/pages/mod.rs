//! The pages' requests per second, compared with a bare handler that asks the database the same and writes the same
//! rows.

mod bare;
mod load;
mod site;

use std::time::Duration;

use load::Load;
use site::Site;

use crate::{
    BenchResult, Size,
    comparison::Comparison,
    figures::{Figures, Limit, percentile},
};

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let site = Site::start(postgres, size).await?;
    let round = size.pick(Duration::from_secs(4), Duration::from_millis(300));
    let rounds = size.pick(5, 1);
    for page in site.pages() {
        let own = async || Ok(page.own.run(round).await?.per_second());
        let baseline = async || Ok([page.bare.run(round).await?.per_second()]);
        let comparison = Comparison::measure(rounds, own, baseline).await?;
        let what = format!("pages: {}", page.name);
        comparison.report(&what, "32 connections", "1/s", [("a bare handler", Limit::AtLeast(50.0))], figures);
    }
    let sign_in = rates(&site.sign_in(), rounds, round).await?;
    figures.add_median("pages: sign-in", &sign_in.per_second, "1/s", Limit::AtLeast(5_000.0));
    let health = rates(&site.health(), rounds, round).await?;
    figures.add_median("pages: /health", &health.per_second, "1/s", Limit::AtLeast(15_000.0));
    figures.add("pages: /health, p99", health.p99_ms, "ms", Limit::AtMost(10.0));
    Ok(())
}

struct Rates {
    per_second: Vec<f64>,
    /// The median of the rounds' 99th percentiles.
    p99_ms: f64,
}

async fn rates(load: &Load, rounds: usize, round: Duration) -> BenchResult<Rates> {
    let (mut per_second, mut p99s) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let answers = load.run(round).await?;
        per_second.push(answers.per_second());
        p99s.push(percentile(&answers.milliseconds, 99));
    }
    Ok(Rates { per_second, p99_ms: percentile(&p99s, 50) })
}
