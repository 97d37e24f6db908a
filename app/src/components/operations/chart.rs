//! A chart: figures of buckets of time, from left to right, as SVG that the server draws. Labels are HTML around the
//! drawing, so that they are as large as other text at every width.

use std::fmt::Write;

use leptos::prelude::*;

/// The drawing's box in its own units. The page stretches the box to the room that there is.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 120.0;
/// The part of a bucket's width that its bar leaves free.
const BAR_GAP: f64 = 0.2;

/// How one row of values is drawn and named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    pub name: &'static str,
    pub tone: Tone,
    pub form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Main,
    Quiet,
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Main => "tone-main",
            Self::Quiet => "tone-quiet",
            Self::Bad => "tone-bad",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A bar for each bucket, on top of the bars of the layers before it.
    Bars,
    /// A line that steps from bucket to bucket and breaks where there is no value.
    Steps,
}

/// The content of a chart at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ChartData {
    /// A sentence that says what the chart shows.
    pub summary: String,
    /// For each layer its values. All have the same number, and `None` is a bucket without a value.
    pub values: Vec<Vec<Option<f64>>>,
    pub format: Format,
    /// The label of each bucket.
    pub times: Vec<String>,
}

/// The unit of a chart's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Count,
    Bytes,
    /// Seconds, shown in milliseconds as long as they are few.
    Seconds,
}

impl Format {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and not negative")]
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Count => format!("{value:.0}"),
            Self::Bytes => vwaza::domain::media::format_bytes(value.max(0.0) as u64),
            Self::Seconds if value < 0.000_95 => format!("{:.1} ms", value * 1000.0),
            Self::Seconds if value < 0.9995 => format!("{:.0} ms", value * 1000.0),
            Self::Seconds => format!("{value:.1} s"),
        }
    }

    /// The value at the upper edge of a chart whose highest value is `highest`: a round number.
    fn top(self, highest: f64) -> f64 {
        const MIB: f64 = 1024.0 * 1024.0;
        match self {
            Self::Count => round_up(highest.max(1.0)),
            Self::Bytes if highest > 1024.0 * MIB => 1024.0 * MIB * round_up(highest / 1024.0 / MIB),
            Self::Bytes => MIB * round_up((highest / MIB).max(1.0)),
            Self::Seconds => round_up(highest.max(0.001)),
        }
    }
}

/// The smallest number of the form 1, 2 or 5 times a power of ten that is at least `value`, which is positive.
fn round_up(value: f64) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    let rounded = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * power).find(|rounded| *rounded >= value);
    rounded.unwrap_or(10.0 * power)
}

impl ChartData {
    fn top(&self, layers: &[Layer]) -> f64 {
        let buckets = self.times.len();
        let value = |layer: usize, bucket: usize| self.values[layer][bucket].unwrap_or(0.0);
        let of_layers = |form| (0..layers.len()).filter(move |layer| layers[*layer].form == form);
        let stacked = (0..buckets).map(|bucket| of_layers(Form::Bars).map(|layer| value(layer, bucket)).sum::<f64>());
        let lines = (0..buckets).flat_map(|bucket| of_layers(Form::Steps).map(move |layer| value(layer, bucket)));
        self.format.top(stacked.chain(lines).fold(0.0, f64::max))
    }

    /// The attribute `d` of a layer's path.
    fn path(&self, layers: &[Layer], layer: usize) -> String {
        let top = self.top(layers);
        match layers[layer].form {
            Form::Steps => step_path(&self.values[layer], top),
            Form::Bars => {
                let below = |bucket: usize| {
                    let bars = (0..layer).filter(|below| layers[*below].form == Form::Bars);
                    bars.map(|below| self.values[below][bucket].unwrap_or(0.0)).sum::<f64>()
                };
                let bars = self.values[layer].iter().enumerate();
                let bars: Vec<_> = bars.map(|(bucket, value)| (below(bucket), value.unwrap_or(0.0))).collect();
                bar_path(&bars, top)
            }
        }
    }
}

