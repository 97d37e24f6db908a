//! The cause of the present work: a request, and a span of a trace. Jobs and mails that the work enqueues remember both.
//! So every log line that a request has caused carries its id, and all its spans are in one trace.

use std::{fmt, sync::Arc};

use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

tokio::task_local! {
    static REQUEST: Option<RequestId>;
}

/// The target of spans that only traces have. For log lines, the span around them is the present one.
pub const TRACE_ONLY: &str = "vwaza::trace";
/// The longest id that is accepted from a proxy, in characters.
const ID_MAX_CHARS: usize = 64;

/// The id of a request. It has at most 64 characters, all of them letters, digits, `.`, `_` or `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string().into())
    }

    /// Parses the id that a proxy has given to a request.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let is_valid = (1..=ID_MAX_CHARS).contains(&text.len()) && text.bytes().all(is_plain);
        is_valid.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn current() -> Option<Self> {
        REQUEST.try_with(Clone::clone).ok().flatten()
    }
}

/// The id of the request that caused the present work.
pub(super) fn request_id() -> Option<String> {
    RequestId::current().map(|id| id.to_string())
}

/// The cause of a job or a mail, as its row remembers it.
#[derive(Clone, Debug, Default)]
pub(super) struct Cause {
    pub(super) request_id: Option<String>,
    /// As the header `traceparent` of W3C has it. `None` if no traces are exported.
    pub(super) trace_parent: Option<String>,
}

impl Cause {
    /// The cause of what the present work enqueues.
    pub(super) fn current() -> Self {
        let context = Span::current().context();
        let parent = context.span().span_context().clone();
        Self {
            request_id: request_id(),
            trace_parent: parent
                .is_valid()
                .then(|| format!("00-{}-{}-{:02x}", parent.trace_id(), parent.span_id(), parent.trace_flags().to_u8())),
        }
    }
}

/// Does work that belongs into an earlier trace, in a span of its own there that is linked with the present one. `None`
/// leaves it in the present trace.
pub(super) fn rejoin<T>(
    trace_parent: Option<&str>,
    span: Span,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    if let Some(parent) = trace_parent {
        let present = Span::current().context().span().span_context().clone();
        continue_trace(&span, parent);
        span.add_link(present);
    }
    work.instrument(span)
}

/// Does work that was enqueued, in a span of its own.
pub(super) fn resume<T>(
    request_id: Option<&str>,
    trace_parent: Option<&str>,
    span: Span,
    work: impl Future<Output = T>,
) -> impl Future<Output = T> {
    if let Some(parent) = trace_parent {
        continue_trace(&span, parent);
    }
    on_behalf_of(request_id.and_then(RequestId::parse), work).instrument(span)
}

/// Makes a span that has not begun yet the child of a span elsewhere, which a header `traceparent` names.
pub fn continue_trace(span: &Span, trace_parent: &str) {
    if let Some(parent) = parse_trace_parent(trace_parent) {
        // Setting a parent fails only if no traces are exported.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

fn parse_trace_parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if (version.len(), trace.len(), span.len(), flags.len()) != (2, 32, 16, 2) {
        return None;
    }
    let parent = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    parent.is_valid().then_some(parent)
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Does work that a request has caused. `None`: no request has caused it.
pub fn on_behalf_of<F: Future>(request: Option<RequestId>, work: F) -> impl Future<Output = F::Output> {
    REQUEST.scope(request, work)
}

/// Does work in a task of its own, on behalf of the present request and in its span.
pub fn inherit<F: Future>(work: F) -> impl Future<Output = F::Output> {
    on_behalf_of(RequestId::current(), work).in_current_span()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_plain() {
        for good in ["a", "0b9d7c1e-4f55-4b6f-9a56-2f7b8f0f3c11", "1-67891233-abcdef012345678912345678", "A.b_c"] {
            assert_eq!(RequestId::parse(good).as_ref().map(RequestId::as_str), Some(good));
        }
        for bad in ["", " ", "a b", "a\"b", "a\nb", "é", "a,b", &"a".repeat(ID_MAX_CHARS + 1)] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_trace_parent_is_read_as_w3c_writes_it() {
        let parent = parse_trace_parent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        assert_eq!(parent.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(parent.span_id().to_string(), "b7ad6b7169203331");
        assert!(parent.is_sampled() && parent.is_remote());
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-zaf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert!(parse_trace_parent(bad).is_none(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_task_inherits_the_request_of_its_parent() {
        let request = RequestId::parse("one").unwrap();
        let inherited = on_behalf_of(Some(request.clone()), async {
            let (own, other) =
                (tokio::spawn(inherit(async { RequestId::current() })), tokio::spawn(async { RequestId::current() }));
            (own.await.unwrap(), other.await.unwrap())
        });
        assert_eq!(inherited.await, (Some(request), None));
        assert_eq!(RequestId::current(), None);
    }
}
