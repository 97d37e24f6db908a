//! `/review/:id`: one release to listen to, examine, and approve or reject.

use std::time::Duration;

use leptos::{ev, prelude::*, server_fn::ServerFn, task::spawn_local};
use leptos_router::{
    NavigateOptions,
    hooks::{use_navigate, use_params_map},
};
use vwaza::domain::{
    audit::AuditEntry,
    ids::ReleaseId,
    page::PageStart,
    problem::Problem,
    release::{ReleaseFilter, ReleaseStatus, ReleaseView},
    review::Verdict,
};

use crate::{
    api::{
        audit::audit_entries_about,
        releases::release,
        review::{APPROVED, ApproveRelease, REJECTED, RejectRelease, approve_release, reject_release, review_queue},
    },
    components::{
        audit::AuditSection,
        focus,
        icon::{Icon, IconName},
        list_address::filter_address,
        page_error::PageError,
        page_head::PageHead,
        require::RequireAdmin,
        review::{
            cover::ReviewCover,
            findings::Findings,
            metadata::Metadata,
            tracks::ReviewTracks,
            verdict::{FormAddresses, ReviewedVersion, VerdictBar, VerdictDraft},
        },
        skeleton::Shape,
        status::StatusBadge,
        time_ago::TimeAgo,
        timeline::Timeline,
    },
    error::{ApiResult, AppError},
    state::{
        flash::{form_refusal, typed},
        live::{self, Live},
        player::Player,
        toasts::Toasts,
    },
};

/// The time in which no verdict is accepted on the next release. A second click or key must not decide that release
/// unheard.
const NEXT_VERDICT_DELAY: Duration = Duration::from_millis(800);

const FORM_ADDRESSES: fn() -> FormAddresses =
    || FormAddresses { approve: ApproveRelease::url(), reject: RejectRelease::url() };

