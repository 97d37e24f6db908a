//! The first step: what the release is called and what stores ask about it.

use leptos::{html, prelude::*, server_fn::ServerFn, wasm_bindgen::JsCast, web_sys::HtmlInputElement};
use leptos_router::hooks::use_navigate;
use vwaza::domain::{
    problem::{FieldErrors, Problem},
    release::{GENRES, LANGUAGES, RawDetails, ReleaseKind, ReleaseView, Step, title_hints},
};

use super::{
    StepHead,
    autosave::{self, Autosave, SaveTrigger, read_form, shown_errors, without_refused},
    form_queue::FormQueue,
    latest::Latest,
};
use crate::{
    api::releases::SaveDetails,
    components::{
        error_note::ErrorNote,
        field::{Field, SelectField, TextField, described_by},
        focus,
    },
    state::flash,
};

#[component]
pub(super) fn DetailsStep(latest: Latest) -> impl IntoView {
    let id = latest.id();
    // One form's answers after another: see `FormQueue`.
    let action = Action::new_unsync(move |form: &SaveDetails| FormQueue::of(id.0).send(form.clone()));
    let form = NodeRef::<html::Form>::new();
    let saved = Memo::new(move |_| latest.with(|release| RawDetails::from(&release.details)));
    // Without scripts the answer to the last form comes with the page.
    let first_answer = flash::form_refusal::<SaveDetails>();
    // What left our lists since it was chosen is marked at once.
    let errors = RwSignal::new(match &first_answer {
        Some(error) => error.fields.clone(),
        None => field_errors_of(&saved.get_untracked()),
    });
    let first_note = first_answer.filter(|error| error.fields.is_empty()).map(|error| view! { <ErrorNote error/> });
    let typed = flash::typed_group::<SaveDetails, RawDetails>("details");
    let left = RwSignal::new(FormQueue::restore(id.0).map(|form: SaveDetails| form.details).or(typed));
    let shown = Memo::new(move |_| left.get().unwrap_or_else(|| saved.get()));
    let sent = StoredValue::new(saved.get_untracked());
    let is_leaving = RwSignal::new(false);

    // What the form holds, without what is refused.
    let read = move || {
        let SaveDetails { details: filled, .. } = read_form(form)?;
        let mut refused = field_errors_of(&filled);
        if has_half_a_date(form) {
            refused.add("release_date", "Fill in day, month and year.");
        }
        Some((saved.with_untracked(|saved| without_refused(&filled, saved, &refused))?, refused))
    };
    let check = move |trigger| {
        let (details, refused) = read()?;
        errors.update(|shown| *shown = shown_errors(refused, shown, trigger));
        Some(details)
    };
    let save = move |trigger| {
        let details = check(trigger);
        if let Some(details) = details.filter(|details| sent.with_value(|sent| sent != details)) {
            sent.set_value(details.clone());
            action.dispatch_local(SaveDetails { id, details });
        }
    };
    let pending = action.pending();
    let unsaved_form = move || {
        let (details, _) = read()?;
        // What was sent last may be on its way yet: typed back, it is news as well.
        let is_new = saved.with_untracked(|saved| *saved != details) || sent.with_value(|sent| *sent != details);
        is_new.then_some(SaveDetails { id, details })
    };
    let autosave = Autosave::new(id.0, latest, pending, save, unsaved_form);
    // What was typed before the page came alive, or before the form was left.
    form.on_load(move |_| {
        if unsaved_form().is_some() {
            autosave.changed();
        }
    });

    Effect::new(move || match action.value().get() {
        Some(Ok(release)) => {
            latest.accept(release);
            left.set(None);
        }
        Some(Err(error)) => {
            is_leaving.set(false);
            sent.set_value(saved.get_untracked());
            errors.update(|shown| shown.0.extend(error.fields.0.clone()));
            autosave.retry_after(&error);
        }
        None => {}
    });
    let navigate = use_navigate();
    Effect::new(move || {
        if !is_leaving.get() || autosave.is_busy() {
            return;
        }
        is_leaving.set(false);
        if errors.with_untracked(FieldErrors::is_empty) {
            navigate(&format!("/releases/{id}/{}", Step::Cover.slug()), leptos_router::NavigateOptions::default());
        } else {
            focus::first_invalid();
        }
    });

    let status_text = move || {
        let answer = action.value().get().map(|answer| answer.map(drop));
        autosave::status_text(autosave, errors, answer).unwrap_or_else(|| "Saved as you go".into())
    };
    view! {
        <form
            class="card stack"
            method="post"
            novalidate
            action=SaveDetails::url()
            node_ref=form
            on:input=move |_| {
                check(SaveTrigger::Typing);
                autosave.typed();
            }
            on:change=move |_| autosave.changed()
            on:submit=move |event| {
                event.prevent_default();
                is_leaving.set(true);
                autosave.save_now();
            }
        >
            <StepHead step=Step::Details/>
            {first_note}
            <input type="hidden" name="id" value=id.to_string()/>
            <DetailFields latest saved=shown errors=errors.into()/>
            <div class="wizard-actions">
                <p class="meta noscript:hidden" role="status">{status_text}</p>
                <button type="submit" class="btn btn-primary">"Save and continue"</button>
            </div>
        </form>
    }
}

