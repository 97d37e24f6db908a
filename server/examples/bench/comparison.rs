//! Our rate beside that of bare loops, on a machine that has its moods.

use crate::{
    BenchResult,
    figures::{Figures, Limit},
};

/// What a loop is called beside ours, and how much of its rate ours is to reach, in %.
pub(crate) type Baseline = (&'static str, f64);

/// What ours and the loops did, round by round.
pub(crate) struct Comparison<const LOOPS: usize> {
    own: Vec<f64>,
    baseline: Vec<[f64; LOOPS]>,
}

impl<const LOOPS: usize> Comparison<LOOPS> {
    /// Short rounds in turns, as many of each; which of a pair is first changes, so that no drift favours either. Whatever slows the
    /// machine for a moment is in one pair, and the median of their ratios does not hear of it.
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

    /// The medians, and those of the pairs' ratios.
    pub(crate) fn report(
        &self,
        what: &str,
        own: &str,
        unit: &'static str,
        loops: [Baseline; LOOPS],
        figures: &mut Figures,
    ) {
        figures.add_median(format!("{what}: {own}"), &self.own, unit, Limit::None);
        for (at, (name, at_least_percent)) in loops.into_iter().enumerate() {
            let baseline: Vec<f64> = self.baseline.iter().map(|rates| rates[at]).collect();
            let percent: Vec<f64> =
                self.own.iter().zip(&baseline).map(|(own, baseline)| 100.0 * own / baseline).collect();
            figures.add_median(format!("{what}: {name}"), &baseline, unit, Limit::None);
            figures.add_median(format!("{what}: of {name}"), &percent, "%", Limit::AtLeast(at_least_percent));
        }
    }
}
