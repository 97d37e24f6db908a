//! One limit for all processes: the same rule as in memory, as one atomic script in Redis, by Redis's clock.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout_at;

use super::{Client, Rule};
use crate::domain::limits::{Decision, Quota};

/// Redis that did not answer is asked again after this time; until then no request waits for it.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A sorted set holds the times of a client's requests in microseconds.
///
/// KEYS: the set. ARGV: the quota's maximum, and its window in microseconds. Returns whether the request is admitted (1 or 0), how many
/// more would be, and the microseconds until the oldest that counts no longer does.
const ADMIT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
-- The clock of a Redis that took over may be behind by seconds: times ahead of it would count for too long.
redis.call('ZREMRANGEBYSCORE', KEYS[1], string.format('(%.0f', now + 1000000), '+inf')
local counted = redis.call('ZCARD', KEYS[1])
local admitted = 0
if counted < max then
    local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
    -- Two requests in one microsecond are two members.
    if last and tonumber(last) >= now then now = last + 1 end
    redis.call('ZADD', KEYS[1], now, string.format('%.0f', now))
    redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
    admitted, counted = 1, counted + 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {admitted, math.max(0, max - counted), oldest and oldest + window - now or 0}";

pub(super) struct Redis {
    connection: ConnectionManager,
    admit: Script,
    timeout: Duration,
    /// Since when Redis does not answer.
    away_since: Mutex<Option<Instant>>,
}

impl Redis {
    /// Connects with the first request, and again whenever the connection breaks.
    ///
    /// # Errors
    /// When the address is not understood.
    pub(super) fn connect(url: &str, timeout: Duration) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(ASK_AGAIN_AFTER))
            .set_number_of_retries(1);
        let connection = redis::Client::open(url)?.get_connection_manager_lazy(config)?;
        Ok(Self { connection, admit: Script::new(ADMIT), timeout, away_since: Mutex::default() })
    }

    /// `None` where Redis does not answer in time.
    pub(super) async fn admit(&self, rule: Rule, quota: Quota, client: &Client, deadline: Instant) -> Option<Decision> {
        if self.is_away() {
            return None;
        }
        let answer = timeout_at(deadline.into(), self.ask(rule, quota, client)).await;
        let (decision, trouble) = match answer {
            Ok(Ok(decision)) => (Some(decision), None),
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(_) => (None, Some(format!("no answer within {} ms", self.timeout.as_millis()))),
        };
        self.note(trouble);
        decision
    }

    /// Whether Redis did not answer a moment ago.
    fn is_away(&self) -> bool {
        let away_since = *self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        away_since.is_some_and(|since| since.elapsed() < ASK_AGAIN_AFTER)
    }

    /// Takes back the client's latest request. Where Redis does not answer in time, it counts on.
    pub(super) async fn take_back(&self, rule: Rule, client: &Client, deadline: Instant) {
        if self.is_away() {
            return;
        }
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("ZPOPMAX");
        command.arg(key(rule, client));
        let taken = timeout_at(deadline.into(), command.query_async::<redis::Value>(&mut connection)).await;
        if !matches!(taken, Ok(Ok(_))) {
            tracing::debug!(rule = rule.name(), "a request could not be taken back");
        }
    }

    async fn ask(&self, rule: Rule, quota: Quota, client: &Client) -> RedisResult<Decision> {
        let window_us = u64::try_from(quota.window.as_micros()).unwrap_or(u64::MAX);
        let mut admit = self.admit.prepare_invoke();
        admit.key(key(rule, client)).arg(quota.max).arg(window_us);
        let (is_admitted, remaining, reset_us): (bool, u32, u64) =
            admit.invoke_async(&mut self.connection.clone()).await?;
        Ok(Decision { is_admitted, remaining, reset_after: Duration::from_micros(reset_us) })
    }

    /// Logs when Redis goes away and when it is back, once each.
    fn note(&self, trouble: Option<String>) {
        let mut away_since = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        match (&trouble, &*away_since) {
            (Some(error), None) => {
                tracing::warn!(error, "Redis does not answer; each process limits for itself meanwhile")
            }
            (None, Some(_)) => tracing::info!("Redis answers again; the limits are shared"),
            _ => {}
        }
        *away_since = trouble.map(|_| Instant::now());
    }
}

fn key(rule: Rule, client: &Client) -> String {
    format!("vwaza:limit:{}:{client}", rule.name())
}