fn field_errors_of(details: &RawDetails) -> FieldErrors {
    match details.parse() {
        Err(Problem::Invalid(refused)) => refused,
        _ => FieldErrors::default(),
    }
}

/// A date that is not filled in whole is as empty to a form as none at all.
fn has_half_a_date(form: NodeRef<html::Form>) -> bool {
    let date = form.get_untracked().and_then(|form| form.query_selector("#release_date").ok().flatten());
    let date = date.and_then(|date| date.dyn_into::<HtmlInputElement>().ok());
    date.is_some_and(|date| date.validity().bad_input())
}

#[component]
fn DetailFields(latest: Latest, saved: Memo<RawDetails>, errors: Signal<FieldErrors>) -> impl IntoView {
    let value = move |read: fn(&RawDetails) -> &String| Signal::derive(move || saved.with(|saved| read(saved).clone()));
    let error =
        move |name: &'static str| Signal::derive(move || errors.with(|errors| errors.get(name).map(str::to_owned)));
    let list = |options: Vec<(String, String)>| {
        let none = std::iter::once((String::new(), "Choose one".to_owned()));
        none.chain(options).collect::<Vec<_>>()
    };
    let genres = list(GENRES.iter().map(|genre| ((*genre).to_owned(), (*genre).to_owned())).collect());
    let languages = list(LANGUAGES.iter().map(|(code, name)| ((*code).to_owned(), (*name).to_owned())).collect());
    view! {
        <div class="wizard-fields">
            <TitleField value=value(|saved| &saved.title) error=error("title")/>
            <TextField
                name="title_version"
                form_name="details[title_version]"
                label="Version"
                hint="Only if there are several: Live, Remix, Deluxe edition"
                value=value(|saved| &saved.title_version)
                error=error("title_version")
            />
            <KindField latest value=value(|saved| &saved.kind) error=error("kind")/>
            <SelectField
                name="genre"
                form_name="details[genre]"
                label="Genre"
                options=genres
                value=value(|saved| &saved.genre)
                error=error("genre")
            />
            <SelectField
                name="language"
                form_name="details[language]"
                label="Language"
                hint="The language of the lyrics"
                options=languages
                value=value(|saved| &saved.language)
                error=error("language")
            />
            <TextField
                name="release_date"
                form_name="details[release_date]"
                label="Release date"
                kind="date"
                value=value(|saved| &saved.release_date)
                error=error("release_date")
            />
            <TextField
                name="label"
                form_name="details[label]"
                label="Label"
                hint="Your own name if you have no label"
                value=value(|saved| &saved.label)
                error=error("label")
            />
            <TextField
                name="gtin"
                form_name="details[gtin]"
                label="UPC/EAN"
                hint="12 or 13 digits, if you have one"
                value=value(|saved| &saved.gtin)
                error=error("gtin")
            />
            <TextField
                name="p_line"
                form_name="details[p_line]"
                label="℗ line"
                hint="Year and owner of the recording, like 2026 Ana Lima"
                value=value(|saved| &saved.p_line)
                error=error("p_line")
            />
            <TextField
                name="c_line"
                form_name="details[c_line]"
                label="© line"
                hint="Year and owner of cover and texts, like 2026 Ana Lima"
                value=value(|saved| &saved.c_line)
                error=error("c_line")
            />
        </div>
    }
}

/// The title, with what stores will say about it while it is typed.
#[component]
fn TitleField(value: Signal<String>, error: Signal<Option<String>>) -> impl IntoView {
    let typed = RwSignal::new(None::<String>);
    let hints = Memo::new(move |_| title_hints(&typed.get().unwrap_or_else(|| value.get())));
    view! {
        <div class="stack-tight">
            <TextField
                name="title"
                form_name="details[title]"
                label="Title"
                value=value
                error=error
                on_input=Callback::new(move |text| typed.set(Some(text)))
            />
            <div role="status">
                {move || hints.get().into_iter().map(|hint| view! { <p class="hint">{hint}</p> }).collect_view()}
            </div>
        </div>
    }
}

/// Derived from the tracks, unless the artist says otherwise.
#[component]
fn KindField(latest: Latest, value: Signal<String>, error: Signal<Option<String>>) -> impl IntoView {
    let derived = Memo::new(move |_| latest.with(ReleaseView::derived_kind));
    let kinds = ReleaseKind::ALL
        .map(|kind| {
            let label = kind.label();
            view! { <option value=label selected=move || value.with(|value| value == label)>{label}</option> }
        })
        .collect_view();
    view! {
        <Field name="kind" label="Release type" error=error>
            <select
                class="select"
                id="kind"
                name="details[kind]"
                aria-invalid=move || error.get().map(|_| "true")
                aria-describedby=move || described_by("kind", false, error.get().is_some())
            >
                <option value="" selected=move || value.with(String::is_empty)>
                    {move || format!("Automatic ({})", derived.get())}
                </option>
                {kinds}
            </select>
        </Field>
    }
}
