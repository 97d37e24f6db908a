//! The first step: the title of the release and the other details that stores ask for.

use leptos::{html, prelude::*, server_fn::ServerFn, wasm_bindgen::JsCast, web_sys::HtmlInputElement};
use leptos_router::hooks::use_navigate;
use uuid::Uuid;
use vwaza::domain::{
    ids::ReleaseId,
    problem::{FieldErrors, Problem},
    release::{GENRES, LANGUAGES, RawDetails, ReleaseKind, ReleaseView, Step, title_hints},
};

use super::{
    StepHead,
    latest::Latest,
    saved_form::{SavedFields, SavedForm, Start},
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
    let saved = Memo::new(move |_| latest.with(|release| RawDetails::from(&release.details)));
    let refusal = flash::form_refusal::<SaveDetails>();
    // A stored choice that is no longer on the list is marked at once.
    let errors = refusal.as_ref().map_or_else(|| field_errors_of(&saved.get_untracked()), |error| error.fields.clone());
    let typed = flash::typed_group::<SaveDetails, RawDetails>("details");
    let form = SavedForm::new(id.0, latest, saved.into(), Start { errors, typed });
    let shown = Memo::new(move |_| form.left().unwrap_or_else(|| saved.get()));
    let first_note = refusal.filter(|error| error.fields.is_empty()).map(|error| view! { <ErrorNote error/> });
    let is_leaving = RwSignal::new(false);
    leave_when_saved(id, form, is_leaving);
    view! {
        <form
            class="card stack"
            method="post"
            novalidate
            action=SaveDetails::url()
            node_ref=form.node
            on:input=move |_| form.on_input()
            on:change=move |_| form.on_change()
            on:submit=move |event| {
                event.prevent_default();
                is_leaving.set(true);
                form.save_now();
            }
        >
            <StepHead step=Step::Details/>
            {first_note}
            <input type="hidden" name="id" value=id.to_string()/>
            <DetailFields latest shown=ShownDetails { values: shown, errors: form.errors }/>
            <div class="wizard-actions">
                <p class="meta script-only" role="status">
                    {move || form.status_text().unwrap_or_else(|| "Changes are saved automatically".into())}
                </p>
                <button type="submit" class="btn btn-primary">"Save and continue"</button>
            </div>
        </form>
    }
}

/// Goes to the next step once everything is saved, or to the first mistake. An error of the server ends the attempt.
fn leave_when_saved(id: ReleaseId, form: SavedForm<RawDetails>, is_leaving: RwSignal<bool>) {
    Effect::new(move || {
        if let Some(Err(_)) = form.answer() {
            is_leaving.set(false);
        }
    });
    let navigate = use_navigate();
    Effect::new(move || {
        if !is_leaving.get() || form.is_busy() {
            return;
        }
        is_leaving.set(false);
        if form.errors.with_untracked(FieldErrors::is_empty) {
            navigate(&format!("/releases/{id}/{}", Step::Cover.slug()), leptos_router::NavigateOptions::default());
        } else {
            focus::first_invalid();
        }
    });
}

impl SavedFields for RawDetails {
    type Save = SaveDetails;

    fn into_save(self, subject: Uuid) -> SaveDetails {
        SaveDetails { id: ReleaseId(subject), details: self }
    }

    fn of_save(save: SaveDetails) -> Self {
        save.details
    }

    fn mistakes(&self, form: NodeRef<html::Form>) -> FieldErrors {
        let mut refused = field_errors_of(self);
        if has_half_a_date(form) {
            refused.add("release_date", "Fill in day, month and year.");
        }
        refused
    }
}

fn field_errors_of(details: &RawDetails) -> FieldErrors {
    match details.parse() {
        Err(Problem::Invalid(refused)) => refused,
        _ => FieldErrors::default(),
    }
}

