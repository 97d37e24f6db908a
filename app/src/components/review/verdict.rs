//! The verdict: approve or reject, by click, by key, or without JavaScript by plain form.

use leptos::{ev::SubmitEvent, html, prelude::*};
use vwaza::domain::{
    ids::ReleaseId,
    page::Count,
    review::{QUICK_REASONS, REASON_MAX_CHARS, Reason, Verdict},
};

use super::{
    reasons::{has_reason, toggle_reason},
    table::count,
};
use crate::{
    components::{
        dialog::Dialog,
        error_note::ErrorNote,
        field::described_by,
        focus,
        form::{FormErrors, SubmitButton, is_alive},
        icon::{Icon, IconName},
        keyboard,
    },
    error::AppError,
};

/// The release that a verdict is about, as the forms send it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReviewedVersion {
    pub id: ReleaseId,
    /// The version that the reviewer sees.
    pub version: i64,
}

/// The addresses of the forms, for browsers without JavaScript.
#[derive(Clone, Copy, Debug)]
pub struct FormAddresses {
    pub approve: &'static str,
    pub reject: &'static str,
}

/// The verdict that is being written or sent. The page keeps it, so that a half-written reason survives a change of the
/// release.
#[derive(Clone, Copy)]
pub struct VerdictDraft {
    pub reason: RwSignal<String>,
    pub is_rejecting: RwSignal<bool>,
    pub pending: Signal<bool>,
    pub error: Signal<Option<AppError>>,
}

/// The bar is fixed at the bottom, above the player.
#[component]
pub fn VerdictBar(
    subject: ReviewedVersion,
    /// The warnings that approving asks about first.
    warnings: Vec<String>,
    addresses: FormAddresses,
    draft: VerdictDraft,
    on_verdict: Callback<Verdict>,
    on_reload: Callback<()>,
) -> impl IntoView {
    let has_warnings = !warnings.is_empty();
    let is_confirming = RwSignal::new(false);
    let approve = move || {
        if has_warnings {
            is_confirming.set(true);
        } else {
            on_verdict.run(Verdict::Approve);
        }
    };
    keyboard::on_key(move |key| {
        match key {
            // The key that opened the dialog must not answer it.
            _ if is_confirming.get_untracked() => return false,
            "a" | "A" => approve(),
            "r" | "R" => draft.is_rejecting.set(true),
            _ => return false,
        }
        true
    });
    let note = move || draft.error.get().filter(|error| error.fields.is_empty());
    view! {
        <section class="bottom-bar" aria-label="Verdict">
            <div class="verdict-inner">
                {move || note().map(|error| view! { <VerdictError error=error id=subject.id on_reload=on_reload/> })}
                <div class="verdict-row">
                    <p class="verdict-words">{warning_words(&warnings)}</p>
                    <RejectForm subject=subject address=addresses.reject draft=draft on_verdict=on_verdict/>
                    <form
                        method="post"
                        action=addresses.approve
                        on:submit=move |event: SubmitEvent| {
                            event.prevent_default();
                            approve();
                        }
                    >
                        <ReviewedVersionFields subject=subject/>
                        <SubmitButton pending=draft.pending label="Approve" icon=IconName::Check/>
                    </form>
                </div>
            </div>
        </section>
        <ConfirmApproval is_confirming warnings on_approve=Callback::new(move |()| on_verdict.run(Verdict::Approve))/>
    }
}

/// The number of warnings and their places.
fn warning_words(warnings: &[String]) -> AnyView {
    if warnings.is_empty() {
        return view! { <span class="meta">"No warnings"</span> }.into_any();
    }
    let mut parts_with_warnings: Vec<_> =
        warnings.iter().filter_map(|warning| Some(warning.split_once(':')?.0)).collect();
    parts_with_warnings.dedup();
    let words = format!(
        "{}: {}",
        count(Count::of(warnings.len() as i64), "warning", "warnings"),
        parts_with_warnings.join(", ")
    );
    view! { <span class="file-line file-line-bad"><Icon name=IconName::Warning/>{words}</span> }.into_any()
}

/// The hidden fields of both forms.
#[component]
fn ReviewedVersionFields(subject: ReviewedVersion) -> impl IntoView {
    view! {
        <input type="hidden" name="id" value=subject.id.to_string()/>
        <input type="hidden" name="version" value=subject.version.to_string()/>
    }
}

/// Shows why the verdict was refused, and a link to the release as it is now.
#[component]
fn VerdictError(error: AppError, id: ReleaseId, on_reload: Callback<()>) -> impl IntoView {
    view! {
        <div class="verdict-error">
            <ErrorNote error/>
            <a class="btn" href=format!("/review/{id}") on:click=move |_| on_reload.run(())>
                <Icon name=IconName::Retry/>
                "Reload the release"
            </a>
            <a class="link" href="/review">
                "Back to the queue"
            </a>
        </div>
    }
}

#[component]
fn ConfirmApproval(is_confirming: RwSignal<bool>, warnings: Vec<String>, on_approve: Callback<()>) -> impl IntoView {
    let warnings = warnings.into_iter().map(|warning| view! { <li>{warning}</li> }).collect_view();
    let approve = move |_| {
        is_confirming.set(false);
        on_approve.run(());
    };
    view! {
        <Dialog open=is_confirming title="Approve with warnings">
            <p>"Stores may refuse or change this release because of these warnings:"</p>
            <ul class="verdict-warnings">{warnings}</ul>
            <div class="dialog-actions">
                <button type="button" class="btn" on:click=move |_| is_confirming.set(false)>
                    "Keep listening"
                </button>
                // The button has the focus, so that Enter answers.
                <button type="button" class="btn btn-primary" autofocus on:click=approve>
                    "Approve anyway"
                </button>
            </div>
        </Dialog>
    }
}

