//! The charts of the overview, and the links between their ranges.

use leptos::prelude::*;
use time::{OffsetDateTime, UtcOffset};
use vwaza::domain::{
    media::format_bytes,
    operations::{BucketWidth, Figure, Metric, OperationsOverview, OperationsRange},
};

use super::chart::{Chart, ChartData, Form, Format, Layer, Tone};
use crate::components::time_ago::day_words;

const BYTES: [Layer; 1] = [Layer { name: "Stored", tone: Tone::Main, form: Form::Bars }];
const UPLOADS: [Layer; 3] = [
    Layer { name: "Stored", tone: Tone::Main, form: Form::Bars },
    Layer { name: "Refused", tone: Tone::Quiet, form: Form::Bars },
    Layer { name: "Failed", tone: Tone::Bad, form: Form::Bars },
];
const JOBS: [Layer; 1] = [Layer { name: "Due jobs", tone: Tone::Main, form: Form::Bars }];
const DURATIONS: [Layer; 2] = [
    Layer { name: "Slowest", tone: Tone::Quiet, form: Form::Steps },
    Layer { name: "Average", tone: Tone::Main, form: Form::Steps },
];
const MEMORY: [Layer; 1] = [Layer { name: "Memory", tone: Tone::Main, form: Form::Steps }];
const DISKS: [Layer; 2] = [
    Layer { name: "Storage", tone: Tone::Quiet, form: Form::Steps },
    Layer { name: "Spool", tone: Tone::Main, form: Form::Steps },
];

/// The links between the ranges that the charts show.
#[component]
pub fn RangeLinks(path: &'static str, range: Memo<OperationsRange>) -> impl IntoView {
    let links = OperationsRange::ALL
        .into_iter()
        .map(|of| {
            let address =
                if of == OperationsRange::default() { path.to_owned() } else { format!("{path}?range={}", of.slug()) };
            view! {
                <li>
                    <a class="tab" href=address aria-current=move || (range.get() == of).then_some("true")>{of.label()}</a>
                </li>
            }
        })
        .collect_view();
    view! { <nav aria-label="Time in the charts"><ul class="tabs">{links}</ul></nav> }
}

#[component]
pub fn Charts(overview: Signal<Option<OperationsOverview>>) -> impl IntoView {
    let chart = move |data: fn(&OperationsOverview) -> ChartData| {
        Signal::derive(move || overview.with(|overview| overview.as_ref().map_or_else(no_data, data)))
    };
    view! {
        <div class="charts">
            <Chart id="stored" title="Stored bytes" layers=&BYTES data=chart(stored_bytes)/>
            <Chart id="uploads" title="Uploads" layers=&UPLOADS data=chart(uploads)/>
            <Chart id="due" title="Jobs that wait" layers=&JOBS data=chart(due_jobs)/>
            <Chart id="storage" title="Latency of the storage" layers=&DURATIONS data=chart(storage_latency)/>
            <Chart id="database" title="Latency of the database" layers=&DURATIONS data=chart(database_latency)/>
            <Chart id="memory" title="Memory" layers=&MEMORY data=chart(memory)/>
            <Chart id="disks" title="Disk left" layers=&DISKS data=chart(disks)/>
        </div>
    }
}

/// Stands in before the first answer, which the page waits for.
fn no_data() -> ChartData {
    ChartData {
        summary: String::new(),
        values: vec![Vec::new(); UPLOADS.len()],
        format: Format::Count,
        times: Vec::new(),
    }
}

fn stored_bytes(overview: &OperationsOverview) -> ChartData {
    let figures = overview.figures(Metric::UploadsStored);
    let summary = match total(&figures) {
        Some(stored) => format!(
            "{} in this time, and at most {} in {}.",
            Format::Bytes.format(stored.sum),
            Format::Bytes.format(highest(&figures, |figure| figure.sum)),
            bucket_words(overview.range)
        ),
        None => "Nothing was stored in this time.".to_owned(),
    };
    chart(overview, summary, Format::Bytes, vec![each(&figures, |figure| figure.sum)])
}

#[expect(clippy::cast_precision_loss, reason = "an approximate figure is good enough for a chart")]
fn uploads(overview: &OperationsOverview) -> ChartData {
    let rows =
        [Metric::UploadsStored, Metric::UploadsRefused, Metric::UploadsFailed].map(|metric| overview.figures(metric));
    let [stored, refused, failed] = rows.each_ref().map(|figures| total(figures).map_or(0, |total| total.count.max(0)));
    let summary = match stored + refused + failed {
        0 => "No upload ended in this time.".to_owned(),
        _ => format!("{stored} stored, {refused} refused, {failed} failed."),
    };
    let values = rows.iter().map(|figures| each(figures, |figure| figure.count.max(0) as f64)).collect();
    chart(overview, summary, Format::Count, values)
}

fn due_jobs(overview: &OperationsOverview) -> ChartData {
    let figures = overview.figures(Metric::JobsDue);
    let summary = match total(&figures) {
        Some(total) => format!("At most {:.0} at once, and {:.0} on average.", total.max, total.mean()),
        None => nothing_measured(),
    };
    chart(overview, summary, Format::Count, vec![each(&figures, |figure| figure.max)])
}

fn storage_latency(overview: &OperationsOverview) -> ChartData {
    latency(overview, Metric::StorageSeconds)
}

fn database_latency(overview: &OperationsOverview) -> ChartData {
    latency(overview, Metric::DatabaseSeconds)
}

fn latency(overview: &OperationsOverview, metric: Metric) -> ChartData {
    let figures = overview.figures(metric);
    let summary = match total(&figures) {
        Some(total) => format!(
            "{} on average, and {} at most.",
            Format::Seconds.format(total.mean()),
            Format::Seconds.format(total.max)
        ),
        None => nothing_measured(),
    };
    let values = vec![each(&figures, |figure| figure.max), each(&figures, Figure::mean)];
    chart(overview, summary, Format::Seconds, values)
}

