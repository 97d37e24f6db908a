//! The skeleton of a page that is being fetched. It uses the classes of the page itself, so it changes with the page.

use leptos::prelude::*;
use vwaza::domain::release::Step;

/// The kind of page that is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Home,
    Wizard,
    Release,
    /// A table with a search above it.
    List,
    Review,
    Form,
}

#[component]
pub fn Skeleton(shape: Shape) -> impl IntoView {
    let page = if shape == Shape::Form { "page-narrow" } else { "page" };
    let body = match shape {
        Shape::Home => view! {
            {title()}
            <div class="continue-cards">{blocks("skeleton-card", 3)}</div>
            <div class="section">{block("skeleton-line")} {blocks("skeleton-row", 4)}</div>
        }
        .into_any(),
        Shape::Wizard => {
            let steps = Step::ALL.map(|_| view! { <li class="skeleton skeleton-step"></li> }).collect_view();
            view! {
                {title()}
                <div class="wizard">
                    <div class="wizard-steps"><ol>{steps}</ol></div>
                    <div class="wizard-step stack">
                        {block("skeleton-line")} <div class="wizard-fields">{blocks("skeleton-field", 8)}</div>
                    </div>
                    <div class="wizard-aside">{block("skeleton-panel")}</div>
                </div>
            }
            .into_any()
        }
        Shape::Release => view! {
            <div class="release-hero">
                {block("cover release-cover")}
                <div class="stack">{block("skeleton-title")} {block("skeleton-line")} {block("skeleton-button")}</div>
            </div>
            <div class="section">{block("skeleton-line")} {blocks("skeleton-row", 3)}</div>
        }
        .into_any(),
        Shape::List => {
            view! { {title()} {block("skeleton-field")} {block("skeleton-line")} {blocks("skeleton-table-row", 8)} }
                .into_any()
        }
        Shape::Review => view! {
            {title()}
            <div class="review-head">{block("cover")} <div class="stack">{blocks("skeleton-line", 6)}</div></div>
            <div class="section">{block("skeleton-line")} {blocks("skeleton-row", 3)}</div>
        }
        .into_any(),
        Shape::Form => view! { {title()} {blocks("skeleton-panel", 2)} }.into_any(),
    };
    view! {
        <div class=page aria-busy="true">
            <p class="visually-hidden" role="status">"Loading"</p>
            <div aria-hidden="true">{body}</div>
        </div>
    }
}

fn title() -> impl IntoView {
    view! { <div class="page-head">{block("skeleton-title")}</div> }
}

fn block(shape: &'static str) -> impl IntoView {
    view! { <div class=format!("skeleton {shape}")></div> }
}

fn blocks(shape: &'static str, count: usize) -> impl IntoView {
    (0..count).map(|_| block(shape)).collect_view()
}