fn bucket_width(buckets: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are at most a hundred buckets")]
    let buckets = buckets.max(1) as f64;
    WIDTH / buckets
}

#[expect(clippy::cast_precision_loss, reason = "there are at most a hundred buckets")]
fn left_of(bucket: usize, buckets: usize) -> f64 {
    bucket as f64 * bucket_width(buckets)
}

/// The height of a value above the lower edge. What is higher than the chart is cut off.
fn height_of(value: f64, top: f64) -> f64 {
    (value / top * HEIGHT).clamp(0.0, HEIGHT)
}

/// Draws a bar for each value that is not zero. `bars` holds the sum of the bars below and the bar's own value.
fn bar_path(bars: &[(f64, f64)], top: f64) -> String {
    let (mut path, width) = (String::new(), bucket_width(bars.len()));
    for (bucket, (below, value)) in bars.iter().enumerate().filter(|(_, (_, value))| *value > 0.0) {
        let (left, bar) = (left_of(bucket, bars.len()) + width * BAR_GAP / 2.0, width * (1.0 - BAR_GAP));
        let (bottom, upper) = (HEIGHT - height_of(*below, top), HEIGHT - height_of(below + value, top));
        // Writing to a string does not fail.
        let _ = write!(path, "M{left:.1} {bottom:.1}V{upper:.1}h{bar:.1}V{bottom:.1}z");
    }
    path
}

/// Draws a level line across each bucket with a value, joined to the one before it.
fn step_path(values: &[Option<f64>], top: f64) -> String {
    let (mut path, mut is_joined) = (String::new(), false);
    for (bucket, value) in values.iter().enumerate() {
        if let Some(value) = value {
            let (left, right) = (left_of(bucket, values.len()), left_of(bucket + 1, values.len()));
            let y = HEIGHT - height_of(*value, top);
            let _ = if is_joined { write!(path, "V{y:.1}") } else { write!(path, "M{left:.1} {y:.1}") };
            let _ = write!(path, "H{right:.1}");
        }
        is_joined = value.is_some();
    }
    path
}

/// Shows a chart with its title, its summary and, on demand, the table of its values. `id` is unique on the page.
#[component]
pub fn Chart(
    id: &'static str,
    title: &'static str,
    layers: &'static [Layer],
    #[prop(into)] data: Signal<ChartData>,
) -> impl IntoView {
    let data = Memo::new(move |_| data.get());
    let (title_id, summary_id) = (format!("{id}-title"), format!("{id}-summary"));
    let labelled_by = format!("{title_id} {summary_id}");
    let paths = (0..layers.len())
        .map(|layer| {
            let class = match layers[layer].form {
                Form::Bars => format!("chart-bars {}", layers[layer].tone.class()),
                Form::Steps => format!("chart-steps {}", layers[layer].tone.class()),
            };
            view! { <path class=class d=move || data.with(|data| data.path(layers, layer))></path> }
        })
        .collect_view();
    let top = move || data.with(|data| data.format.format(data.top(layers)));
    let edge = move |of: fn(&[String]) -> Option<&String>| data.with(|data| of(&data.times).cloned());
    let grid = format!("M0 0H{WIDTH}M0 {0}H{WIDTH}M0 {HEIGHT}H{WIDTH}", HEIGHT / 2.0);
    view! {
        <figure class="chart">
            <figcaption>
                <h3 class="chart-title" id=title_id>{title}</h3>
                <p class="meta" id=summary_id>{move || data.with(|data| data.summary.clone())}</p>
            </figcaption>
            <Legend layers=layers/>
            <p class="chart-label" aria-hidden="true">{top}</p>
            <svg
                class="chart-drawing"
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-labelledby=labelled_by
            >
                <path class="chart-grid" d=grid></path>
                {paths}
            </svg>
            <p class="chart-label chart-times" aria-hidden="true">
                <span>{move || edge(|times| times.first())}</span>
                <span>{move || edge(|times| times.last())}</span>
            </p>
            <details class="chart-values">
                <summary>"Values"<span class="visually-hidden">{format!(" of {title}")}</span></summary>
                <ValueTable title=title layers=layers data=data/>
            </details>
        </figure>
    }
}

