//! Moves a row with the pointer.

use leptos::ev::DragEvent;

/// Begins to drag the row of the handle that the pointer is on.
#[cfg(feature = "hydrate")]
pub fn begin(event: &DragEvent) {
    let Some(transfer) = event.data_transfer() else { return };
    // Firefox drags only what carries data. Other browsers drag the row even if this fails.
    let _ = transfer.set_data("text/plain", "");
    transfer.set_effect_allowed("move");
    if let Some(row) = row_of(event) {
        transfer.set_drag_image(&row, 16, 16);
    }
}

/// Whether the pointer is over the upper half of the row that handles the event.
#[cfg(feature = "hydrate")]
pub fn is_upper_half(event: &DragEvent) -> bool {
    row_of(event).is_some_and(|row| {
        let area = row.get_bounding_client_rect();
        f64::from(event.client_y()) < area.top() + area.height() / 2.0
    })
}

#[cfg(feature = "hydrate")]
fn row_of(event: &DragEvent) -> Option<web_sys::Element> {
    use wasm_bindgen::JsCast;

    event.target()?.dyn_into::<web_sys::Element>().ok()?.closest("tr").ok()?
}

#[cfg(not(feature = "hydrate"))]
pub fn begin(_event: &DragEvent) {}

#[cfg(not(feature = "hydrate"))]
pub fn is_upper_half(_event: &DragEvent) -> bool {
    false
}
