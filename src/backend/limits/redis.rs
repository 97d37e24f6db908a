//! Rate limits that all processes share. One atomic script in Redis applies the same rule as the windows in memory, by
//! the clock of Redis.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use redis::{
    RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::timeout_at;

use super::{Client, Rule};
use crate::{
    backend::{Error, Result},
    domain::limits::{Decision, Quota},
};

/// The pause after Redis did not answer. Until it is over, no request waits for Redis.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The number of clients per rule with a set of their own. 100,000 clients with one request each take 30 MB.
const CLIENTS_MAX: usize = 100_000;
/// The number of clients, chosen at random, that one eviction inspects.
const EVICTION_LOOKS: usize = 32;

/// Decides about one request and counts it if it is admitted.
///
/// A sorted set per client holds the times of its requests in microseconds. A second sorted set per rule, the index,
/// holds the rule's clients and until when each counts. The index bounds the number of clients, as the table in memory
/// does.
///
/// KEYS: the client's set, the index, and the set shared by clients that find no room. ARGV: the quota's maximum, its
/// window in microseconds, the maximum number of clients, the number of clients that one eviction inspects, and the
/// prefix of a client's key. Returns whether the request is admitted (1 or 0), how many more requests would be
/// admitted, and the microseconds until the oldest counted request expires.
///
/// Needs Redis 6.2 or newer.
const ADMIT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local max, window, clients_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local set, index, prefix = KEYS[1], KEYS[2], ARGV[5]
local client = string.sub(set, #prefix + 1)
redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
if redis.call('ZCARD', index) >= clients_max and not redis.call('ZSCORE', index, client) then
    -- A client that is being limited stays, so that a flood of addresses sets nobody free.
    local evicted, fewest = nil, max
    for _, other in ipairs(redis.call('ZRANDMEMBER', index, ARGV[4])) do
        local counted = redis.call('ZCOUNT', prefix .. other, now - window, '+inf')
        if counted < fewest then evicted, fewest = other, counted end
    end
    if evicted then
        redis.call('ZREM', index, evicted)
        redis.call('DEL', prefix .. evicted)
    else
        set, client = KEYS[3], nil
    end
end
redis.call('ZREMRANGEBYSCORE', set, '-inf', now - window)
-- The clock of a Redis that took over may be behind by seconds: times ahead of it would count for too long.
redis.call('ZREMRANGEBYSCORE', set, string.format('(%.0f', now + 1000000), '+inf')
local counted = redis.call('ZCARD', set)
local admitted = 0
if counted < max then
    local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')[2]
    -- Two requests in one microsecond are two members.
    if last and tonumber(last) >= now then now = last + 1 end
    redis.call('ZADD', set, now, string.format('%.0f', now))
    local window_ms = math.ceil(window / 1000)
    redis.call('PEXPIRE', set, window_ms)
    if client then
        redis.call('ZADD', index, now + window, client)
        redis.call('PEXPIRE', index, window_ms)
    end
    admitted, counted = 1, counted + 1
end
local oldest = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
return {admitted, math.max(0, max - counted), oldest and oldest + window - now or 0}";

/// Connects to a Redis, and returns its version.
///
/// # Errors
/// When it doesn't answer or its version is older than 6.2.
pub(in crate::backend) async fn version(url: &str) -> Result<String> {
    let fault = |error: redis::RedisError| Error::Corrupt(format!("Redis failed: {error}"));
    let mut connection =
        redis::Client::open(url).map_err(fault)?.get_multiplexed_async_connection().await.map_err(fault)?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.map_err(fault)?;
    // Version 6.2 added this command with a count. The key has no members.
    let _: Vec<String> =
        redis::cmd("ZRANDMEMBER").arg("vwaza:check-config").arg(1).query_async(&mut connection).await.map_err(fault)?;
    let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("of an unknown version").trim().to_owned())
}

pub(super) struct Redis {
    client: redis::Client,
    /// The connection, and the number of connections before it.
    connection: Mutex<(u64, ConnectionManager)>,
    admit: Script,
    timeout: Duration,
    /// The time of the latest failure, until Redis answers again.
    away_since: Mutex<Option<Instant>>,
}

impl Redis {
    /// Prepares a client, which connects with the first request and reconnects whenever the connection breaks.
    ///
    /// # Errors
    /// When `url` is not a Redis address.
    pub(super) fn connect(url: &str, timeout: Duration) -> RedisResult<Self> {
        let client = redis::Client::open(url)?;
        let connection = Mutex::new((0, open(&client, timeout)?));
        Ok(Self { client, connection, admit: Script::new(ADMIT), timeout, away_since: Mutex::default() })
    }