/// Names the layers, if there are several.
#[component]
fn Legend(layers: &'static [Layer]) -> impl IntoView {
    (layers.len() > 1).then(|| {
        let names = layers
            .iter()
            .map(|layer| {
                let class = format!("chart-key {}", layer.tone.class());
                view! { <li><span class=class aria-hidden="true"></span>{layer.name}</li> }
            })
            .collect_view();
        view! { <ul class="chart-legend">{names}</ul> }
    })
}

#[component]
fn ValueTable(title: &'static str, layers: &'static [Layer], data: Memo<ChartData>) -> impl IntoView {
    let heads =
        layers.iter().map(|layer| view! { <th scope="col" class="cell-number">{layer.name}</th> }).collect_view();
    let rows = move || {
        data.with(|data| {
            let rows = data.times.iter().enumerate().rev().map(|(bucket, time)| {
                let cells = data.values.iter().map(|values| match values[bucket] {
                    Some(value) => view! { <td class="cell-number">{data.format.format(value)}</td> }.into_any(),
                    None => view! { <td class="cell-number cell-quiet">"–"</td> }.into_any(),
                });
                view! { <tr><th scope="row">{time.clone()}</th>{cells.collect_view()}</tr> }
            });
            rows.collect_view()
        })
    };
    view! {
        <table class="table job-table">
            <caption class="visually-hidden">{format!("{title}, the latest first")}</caption>
            <thead><tr><th scope="col">"From (UTC)"</th>{heads}</tr></thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARS: [Layer; 2] = [
        Layer { name: "Stored", tone: Tone::Main, form: Form::Bars },
        Layer { name: "Failed", tone: Tone::Bad, form: Form::Bars },
    ];

    fn data(values: Vec<Vec<Option<f64>>>) -> ChartData {
        let times = values[0].iter().map(|_| String::new()).collect();
        ChartData { summary: String::new(), values, format: Format::Count, times }
    }

    #[test]
    fn bars_stand_on_each_other_and_reach_the_top_together() {
        let data = data(vec![vec![Some(6.0), None, Some(1.0)], vec![Some(4.0), Some(5.0), None]]);
        assert_eq!(data.top(&BARS), 10.0);
        assert_eq!(data.path(&BARS, 0), "M20.0 120.0V48.0h160.0V120.0zM420.0 120.0V108.0h160.0V120.0z");
        assert_eq!(data.path(&BARS, 1), "M20.0 48.0V0.0h160.0V48.0zM220.0 120.0V60.0h160.0V120.0z");
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured() {
        let values = [Some(1.0), Some(2.0), None, Some(2.0)];
        assert_eq!(step_path(&values, 2.0), "M0.0 60.0H150.0V0.0H300.0M450.0 0.0H600.0");
    }

    #[test]
    fn a_chart_without_values_draws_nothing() {
        let data = data(vec![vec![None; 60], vec![None; 60]]);
        assert_eq!((data.path(&BARS, 0), data.path(&BARS, 1)), (String::new(), String::new()));
        assert_eq!(data.top(&BARS), 1.0);
    }

    #[test]
    fn everything_is_inside_the_box() {
        for value in [0.0, 1e-9, 0.5, 1.0, 3.0, 999.0, 1e15] {
            for format in [Format::Count, Format::Bytes, Format::Seconds] {
                let top = format.top(value);
                assert!(top >= value && top.is_finite(), "{value} {format:?} {top}");
                assert!((0.0..=HEIGHT).contains(&height_of(value, top)));
            }
        }
    }

    #[test]
    fn values_have_the_unit_that_people_would_use() {
        for (format, value, words) in [
            (Format::Count, 41.0, "41"),
            (Format::Bytes, 5.0 * 1024.0 * 1024.0, "5.0 MB"),
            (Format::Seconds, 0.0004, "0.4 ms"),
            (Format::Seconds, 0.012, "12 ms"),
            (Format::Seconds, 1.25, "1.2 s"),
        ] {
            assert_eq!(format.format(value), words);
        }
    }
}
