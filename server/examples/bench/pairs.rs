//! Our rate beside that of bare loops, on a machine that has its moods.

use crate::{
    Outcome,
    figures::{Figures, Limit},
};

/// What a loop is called beside ours, and how much of its rate ours is to reach, in %.
pub(crate) type Bare = (&'static str, f64);

/// What ours and the loops did, round by round.
pub(crate) struct Pairs<const LOOPS: usize> {
    own: Vec<f64>,
    bare: Vec<[f64; LOOPS]>,
}

impl<const LOOPS: usize> Pairs<LOOPS> {
    /// Short rounds in turns, as many of each; which of a pair is first changes, so that no drift favours either. Whatever slows the
    /// machine for a moment is in one pair, and the median of their ratios does not hear of it.
    pub(crate) async fn measure(
        count: usize,
        mut own: impl AsyncFnMut() -> Outcome<f64>,
        mut bare: impl AsyncFnMut() -> Outcome<[f64; LOOPS]>,
    ) -> Outcome<Self> {
        let mut pairs = Self { own: Vec::new(), bare: Vec::new() };
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

    /// The medians, and those of the pairs' ratios.
    pub(crate) fn report(
        &self,
        what: &str,
        own: &str,
        unit: &'static str,
        loops: [Bare; LOOPS],
        figures: &mut Figures,
    ) {
        figures.add_median(format!("{what}: {own}"), &self.own, unit, Limit::None);
        for (at, (name, at_least_percent)) in loops.into_iter().enumerate() {
            let bare: Vec<f64> = self.bare.iter().map(|rates| rates[at]).collect();
            let percent: Vec<f64> = self.own.iter().zip(&bare).map(|(own, bare)| 100.0 * own / bare).collect();
            figures.add_median(format!("{what}: {name}"), &bare, unit, Limit::None);
            figures.add_median(format!("{what}: of {name}"), &percent, "%", Limit::AtLeast(at_least_percent));
        }
    }
}