fn memory(overview: &OperationsOverview) -> ChartData {
    let figures = overview.figures(Metric::MemoryBytes);
    let summary = match total(&figures) {
        Some(total) => format!("A process used at most {}.", Format::Bytes.format(total.max)),
        None => nothing_measured(),
    };
    chart(overview, summary, Format::Bytes, vec![each(&figures, |figure| figure.max)])
}

fn disks(overview: &OperationsOverview) -> ChartData {
    let [storage, spool] = [Metric::StorageFreeBytes, Metric::SpoolFreeBytes].map(|metric| overview.figures(metric));
    let least = |figures| total(figures).map(|total: Figure| Format::Bytes.format(total.min));
    let summary = match (least(&spool), least(&storage)) {
        (Some(spool), Some(storage)) => format!("At least {spool} for the spool and {storage} for the storage."),
        (Some(spool), None) => format!("At least {spool} for the spool."),
        (None, Some(storage)) => format!("At least {storage} for the storage."),
        (None, None) => nothing_measured(),
    };
    chart(
        overview,
        summary,
        Format::Bytes,
        [storage, spool].map(|figures| each(&figures, |figure| figure.min)).to_vec(),
    )
}

fn nothing_measured() -> String {
    "Nothing was measured in this time.".to_owned()
}

fn chart(overview: &OperationsOverview, summary: String, format: Format, values: Vec<Vec<Option<f64>>>) -> ChartData {
    let (range, now) = (overview.range, overview.now);
    let times = (0..range.buckets()).map(|bucket| bucket_label(range, range.bucket_begin(bucket, now))).collect();
    ChartData { summary, values, format, times }
}

fn each(figures: &[Option<Figure>], value: impl Fn(Figure) -> f64) -> Vec<Option<f64>> {
    figures.iter().map(|figure| figure.map(&value)).collect()
}

fn total(figures: &[Option<Figure>]) -> Option<Figure> {
    figures.iter().flatten().copied().reduce(Figure::and)
}

fn highest(figures: &[Option<Figure>], value: impl Fn(Figure) -> f64) -> f64 {
    figures.iter().flatten().map(|figure| value(*figure)).fold(0.0, f64::max)
}

/// "a minute".
fn bucket_words(range: OperationsRange) -> &'static str {
    match range.width() {
        BucketWidth::Minute => "a minute",
        BucketWidth::Hour => "an hour",
        BucketWidth::Day => "a day",
    }
}

/// The begin of a bucket in UTC, because the server draws the chart and doesn't know the reader's zone.
fn bucket_label(range: OperationsRange, begins_at: OffsetDateTime) -> String {
    let at = begins_at.to_offset(UtcOffset::UTC);
    match range.width() {
        BucketWidth::Minute | BucketWidth::Hour => format!("{:02}:{:02} UTC", at.hour(), at.minute()),
        BucketWidth::Day => day_words(at.date()),
    }
}

/// "1.2 GB", of a count that the database holds.
pub fn bytes_words(bytes: i64) -> String {
    format_bytes(u64::try_from(bytes).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;
    use vwaza::domain::{
        health::{Health, StorageHealth, WorkerHealth},
        integrity::IntegrityStatus,
        operations::{Series, UploadTotals},
    };

    use super::*;

    fn overview(range: OperationsRange, series: Vec<Series>) -> OperationsOverview {
        let none = UploadTotals::default();
        OperationsOverview {
            health: Health { database_is_up: true, storage: StorageHealth::Ok, worker: WorkerHealth::Ok },
            now: datetime!(2026-03-10 14:05:30 UTC),
            last_hour: none,
            last_day: none,
            last_week: none,
            range,
            series,
            jobs: Vec::new(),
            oldest_due_seconds: None,
            changed_files: 0,
            circuit_changes: Vec::new(),
            processes: Vec::new(),
            integrity_is_on: true,
            integrity: IntegrityStatus::default(),
            damaged_releases: Vec::new(),
            backup: None,
        }
    }

    #[test]
    fn a_chart_says_in_words_what_it_draws() {
        let mut figures = vec![None; 24];
        figures[3] = Some(Figure { count: 2, sum: 0.5, min: 0.1, max: 0.4 });
        figures[23] = Some(Figure::of(0.1));
        let overview = overview(OperationsRange::Day, vec![Series { metric: Metric::StorageSeconds, figures }]);
        let latency = storage_latency(&overview);
        assert_eq!(latency.summary, "200 ms on average, and 400 ms at most.");
        assert_eq!((latency.values[0][3], latency.values[1][3]), (Some(0.4), Some(0.25)));
        assert_eq!(stored_bytes(&overview).summary, "Nothing was stored in this time.");
        assert_eq!(uploads(&overview).summary, "No upload ended in this time.");
        assert_eq!(memory(&overview).summary, "Nothing was measured in this time.");
    }

    #[test]
    fn the_latest_bucket_is_at_the_right() {
        for (range, first, last) in [
            (OperationsRange::Hour, "13:06 UTC", "14:05 UTC"),
            (OperationsRange::Day, "15:00 UTC", "14:00 UTC"),
            (OperationsRange::Week, "4 Mar", "10 Mar"),
            (OperationsRange::Quarter, "11 Dec", "10 Mar"),
        ] {
            let times = memory(&overview(range, Vec::new())).times;
            assert_eq!(
                (times.len(), times[0].as_str(), times.last().unwrap().as_str()),
                (range.buckets(), first, last)
            );
        }
    }
}