/// Whether a date is filled in only partly. The form itself has no value for such a date, as if there were none.
fn has_half_a_date(form: NodeRef<html::Form>) -> bool {
    let date = form.get_untracked().and_then(|form| form.query_selector("#release_date").ok().flatten());
    let date = date.and_then(|date| date.dyn_into::<HtmlInputElement>().ok());
    date.is_some_and(|date| date.validity().bad_input())
}

/// The values and errors that the fields show.
#[derive(Clone, Copy)]
struct ShownDetails {
    values: Memo<RawDetails>,
    errors: RwSignal<FieldErrors>,
}

impl ShownDetails {
    fn value(self, read: fn(&RawDetails) -> &String) -> Signal<String> {
        Signal::derive(move || self.values.with(|values| read(values).clone()))
    }

    fn error(self, name: &'static str) -> Signal<Option<String>> {
        Signal::derive(move || self.errors.with(|errors| errors.get(name).map(str::to_owned)))
    }
}

#[component]
fn DetailFields(latest: Latest, shown: ShownDetails) -> impl IntoView {
    view! {
        <div class="wizard-fields">
            <NameFields shown/>
            <KindField latest value=shown.value(|details| &details.kind) error=shown.error("kind")/>
            <CatalogueFields shown/>
            <LabelFields shown/>
        </div>
    }
}

#[component]
fn NameFields(shown: ShownDetails) -> impl IntoView {
    view! {
        <TitleField value=shown.value(|details| &details.title) error=shown.error("title")/>
        <DetailField
            shown
            name="title_version"
            label="Version"
            hint="Only if there are several versions: Live, Remix, Deluxe edition"
            read=|details| &details.title_version
        />
    }
}

#[component]
fn CatalogueFields(shown: ShownDetails) -> impl IntoView {
    let genres = choices(GENRES.iter().map(|genre| (*genre, *genre)));
    let languages = choices(LANGUAGES.iter().copied());
    view! {
        <SelectField
            name="genre"
            form_name="details[genre]"
            label="Genre"
            options=genres
            value=shown.value(|details| &details.genre)
            error=shown.error("genre")
        />
        <SelectField
            name="language"
            form_name="details[language]"
            label="Language"
            hint="The language of the lyrics"
            options=languages
            value=shown.value(|details| &details.language)
            error=shown.error("language")
        />
        <DetailField shown name="release_date" label="Release date" kind="date" read=|details| &details.release_date/>
    }
}

/// Pairs of value and label. The first pair stands for no choice.
fn choices<'a>(options: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let none = std::iter::once(("", "Choose one"));
    none.chain(options).map(|(value, label)| (value.to_owned(), label.to_owned())).collect()
}

#[component]
fn LabelFields(shown: ShownDetails) -> impl IntoView {
    view! {
        <DetailField shown name="label" label="Label" hint="Your own name if you have no label" read=|details| &details.label/>
        <DetailField shown name="gtin" label="UPC/EAN" hint="12 or 13 digits, if you have one" read=|details| &details.gtin/>
        <DetailField
            shown
            name="p_line"
            label="℗ line"
            hint="Year and owner of the recording, like 2026 Ana Lima"
            read=|details| &details.p_line
        />
        <DetailField
            shown
            name="c_line"
            label="© line"
            hint="Year and owner of cover and texts, like 2026 Ana Lima"
            read=|details| &details.c_line
        />
    }
}

#[component]
fn DetailField(
    shown: ShownDetails,
    name: &'static str,
    label: &'static str,
    #[prop(optional)] hint: &'static str,
    #[prop(default = "text")] kind: &'static str,
    read: fn(&RawDetails) -> &String,
) -> impl IntoView {
    let form_name = format!("details[{name}]");
    view! { <TextField name form_name label hint kind value=shown.value(read) error=shown.error(name)/> }
}

/// The field for the title. While somebody types, it shows hints about what stores object to.
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

/// The release type, derived from the tracks unless the artist chooses one.
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
