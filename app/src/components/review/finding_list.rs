//! Shows findings in words, beside the part of the release that they are about.

use leptos::prelude::*;

use super::findings::{Finding, Severity};
use crate::components::icon::{Icon, IconName};

/// Shows nothing if there are no findings.
#[component]
pub fn FindingList(findings: Vec<Finding>) -> impl IntoView {
    (!findings.is_empty()).then(|| {
        let lines = findings.into_iter().map(|finding| view! { <FindingItem finding/> }).collect_view();
        view! { <ul class="findings">{lines}</ul> }
    })
}

#[component]
fn FindingItem(finding: Finding) -> impl IntoView {
    let (class, icon, word) = match finding.severity {
        Severity::Warning => ("finding finding-warning", IconName::Warning, "Warning: "),
        Severity::Note => ("finding finding-note", IconName::Info, "Note: "),
    };
    view! {
        <li class=class>
            <Icon name=icon/>
            <span>
                <span class="visually-hidden">{word}</span>
                {finding.sentence}
            </span>
        </li>
    }
}