#[component]
pub fn Review() -> impl IntoView {
    let params = use_params_map();
    let id = Memo::new(move |_| params.with(|params| params.get_str("id").and_then(|id| id.parse::<ReleaseId>().ok())));
    let live = Live::get();
    let reviewed = Resource::new(
        move || (id.get(), id.get().map(|id| live.on_release(id).get())),
        |(id, _)| async move {
            match id {
                Some(id) => release(id).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    let trail = Resource::new(
        move || (id.get(), id.get().map(|id| live.on_release(id).get())),
        |(id, _)| async move {
            match id {
                Some(id) => audit_entries_about(id.0).await,
                None => Err(Problem::NotFound.into()),
            }
        },
    );
    let review_state = ReviewState::new(id, reviewed);
    view! {
        <RequireAdmin
            shape=Shape::Review
            awaits=move || {
                live::await_first(reviewed);
                live::await_first(trail);
            }
        >
            <ReviewContent reviewed=reviewed trail=trail id=id review_state=review_state/>
        </RequireAdmin>
    }
}

/// The verdict that is being written. It outlives a change of the release.
#[derive(Clone, Copy)]
struct ReviewState {
    draft: VerdictDraft,
    decide: Action<(ReviewedVersion, Verdict), ApiResult<()>>,
    /// Whether a verdict is accepted now.
    accepts_verdict: RwSignal<bool>,
    /// The release that waited for a verdict when the page was opened.
    pending_release: StoredValue<Option<ReleaseId>>,
    reload: Callback<()>,
}

impl ReviewState {
    fn new(id: Memo<Option<ReleaseId>>, reviewed: Resource<ApiResult<ReleaseView>>) -> Self {
        let (toasts, player) = (Toasts::get(), Player::get());
        let accepts_verdict = RwSignal::new(true);
        let decide = Action::new(move |(subject, verdict): &(ReviewedVersion, Verdict)| {
            let (subject, verdict) = (*subject, verdict.clone());
            async move {
                // An effect would be too late, because the next page is open by the time it runs.
                let done = send_verdict(subject, verdict).await.inspect_err(|_| accepts_verdict.set(true))?;
                player.close();
                toasts.show(done);
                Ok(())
            }
        });
        let error = RwSignal::new(error_without_script());
        let is_rejecting = RwSignal::new(error.get_untracked().is_some_and(|error| !error.fields.is_empty()));
        Effect::new(move || {
            // The result of a plain form stays until the first answer.
            let Some(answer) = decide.value().get() else { return };
            let refusal: Option<AppError> = answer.err();
            if refusal.as_ref().is_some_and(|error| error.fields.is_empty()) && is_rejecting.get_untracked() {
                // The reason is kept. The open panel would cover the error.
                is_rejecting.set(false);
                focus::on("#reject");
            }
            error.set(refusal);
        });
        let draft = VerdictDraft {
            reason: RwSignal::new(typed::<RejectRelease>("reason").unwrap_or_default()),
            is_rejecting,
            pending: decide.pending().into(),
            error: error.into(),
        };
        Effect::new(move |last: Option<Option<ReleaseId>>| {
            let id = id.get();
            if last.is_some_and(|last| last != id) {
                draft.reason.set(String::new());
                draft.is_rejecting.set(false);
                error.set(None);
                set_timeout(move || accepts_verdict.set(true), NEXT_VERDICT_DELAY);
            }
            id
        });
        let reload = Callback::new(move |()| {
            error.set(None);
            reviewed.refetch();
            focus::on("#main");
        });
        Self { draft, decide, accepts_verdict, pending_release: StoredValue::new(None), reload }
    }

    fn submit(self, subject: ReviewedVersion, verdict: Verdict) {
        if self.accepts_verdict.get_untracked() {
            self.accepts_verdict.set(false);
            self.decide.dispatch((subject, verdict));
        }
    }
}

/// Sends the verdict and returns the sentence that confirms it. The server's answer leads to the next release.
async fn send_verdict(subject: ReviewedVersion, verdict: Verdict) -> ApiResult<&'static str> {
    let ReviewedVersion { id, version } = subject;
    match verdict {
        Verdict::Approve => approve_release(id, version).await.map(|_| APPROVED),
        Verdict::Reject { reason } => reject_release(id, version, reason.as_str().to_owned()).await.map(|_| REJECTED),
    }
}

/// The server's refusal of a plain form.
fn error_without_script() -> Option<AppError> {
    form_refusal::<ApproveRelease>().or_else(form_refusal::<RejectRelease>)
}

#[component]
fn ReviewContent(
    reviewed: Resource<ApiResult<ReleaseView>>,
    trail: Resource<ApiResult<Vec<AuditEntry>>>,
    id: Memo<Option<ReleaseId>>,
    review_state: ReviewState,
) -> impl IntoView {
    let shown = live::last_good(move || id.get(), reviewed);
    let trail = live::last_good(move || id.get(), trail);
    let release = move || {
        Some(match shown.get()? {
            Ok(release) => {
                view! { <ReviewedRelease release=release trail=trail review_state=review_state/> }.into_any()
            }
            Err(error) => view! { <PageError error=error/> }.into_any(),
        })
    };
    let superseded = Memo::new(move |_| {
        let release = shown.get()?.ok()?;
        // The reviewer's own verdict leads to the next release.
        let is_decided_elsewhere =
            review_state.pending_release.get_value() == Some(release.id) && review_state.accepts_verdict.get();
        (is_decided_elsewhere && release.status != ReleaseStatus::PendingReview).then_some(release.status)
    });
    view! {
        {release}
        <div role="status">
            {move || superseded.get().map(|status| view! { <SupersededNotice status=status draft=review_state.draft/> })}
        </div>
    }
}

/// Replaces the verdict if somebody else was faster. The written reason is kept, to be read or copied.
#[component]
fn SupersededNotice(status: ReleaseStatus, draft: VerdictDraft) -> impl IntoView {
    Effect::new(move || {
        // The text field is gone. A key that was meant for it must not follow a link.
        if draft.is_rejecting.get_untracked() {
            focus::on("#decided");
        }
    });
    let what = match status {
        ReleaseStatus::Published => "Already approved",
        ReleaseStatus::Rejected => "Already rejected",
        _ => "Withdrawn by its artist",
    };
    let written = Some(draft.reason.get_untracked()).filter(|reason| !reason.trim().is_empty()).map(|reason| {
        view! {
            <div class="verdict-written">
                <p class="meta">"The reason that you wrote:"</p>
                <blockquote class="quote">{reason}</blockquote>
            </div>
        }
    });
    let navigate = use_navigate();
    let go_on = move |event: ev::MouseEvent| {
        event.prevent_default();
        let navigate = navigate.clone();
        spawn_local(async move {
            let queue = review_queue(String::new(), None, PageStart::First).await;
            let next = queue.ok().and_then(|queue| Some(queue.rows.first()?.id));
            let address = next.map_or_else(|| "/review".to_owned(), |next| format!("/review/{next}"));
            navigate(&address, NavigateOptions::default());
        });
    };
    view! {
        <section class="bottom-bar" id="decided" tabindex="-1" aria-label="Already decided">
            <div class="verdict-inner">
                <div class="verdict-row">
                    <p class="verdict-words">{what} ". There is nothing left to decide."</p>
                    <a class="btn btn-primary" href="/review" on:click=go_on>
                        "Next in the queue"
                        <Icon name=IconName::Forward/>
                    </a>
                </div>
                {written}
            </div>
        </section>
    }
}

#[component]
fn ReviewedRelease(
    release: ReleaseView,
    trail: Signal<Option<ApiResult<Vec<AuditEntry>>>>,
    review_state: ReviewState,
) -> impl IntoView {
    let about = release.id.0;
    let findings = Findings::of(&release);
    let (title, status_release, timeline) = (release.display_title(), release.clone(), release.timeline.clone());
    let artist = ReleaseFilter { artist: Some(release.artist_id), ..Default::default() };
    let verdict = (release.status == ReleaseStatus::PendingReview).then(|| {
        review_state.pending_release.set_value(Some(release.id));
        let subject = ReviewedVersion { id: release.id, version: release.version };
        let on_verdict = Callback::new(move |verdict| review_state.submit(subject, verdict));
        let warnings = findings.warnings();
        view! {
            <VerdictBar
                subject=subject
                warnings=warnings
                addresses=FORM_ADDRESSES()
                draft=review_state.draft
                on_verdict=on_verdict
                on_reload=review_state.reload
            />
        }
    });
    view! {
        <article class="page">
            <p class="review-back">
                <a class="link" href="/review">
                    <Icon name=IconName::Back/>
                    "Review queue"
                </a>
            </p>
            <PageHead title=title.clone()>
                <ReviewStatus release=status_release/>
            </PageHead>
            <div class="review-head">
                <ReviewCover cover=release.cover.clone() title=title findings=findings.cover.clone()/>
                <Metadata
                    release=release.clone()
                    findings=findings.clone()
                    artist_address=filter_address("/admin/releases", &artist)
                />
            </div>
            <section class="section" aria-labelledby="tracks">
                <h2 class="section-title" id="tracks">
                    "Tracks"
                </h2>
                <ReviewTracks release=release findings=findings.tracks/>
            </section>
            <section class="section" aria-labelledby="history">
                <h2 class="section-title" id="history">
                    "What happened"
                </h2>
                <Timeline events=timeline/>
            </section>
            <AuditSection trail about/>
        </article>
        {verdict}
    }
}

/// The status of the release, and since when it waits.
#[component]
fn ReviewStatus(release: ReleaseView) -> impl IntoView {
    let waiting = (release.status == ReleaseStatus::PendingReview).then_some(release.submitted_at).flatten();
    view! {
        <StatusBadge status=release.status/>
        {waiting
            .map(|since| {
                view! {
                    <span class="meta">"Submitted " <TimeAgo at=since/></span>
                }
            })}
    }
}