    /// Counts a request in Redis. Returns `None` if Redis does not answer before the deadline.
    pub(super) async fn admit(&self, rule: Rule, quota: Quota, client: &Client, deadline: Instant) -> Option<Decision> {
        if self.is_away() {
            return None;
        }
        let (number, connection) = lock(&self.connection).clone();
        let answer = timeout_at(deadline.into(), self.ask(connection, rule, quota, client)).await;
        let (decision, trouble) = match answer {
            Ok(Ok(decision)) => (Some(decision), None),
            Ok(Err(error)) => {
                // The connection's own timeout may end at the same moment as the deadline.
                if error.is_timeout() {
                    self.replace(number);
                }
                (None, Some(error.to_string()))
            }
            Err(_) => {
                self.replace(number);
                (None, Some(format!("no answer within {} ms", self.timeout.as_millis())))
            }
        };
        self.note(trouble);
        decision
    }

    /// Whether Redis failed to answer within the last [`ASK_AGAIN_AFTER`].
    fn is_away(&self) -> bool {
        let away_since = *lock(&self.away_since);
        away_since.is_some_and(|since| since.elapsed() < ASK_AGAIN_AFTER)
    }

    /// Takes back the client's latest request, so that it no longer counts. If Redis does not answer before the
    /// deadline, the request stays counted.
    pub(super) async fn take_back(&self, rule: Rule, client: &Client, deadline: Instant) {
        if self.is_away() {
            return;
        }
        let (_, mut connection) = lock(&self.connection).clone();
        let mut command = redis::cmd("ZPOPMAX");
        command.arg(key(rule, client));
        let taken = timeout_at(deadline.into(), command.query_async::<redis::Value>(&mut connection)).await;
        if !matches!(taken, Ok(Ok(_))) {
            tracing::debug!(rule = rule.name(), "taking back a counted request failed");
        }
    }

    /// Opens a new connection for the next request, unless another request has done so. A connection whose peer has
    /// vanished never reports an error, so it would be used for ever.
    fn replace(&self, number: u64) {
        let mut connection = lock(&self.connection);
        if connection.0 == number
            && let Ok(another) = open(&self.client, self.timeout)
        {
            *connection = (number + 1, another);
        }
    }

    async fn ask(
        &self,
        mut connection: ConnectionManager,
        rule: Rule,
        quota: Quota,
        client: &Client,
    ) -> RedisResult<Decision> {
        let window_us = u64::try_from(quota.window.as_micros()).unwrap_or(u64::MAX);
        let mut admit = self.admit.prepare_invoke();
        let name = rule.name();
        admit
            .key(key(rule, client))
            .key(format!("vwaza:limit:{name}:clients"))
            .key(format!("vwaza:limit:{name}:others"))
            .arg(quota.max)
            .arg(window_us)
            .arg(CLIENTS_MAX)
            .arg(EVICTION_LOOKS)
            .arg(prefix(rule));
        let (is_admitted, remaining, reset_us): (bool, u32, u64) = admit.invoke_async(&mut connection).await?;
        Ok(Decision { is_admitted, remaining, reset_after: Duration::from_micros(reset_us) })
    }

    /// Logs once when Redis becomes unreachable, and once when it answers again.
    fn note(&self, trouble: Option<String>) {
        let mut away_since = lock(&self.away_since);
        match (&trouble, &*away_since) {
            (Some(error), None) => tracing::warn!(error, "Redis unreachable; this process limits by itself"),
            (None, Some(_)) => tracing::info!("Redis reachable again; limits are shared"),
            _ => {}
        }
        *away_since = trouble.map(|_| Instant::now());
    }
}

/// Prepares a connection that is opened with the first request.
fn open(client: &redis::Client, timeout: Duration) -> RedisResult<ConnectionManager> {
    let config = ConnectionManagerConfig::new()
        .set_response_timeout(Some(timeout))
        .set_connection_timeout(Some(ASK_AGAIN_AFTER))
        .set_number_of_retries(1);
    client.get_connection_manager_lazy(config)
}

fn prefix(rule: Rule) -> String {
    format!("vwaza:limit:{}:client:", rule.name())
}

fn key(rule: Rule, client: &Client) -> String {
    format!("{}{client}", prefix(rule))
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds this lock.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
