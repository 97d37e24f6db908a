//! One track under review, with its player, its waveform and its facts.

use leptos::{ev::PointerEvent, prelude::*, wasm_bindgen::JsCast, web_sys::HtmlElement};
use vwaza::domain::{
    files::{AudioFile, listening_url},
    ids::ObjectId,
    media::{
        AudioFacts, format_bytes, format_duration, format_loudness, format_peak, format_sample_peak, format_sample_rate,
    },
    track::TrackView,
};

use super::{checksum::Checksum, finding_list::FindingList, findings::Finding, metadata::Fact};
use crate::{
    components::{status::FileStatus, track_list::PlayButton, waveform::Waveform},
    state::player::{PlayItem, Player},
};

#[component]
pub fn ReviewTrack(
    track: TrackView,
    findings: Vec<Finding>,
    /// The playable tracks of the release.
    queue: StoredValue<Vec<PlayItem>>,
    /// Called to play this object from a fraction of its duration on, in 0..=1.
    on_seek: Callback<(ObjectId, f64)>,
) -> impl IntoView {
    let player = Player::get();
    let title = track.display_title();
    let state = track.state();
    let duration = track.duration_ms().map(format_duration);
    let isrc = track.isrc.as_ref().map(ToString::to_string);
    let object = track.audio.as_ref().filter(|audio| audio.facts.is_some()).map(|audio| audio.object);
    let is_current = move || object.is_some_and(|object| player.is_current(object));
    let listening = object.map(|object| {
        let wave = track.peaks.map(|peaks| {
            let label = format!("Position in {title}");
            let progress = Signal::derive(move || player.position_of(object));
            let on_seek = Callback::new(move |fraction| on_seek.run((object, fraction)));
            view! { <Waveform id=format!("wave-{object}") peaks=peaks label=label progress=progress on_seek=on_seek/> }
        });
        view! {
            <div class="review-track-sound">
                <PlayButton object=object title=title.clone() queue=queue/>
                <div class="review-track-wave" on:pointerup=blur_slider>
                    {wave}
                </div>
            </div>
        }
    });
    let facts = match track.audio {
        Some(audio) if audio.facts.is_some() => view! { <AudioFactList audio isrc/> }.into_any(),
        _ => view! { <FileStatus state=state/> }.into_any(),
    };
    view! {
        <li
            class="review-track"
            aria-current=move || is_current().then_some("true")>
            <div class="review-track-head">
                <span class="track-number">{track.number}</span>
                <h3 class="review-track-title">{title}</h3>
                {track.explicit.then(|| view! { <span class="badge">"Explicit"</span> })}
                <span class="track-duration">{duration}</span>
            </div>
            {listening}
            <FindingList findings/>
            {facts}
        </li>
    }
}

/// Lists the facts that the examination measured.
#[component]
fn AudioFactList(audio: AudioFile, isrc: Option<String>) -> impl IntoView {
    let listen = listen_without_script(&audio);
    let facts = audio.facts.as_ref().map(measured).unwrap_or_default();
    let facts = facts.into_iter().map(|(label, value)| view! { <Fact label=label value=Some(value)/> }).collect_view();
    view! {
        <noscript inner_html=listen></noscript>
        <dl class="review-track-facts">
            {facts}
            <Fact label="ISRC" value=isrc/>
            <Fact label="Size" value=Some(format_bytes(audio.size_bytes.unsigned_abs()))/>
            <Fact label="File" value=Some(audio.file_name)/>
            <Checksum sha256=audio.sha256/>
        </dl>
    }
}

fn measured(facts: &AudioFacts) -> Vec<(&'static str, String)> {
    let unknown = || "Not measurable".to_owned();
    let (container, codec) = (facts.container.label(facts.codec), facts.codec.label());
    let codec = if container == codec { codec.to_owned() } else { format!("{codec} in {container}") };
    let mut measured = vec![
        ("Codec", codec),
        ("Duration", format_duration(facts.duration_ms)),
        ("Sample rate", format_sample_rate(facts.sample_rate_hz)),
        ("Bit depth", facts.bit_depth.map_or_else(|| "None, compressed".to_owned(), |bits| format!("{bits} bit"))),
        ("Channels", if facts.channels == 1 { "Mono".to_owned() } else { "Stereo".to_owned() }),
        ("Loudness", facts.integrated_lufs.map_or_else(unknown, format_loudness)),
        ("True peak", facts.true_peak_dbtp.map_or_else(unknown, format_peak)),
        ("Clipped samples", facts.clipped_samples.to_string()),
    ];
    // Facts that an older version measured have no sample peak.
    if let Some(dbfs) = facts.sample_peak_dbfs {
        measured.push(("Sample peak", format_sample_peak(dbfs)));
    }
    if facts.has_listening_copy {
        measured.push(("Played as", "FLAC copy".to_owned()));
    }
    measured
}

/// The browser's own player, for browsers without JavaScript. It is text, because a browser with JavaScript does not
/// parse the content of `<noscript>`.
fn listen_without_script(audio: &AudioFile) -> String {
    format!(r#"<audio controls preload="none" src="{}"></audio>"#, listening_url(audio.object))
}

/// Takes the focus from the slider after a click into the waveform, so that keys work for the page and not for the
/// slider.
fn blur_slider(event: PointerEvent) {
    if let Some(slider) = event.target().and_then(|target| target.dyn_into::<HtmlElement>().ok()) {
        // `blur` fails only for an element that cannot have the focus.
        let _ = slider.blur();
    }
}

#[cfg(test)]
mod tests {
    use vwaza::domain::media::{AudioCodec, AudioContainer};

    use super::*;

    #[test]
    fn what_was_measured_is_said_with_its_unit() {
        let facts = AudioFacts {
            container: AudioContainer::Mp4,
            codec: AudioCodec::Aac,
            duration_ms: 187_000,
            sample_rate_hz: 44_100,
            bit_depth: None,
            channels: 2,
            integrated_lufs: Some(-14.2),
            true_peak_dbtp: None,
            sample_peak_dbfs: Some(-1.24),
            clipped_samples: 3,
            packaging: vec![],
            has_listening_copy: false,
        };
        let values: Vec<String> = measured(&facts).into_iter().map(|(_, value)| value).collect();
        let said =
            ["AAC", "3:07", "44.1 kHz", "None, compressed", "Stereo", "−14.2 LUFS", "Not measurable", "3", "−1.2 dBFS"];
        assert_eq!(values, said);
    }
}
