//! `GET /api/events`: server-sent events about changes, for the users who may see them.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Sse, sse::Event},
};
use futures::{Stream, stream};
use http::request::Parts;
use tokio::{sync::broadcast::error::RecvError, time::interval};
use vwaza::{
    backend::{accounts::tokens::SecretToken, events::Change, limits::StreamSlot},
    domain::account::Actor,
};

use crate::{
    client::RequestOrigin,
    errors::HandlerResult,
    security::{CurrentUser, session_token_from_parts},
    state::AppState,
};

/// The interval at which the session is checked again and the browser gets a sign of life.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

struct Subscription {
    state: AppState,
    actor: Actor,
    token: Option<SecretToken>,
    changes: tokio::sync::broadcast::Receiver<Change>,
    heartbeat: tokio::time::Interval,
    _slot: Option<StreamSlot>,
}

pub(crate) async fn events(
    State(state): State<AppState>,
    CurrentUser(actor): CurrentUser,
    parts: Parts,
) -> HandlerResult<impl IntoResponse> {
    let limits = state.backend.limits();
    let client = parts.extensions.get::<RequestOrigin>().and_then(RequestOrigin::client).filter(|_| limits.are_on());
    let slot = client.map(|client| limits.open_stream(actor.id, client)).transpose()?;
    let token = session_token_from_parts(&state.backend, &parts);
    let mut heartbeat = interval(HEARTBEAT_INTERVAL);
    heartbeat.reset();
    let subscription =
        Subscription { changes: state.backend.events().subscribe(), token, actor, heartbeat, _slot: slot, state };
    let stream = Sse::new(event_stream(subscription));
    // nginx would otherwise buffer events.
    Ok(([("x-accel-buffering", "no")], stream))
}

fn event_stream(subscription: Subscription) -> impl Stream<Item = Result<Event, Infallible>> {
    // The first event tells the browser that the connection is open.
    let hello = stream::iter([Ok(Event::default().event("hello").data("{}"))]);
    let changes = stream::unfold(subscription, async |mut subscription| {
        let event = subscription.next().await?;
        Some((Ok(event), subscription))
    });
    futures::StreamExt::chain(hello, changes)
}

impl Subscription {
    async fn next(&mut self) -> Option<Event> {
        let shutdown = self.state.backend.shutdown();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return None,
                _ = self.heartbeat.tick() => {
                    let token = self.token.as_ref()?;
                    // If the session is over, the user is disabled or the database is away, the stream ends. The
                    // browser reconnects and gets the error.
                    self.actor = self.state.backend.sessions().actor(token).await.ok()??;
                    return Some(Event::default().event("beat").data("{}"));
                }
                change = self.changes.recv() => match change {
                    Ok(Change::Release(change)) if change.artist == self.actor.id || self.actor.is_admin() => {
                        let data = format!(r#"{{"release":"{}"}}"#, change.release);
                        return Some(Event::default().event("release").data(data));
                    }
                    Ok(Change::Release(_)) => {}
                    // The release is unknown, so the browser reloads whatever it shows.
                    Ok(Change::Everything) | Err(RecvError::Lagged(_)) => {
                        return Some(Event::default().event("release").data("{}"));
                    }
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }
}
