//! The waveform of a track: its peaks from left to right.

use leptos::prelude::*;
use vwaza::domain::media::waveform_path;

/// Width of the drawing's box in its own units. The page stretches the box to the room that there is.
const WIDTH: u16 = 400;
const HEIGHT: u16 = 48;

/// Draws a waveform. `progress` is the played fraction, in 0..=1. With `on_seek` the waveform is a slider, which
/// reports the chosen position in 0..=1.
#[component]
pub fn Waveform(
    /// The id of its shape, which the page draws twice.
    id: String,
    peaks: Vec<u8>,
    #[prop(into)] label: String,
    #[prop(optional, into)] progress: Signal<f64>,
    #[prop(optional)] on_seek: Option<Callback<f64>>,
) -> impl IntoView {
    let path = waveform_path(&peaks, WIDTH, HEIGHT);
    let shape = format!("#{id}");
    let view_box = format!("0 0 {WIDTH} {HEIGHT}");
    let slider_label = label.clone();
    // The inner <svg> cuts off what has not been played.
    let drawing = view! {
        <svg
            class="waveform-drawing"
            viewBox=view_box
            preserveAspectRatio="none"
            role=on_seek.is_none().then_some("img")
            aria-label=on_seek.is_none().then_some(label)
            aria-hidden=on_seek.is_some().then_some("true")
        >
            <defs>
                <path id=id d=path></path>
            </defs>
            <use_ class="waveform-all" href=shape.clone()></use_>
            <svg
                width=move || format!("{:.1}", progress.get().clamp(0.0, 1.0) * f64::from(WIDTH))
                height=HEIGHT.to_string()
                overflow="hidden"
            >
                <use_ class="waveform-played" href=shape></use_>
            </svg>
        </svg>
    };
    let slider = on_seek.map(|on_seek| {
        view! {
            <input
                class="waveform-slider"
                type="range"
                min="0"
                max="1"
                step="any"
                value="0"
                aria-label=slider_label
                aria-valuetext=move || percent(progress.get())
                prop:value=move || progress.get().to_string()
                on:input=move |event| {
                    if let Ok(fraction) = event_target_value(&event).parse() {
                        on_seek.run(fraction);
                    }
                }
            />
        }
    });
    view! { <div class="waveform">{drawing}{slider}</div> }
}

fn percent(fraction: f64) -> String {
    format!("{:.0} %", fraction * 100.0)
}
