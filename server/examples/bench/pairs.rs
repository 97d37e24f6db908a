//! Our rate beside a bare loop's, on a machine that has its moods.

use crate::{
    Outcome,
    figures::{Figures, Limit},
};

/// What both did, pair by pair.
#[derive(Default)]
pub(crate) struct Pairs {
    own: Vec<f64>,
    bare: Vec<f64>,
}

impl Pairs {
    /// Short rounds in turns, as many of each; which of a pair is first changes, so that no drift favours either. Whatever slows the
    /// machine for a moment is in one pair, and the median of their ratios does not hear of it.
    pub(crate) async fn measure(
        count: usize,
        mut own: impl AsyncFnMut() -> Outcome<f64>,
        mut bare: impl AsyncFnMut() -> Outcome<f64>,
    ) -> Outcome<Self> {
        let mut pairs = Self::default();
        for pair in 0..count {
            if pair % 2 == 0 {
                pairs.bare.push(bare().await?);
                pairs.own.push(own().await?);
            } else {
                pairs.own.push(own().await?);
                pairs.bare.push(bare().await?);
            }
        }
        Ok(pairs)
    }

    /// The medians, and that of the pairs' ratios.
    pub(crate) fn report(
        &self,
        what: &str,
        own: &str,
        unit: &'static str,
        at_least_percent: f64,
        figures: &mut Figures,
    ) {
        let percent: Vec<f64> = self.own.iter().zip(&self.bare).map(|(own, bare)| 100.0 * own / bare).collect();
        figures.add_median(format!("{what}: {own}"), &self.own, unit, Limit::None);
        figures.add_median(format!("{what}: a bare loop's"), &self.bare, unit, Limit::None);
        figures.add_median(format!("{what}: of the bare loop"), &percent, "%", Limit::AtLeast(at_least_percent));
    }
}
