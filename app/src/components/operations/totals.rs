//! The table of what became of uploads in the last hour, day and week.

use leptos::prelude::*;
use vwaza::domain::operations::UploadTotals;

use super::charts::bytes_words;

const HOUR_SECONDS: i64 = 60 * 60;
/// The seconds of an hour, a day and a week, in the order of the columns.
const SECONDS: [i64; 3] = [HOUR_SECONDS, 24 * HOUR_SECONDS, 7 * 24 * HOUR_SECONDS];

/// `totals` are those of the last hour, the last day and the last week.
#[component]
pub fn UploadTotalsTable(#[prop(into)] totals: Signal<[UploadTotals; 3]>) -> impl IntoView {
    let row = move |name: &'static str, cell: fn(UploadTotals, i64) -> String| {
        let cells = (0..SECONDS.len()).map(|column| {
            let words = move || cell(totals.with(|totals| totals[column]), SECONDS[column]);
            view! { <td class="cell-number">{words}</td> }
        });
        view! { <tr><th scope="row">{name}</th>{cells.collect_view()}</tr> }
    };
    view! {
        <table class="table job-table">
            <caption class="visually-hidden">"Uploads that ended in the last hour, day and week"</caption>
            <thead>
                <tr>
                    <th scope="col"><span class="visually-hidden">"Figure"</span></th>
                    <th scope="col" class="cell-number">"Hour"</th>
                    <th scope="col" class="cell-number">"Day"</th>
                    <th scope="col" class="cell-number">"Week"</th>
                </tr>
            </thead>
            <tbody>
                {row("Success rate", |totals, _| rate_words(totals))}
                {row("Throughput", throughput_words)}
                {row("Stored", |totals, _| totals.stored.to_string())}
                {row("Refused", |totals, _| totals.refused.to_string())}
                {row("Failed", |totals, _| totals.failed.to_string())}
            </tbody>
        </table>
        <p class="meta job-table-foot">
            "The success rate is the share of stored uploads among those that were stored or failed. A refused file is neither a cover nor \
             a track, so it counts for neither."
        </p>
    }
}

/// "99.3 %". It says "100 %" only if nothing failed.
fn rate_words(totals: UploadTotals) -> String {
    match totals.success_rate() {
        None => "–".to_owned(),
        Some(rate) if totals.failed > 0 => format!("{:.1} %", (rate * 100.0).min(99.9)),
        Some(rate) => format!("{:.0} %", rate * 100.0),
    }
}

/// "18 GB, 5.2 MB/s".
fn throughput_words(totals: UploadTotals, seconds: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the result has three digits")]
    let rate = totals.stored_bytes as f64 / seconds as f64 / 1024.0;
    let rate = match rate {
        ..1.0 => "less than 1 kB/s".to_owned(),
        1.0..1024.0 => format!("{rate:.0} kB/s"),
        _ => format!("{:.1} MB/s", rate / 1024.0),
    };
    match totals.stored_bytes {
        0 => "–".to_owned(),
        bytes => format!("{}, {rate}", bytes_words(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_never_rounded_to_a_success_that_was_none() {
        let totals = |stored, failed| UploadTotals { stored, failed, ..UploadTotals::default() };
        for (of, words) in
            [(totals(0, 0), "–"), (totals(3, 0), "100 %"), (totals(3, 1), "75.0 %"), (totals(100_000, 1), "99.9 %")]
        {
            assert_eq!(rate_words(of), words);
        }
    }

    #[test]
    fn throughput_is_the_size_and_the_mean_rate() {
        let of = |stored_bytes| UploadTotals { stored_bytes, ..UploadTotals::default() };
        assert_eq!(throughput_words(of(0), 3600), "–");
        assert_eq!(throughput_words(of(1024 * 1024), 3600), "1.0 MB, less than 1 kB/s");
        assert_eq!(throughput_words(of(36 * 1024 * 1024), 3600), "36 MB, 10 kB/s");
        assert_eq!(throughput_words(of(36 * 1024 * 1024 * 1024), 3600), "36 GB, 10.2 MB/s");
    }
}
