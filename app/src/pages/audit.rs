//! `/admin/audit`: who did what, when, and from what to what.

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;
use vwaza::domain::{
    audit::{AuditEntry, AuditFilter},
    page::Page,
};

use crate::{
    api::audit::audit_trail,
    components::{
        audit::{AUDIT_PATH, AuditFilters, AuditLinks, AuditTable},
        empty_state::EmptyState,
        icon::IconName,
        list_address::{audit_address, start_in},
        pager::Pager,
        require::RequireAdmin,
        review::{list::ListPage, table::count},
        skeleton::Shape,
    },
    error::ApiResult,
    state::live::await_first,
};

#[component]
pub fn Audit() -> impl IntoView {
    let query = use_query_map();
    let filter = Memo::new(move |_| {
        query.with(|query| AuditFilter {
            start: start_in(query, ""),
            ..AuditFilter::of_parameters(|name| query.get(name))
        })
    });
    let trail = Resource::new(move || filter.get(), audit_trail);
    view! {
        <RequireAdmin shape=Shape::List awaits=move || await_first(trail)>
            <Trail trail=trail filter=filter/>
        </RequireAdmin>
    }
}

#[component]
fn Trail(trail: Resource<ApiResult<Page<AuditEntry>>>, filter: Memo<AuditFilter>) -> impl IntoView {
    let error = Signal::derive(move || trail.get().and_then(Result::err));
    let found = move || {
        let page = trail.get().and_then(Result::ok)?;
        Some(view! { <Entries page=page filter=filter.get_untracked()/> })
    };
    view! {
        <ListPage title="Audit trail" error=error>
            <AuditFilters filter=filter/>
            {found}
        </ListPage>
    }
}

#[component]
fn Entries(page: Page<AuditEntry>, filter: AuditFilter) -> impl IntoView {
    let link = {
        let filter = filter.clone();
        move |start| audit_address(AUDIT_PATH, &AuditFilter { start, ..filter.clone() })
    };
    let table = if page.rows.is_empty() {
        view! { <EmptyState title="No entries match" text="Try another filter, or show all entries." icon=IconName::Search/> }
            .into_any()
    } else {
        view! { <AuditTable entries=page.rows/> }.into_any()
    };
    view! {
        <div class="audit-head">
            <p class="meta" role="status">
                {count(page.total, "entry", "entries")}
            </p>
            <AuditLinks filter/>
        </div>
        {table}
        <Pager links=page.links link=link/>
    }
}