/// Opens above the bar and leaves the page behind it usable: a reviewer listens while writing the reason.
#[component]
fn RejectForm(
    subject: ReviewedVersion,
    address: &'static str,
    draft: VerdictDraft,
    on_verdict: Callback<Verdict>,
) -> impl IntoView {
    let VerdictDraft { reason, is_rejecting, pending, error } = draft;
    let refused = RwSignal::new(None::<AppError>);
    let is_alive = is_alive();
    let errors = FormErrors::of(move || refused.get().or_else(|| error.get()));
    let send = move |event: SubmitEvent| {
        event.prevent_default();
        let parsed = Reason::parse(&reason.read_untracked());
        refused.set(parsed.as_ref().err().cloned().map(AppError::from));
        if let Ok(reason) = parsed {
            on_verdict.run(Verdict::Reject { reason });
        }
    };
    view! {
        <RejectPanel is_rejecting>
            <form class="reject-form" method="post" action=address novalidate on:submit=send>
                <ReviewedVersionFields subject=subject/>
                <Show when=move || is_alive.get()>
                    <QuickReasons reason=reason/>
                </Show>
                <ReasonField reason is_rejecting error=errors.field("reason")/>
                // The buttons stay in sight if the reasons are long.
                <div class="dialog-actions">
                    <Show when=move || is_alive.get()>
                        <button type="button" class="btn" on:click=move |_| close(is_rejecting)>
                            "Cancel"
                        </button>
                    </Show>
                    <SubmitButton pending label="Reject with this reason" class="btn btn-danger"/>
                </div>
            </form>
        </RejectPanel>
    }
}

#[component]
fn RejectPanel(is_rejecting: RwSignal<bool>, children: Children) -> impl IntoView {
    view! {
        <details
            class="reject"
            open=move || is_rejecting.get()
            on:toggle=move |event| is_rejecting.set(event_target::<leptos::web_sys::Element>(&event).has_attribute("open"))
            on:keydown=move |event| {
                if event.key() == "Escape" {
                    close(is_rejecting);
                }
            }
        >
            <summary class="btn btn-danger" id="reject" aria-keyshortcuts="R">
                <Icon name=IconName::Close/>
                "Reject"
            </summary>
            <div class="reject-panel" role="dialog" aria-labelledby="reject-title">
                <h2 class="dialog-title" id="reject-title">
                    "Reject this release"
                </h2>
                {children()}
            </div>
        </details>
    }
}

fn close(is_rejecting: RwSignal<bool>) {
    is_rejecting.set(false);
    focus::on("#reject");
}

#[component]
fn ReasonField(reason: RwSignal<String>, is_rejecting: RwSignal<bool>, error: Signal<Option<String>>) -> impl IntoView {
    view! {
        <div class="field">
            <label class="label" for="reason">
                "What the artist has to change"
            </label>
            <textarea
                class="textarea"
                id="reason"
                name="reason"
                rows="3"
                required
                maxlength=REASON_MAX_CHARS.to_string()
                node_ref=reason_text(reason, is_rejecting)
                aria-invalid=move || error.get().map(|_| "true")
                aria-describedby=move || described_by("reason", true, error.get().is_some())
                on:input=move |event| reason.set(event_target_value(&event))
                inner_html=escaped(&reason.get_untracked())
            ></textarea>
            <p class="hint" id="reason-hint">
                "The artist reads this word for word."
            </p>
            {move || error.get().map(|message| view! { <p class="field-error" id="reason-error">{message}</p> })}
        </div>
    }
}

/// The element of the reason. It gets the focus while the panel is open, and shows every change of `reason`.
fn reason_text(reason: RwSignal<String>, is_rejecting: RwSignal<bool>) -> NodeRef<html::Textarea> {
    let text = NodeRef::<html::Textarea>::new();
    Effect::new(move || {
        if let (true, Some(text)) = (is_rejecting.get(), text.get()) {
            // `focus` fails only for an element that is not in the page.
            let _ = text.focus();
        }
    });
    // Text that was typed before the page was hydrated becomes the reason.
    Effect::new(move |was_there: Option<bool>| {
        let Some(text) = text.get() else { return false };
        let now = reason.get();
        if was_there != Some(true) && now.is_empty() {
            reason.set(text.value());
        } else if text.value() != now {
            text.set_value(&now);
        }
        true
    });
    text
}

/// Escapes text that is set as the whole content of an element. An empty text as a child would become a space on the
/// server.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Common reasons, one click each.
#[component]
fn QuickReasons(reason: RwSignal<String>) -> impl IntoView {
    let picks = QUICK_REASONS.map(|pick| {
        view! {
            <label class="quick-reason">
                <input
                    type="checkbox"
                    class="checkbox"
                    prop:checked=move || reason.with(|text| has_reason(text, pick))
                    on:change=move |_| reason.update(|text| *text = toggle_reason(text, pick))
                />
                <span>{pick}</span>
            </label>
        }
    });
    view! {
        <fieldset>
            <legend class="label">"Common reasons"</legend>
            {picks.collect_view()}
        </fieldset>
    }
}
