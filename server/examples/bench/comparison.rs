//! Compares the server's rate with that of bare loops, on a machine whose speed varies.

use crate::{
    BenchResult,
    figures::{Figures, Limit},
};

/// The name of a loop in the report, and the limit of the server's part of its rate, in %.
pub(crate) type Baseline = (&'static str, Limit);

/// The rates of the server and of the loops, by round.
pub(crate) struct Comparison<const LOOPS: usize> {
    own: Vec<f64>,
    baseline: Vec<[f64; LOOPS]>,
}

impl<const LOOPS: usize> Comparison<LOOPS> {
    /// Measures `count` pairs of short rounds. The order within a pair alternates, so that no drift favours either
    /// side. A disturbance of the machine affects one pair, and the median of the ratios ignores it.
    pub(crate) async fn measure(
        count: usize,
        mut own: impl AsyncFnMut() -> BenchResult<f64>,
        mut baseline: impl AsyncFnMut() -> BenchResult<[f64; LOOPS]>,
    ) -> BenchResult<Self> {
        let mut pairs = Self { own: Vec::new(), baseline: Vec::new() };
        for pair in 0..count {
            if pair % 2 == 0 {
                pairs.baseline.push(baseline().await?);
                pairs.own.push(own().await?);
            } else {
                pairs.own.push(own().await?);
                pairs.baseline.push(baseline().await?);
            }
        }
        Ok(pairs)
    }

    /// Reports the median rates, and the median of the ratios within the pairs.
    pub(crate) fn report(
        &self,
        what: &str,
        own: &str,
        unit: &'static str,
        loops: [Baseline; LOOPS],
        figures: &mut Figures,
    ) {
        figures.add_median(format!("{what}: {own}"), &self.own, unit, Limit::None);
        for (at, (name, limit)) in loops.into_iter().enumerate() {
            let baseline: Vec<f64> = self.baseline.iter().map(|rates| rates[at]).collect();
            let percent: Vec<f64> =
                self.own.iter().zip(&baseline).map(|(own, baseline)| 100.0 * own / baseline).collect();
            figures.add_median(format!("{what}: {name}"), &baseline, unit, Limit::None);
            figures.add_median(format!("{what}: of {name}"), &percent, "%", limit);
        }
    }
}
