//! A view that the server builds only when everything that it shows is there.

use leptos::{
    attr::{Attribute, any_attribute::AnyAttribute},
    prelude::*,
    tachys::{
        hydration::Cursor,
        ssr::StreamBuilder,
        view::{Position, PositionState},
    },
};

/// The content of a Transition that reads resources and awaits nothing else.
///
/// Before a Transition of Leptos 0.8 is written as HTML, it builds its content to find out which resources that reads,
/// builds it again when they are there to find more of them, and a third time to await what it contains. This view is
/// built once, while it is written.
pub struct BuiltOnce<A, V> {
    /// Reads each resource that the view reads.
    pub awaits: A,
    pub view: V,
}

impl<A, V: Render> Render for BuiltOnce<A, V> {
    type State = V::State;

    fn build(self) -> Self::State {
        self.view.build()
    }

    fn rebuild(self, state: &mut Self::State) {
        self.view.rebuild(state);
    }
}

/// Attributes have no effect, as on any reactive view.
impl<A, V> AddAnyAttr for BuiltOnce<A, V>
where
    A: Fn() + Send + 'static,
    V: RenderHtml + 'static,
{
    type Output<NewAttr: Attribute> = Self;

    fn add_any_attr<NewAttr: Attribute>(self, _attr: NewAttr) -> Self::Output<NewAttr> {
        self
    }
}

impl<A, V> RenderHtml for BuiltOnce<A, V>
where
    A: Fn() + Send + 'static,
    V: RenderHtml + 'static,
{
    type AsyncOutput = Self;
    type Owned = Self;

    const MIN_LENGTH: usize = V::MIN_LENGTH;
    const EXISTS: bool = V::EXISTS;

    fn dry_resolve(&mut self) {
        (self.awaits)();
    }

    async fn resolve(self) -> Self {
        self
    }

    fn to_html_with_buf(
        self,
        buf: &mut String,
        position: &mut Position,
        escape: bool,
        mark_branches: bool,
        extra_attrs: Vec<AnyAttribute>,
    ) {
        self.view.to_html_with_buf(buf, position, escape, mark_branches, extra_attrs);
    }

    fn to_html_async_with_buf<const OUT_OF_ORDER: bool>(
        self,
        buf: &mut StreamBuilder,
        position: &mut Position,
        escape: bool,
        mark_branches: bool,
        extra_attrs: Vec<AnyAttribute>,
    ) {
        self.view.to_html_async_with_buf::<OUT_OF_ORDER>(buf, position, escape, mark_branches, extra_attrs);
    }

    fn hydrate<const FROM_SERVER: bool>(self, cursor: &Cursor, position: &PositionState) -> Self::State {
        self.view.hydrate::<FROM_SERVER>(cursor, position)
    }

    fn into_owned(self) -> Self {
        self
    }
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use axum::{
        body::{Body, to_bytes},
        extract::Request,
    };

    use super::*;

    #[tokio::test]
    async fn the_server_builds_the_content_once_when_its_data_are_there() {
        // Sets Leptos' executor.
        leptos_axum::generate_route_list(|| ());
        let builds = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&builds);
        let page = move || {
            let counted = Arc::clone(&counted);
            let data = Resource::new(
                || (),
                async |()| {
                    tokio::task::yield_now().await;
                    "what the page shows".to_owned()
                },
            );
            let awaits = move || data.with_untracked(|_| ());
            let view = move || {
                counted.fetch_add(1, Ordering::Relaxed);
                view! { <p>{move || data.get()}</p> }
            };
            view! { <Transition>{BuiltOnce { awaits, view }}</Transition> }
        };
        let answer = leptos_axum::render_app_async(page)(Request::new(Body::empty())).await;
        let html = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(String::from_utf8_lossy(&html).contains("<p>what the page shows"), "{html:?}");
        assert_eq!(builds.load(Ordering::Relaxed), 1);
    }
}
