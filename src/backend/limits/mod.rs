//! Rate limits: exact sliding windows. Each process counts in its own memory; with `REDIS_URL`, all processes share one
//! count in Redis.

mod byte_rate;
mod concurrency;
mod memory;
mod redis;
mod streams;

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub(in crate::backend) use self::redis::version as redis_version;
use self::{byte_rate::ByteRateLimit, concurrency::ConcurrencyLimit, memory::Windows, redis::Redis, streams::Streams};
pub use self::{concurrency::RequestSlot, streams::StreamSlot};
use sha2::{Digest, Sha256};

use super::{Error, LimitSettings, Result, accounts::tokens::SecretToken};
use crate::domain::{
    ids::UserId,
    limits::{Decision, LimitedBy, Quota},
    problem::Problem,
};

/// Requests of one user that may wait, per request of that user that may run at once.
const QUEUED_PER_RUNNING_REQUEST: u32 = 10;
/// The size of [`TokenUsers`], in tokens.
const TOKENS_MAX: usize = 10_000;

/// A kind of request or failure that is limited. [`LimitSettings`] holds the quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Requests below `/api/` of one address, except those that carry an upload's bytes or create one.
    Api,
    /// Sign-up attempts from one address, failed ones included.
    SignUp,
    /// Sign-in attempts from one address.
    SignIn,
    /// Uploads created from one address.
    UploadCreation,
    /// Failed sign-ins to one account. All unknown browsers share one window; each browser that the account knows has
    /// its own.
    FailedSignIn,
    /// Password reset mails to one e-mail address.
    ResetMail,
    /// Wrong codes for one account with two-factor sign-in.
    Code,
    /// Wrong current passwords typed by one signed-in user, before a change that needs the password.
    CurrentPassword,
    /// Password resets requested from one address.
    ResetRequest,
    /// Verification mails that one account asks for.
    VerificationMail,
}

impl Rule {
    pub const ALL: [Self; 10] = [
        Self::Api,
        Self::SignUp,
        Self::SignIn,
        Self::UploadCreation,
        Self::FailedSignIn,
        Self::ResetMail,
        Self::Code,
        Self::CurrentPassword,
        Self::ResetRequest,
        Self::VerificationMail,
    ];

    /// The rule's name in the `RateLimit` headers, in metrics and in Redis.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::SignUp => "sign-up",
            Self::SignIn => "sign-in",
            Self::UploadCreation => "upload-creation",
            Self::FailedSignIn => "failed-sign-in",
            Self::ResetMail => "reset-mail",
            Self::Code => "code",
            Self::CurrentPassword => "current-password",
            Self::ResetRequest => "reset-request",
            Self::VerificationMail => "verification-mail",
        }
    }

    fn quota(self, settings: &LimitSettings) -> Quota {
        let quarter_of_an_hour = Duration::from_secs(15 * 60);
        match self {
            Self::Api => Quota { max: settings.api_per_minute, window: Duration::from_secs(60) },
            Self::SignUp => Quota { max: settings.sign_ups, window: quarter_of_an_hour },
            Self::SignIn => Quota { max: settings.sign_ins, window: quarter_of_an_hour },
            Self::UploadCreation => Quota { max: settings.upload_creations, window: quarter_of_an_hour },
            Self::ResetRequest => Quota { max: settings.sign_ins, window: quarter_of_an_hour },
            Self::FailedSignIn | Self::Code | Self::CurrentPassword => {
                Quota { max: settings.failed_sign_ins, window: quarter_of_an_hour }
            }
            Self::ResetMail | Self::VerificationMail => {
                Quota { max: settings.reset_mails, window: Duration::from_secs(60 * 60) }
            }
        }
    }
}

/// The party whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An IPv4 address, or the /64 network of an IPv6 address.
    Network(IpAddr),
    /// A SHA-256 that stands for an account: of a user's id, of an e-mail address (whether or not it has an account),
    /// of a user's id with a known browser, or of a token whose user is unknown.
    Account([u8; 32]),
}

impl Client {
    /// The client behind an address. An IPv6 address counts as its /64 network, because providers give a whole network
    /// to one customer. An IPv4-mapped IPv6 address counts as its IPv4 address.
    pub fn of_address(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::from((u128::from(address) & !u128::from(u64::MAX)).to_be_bytes()),
            address @ IpAddr::V4(_) => address,
        })
    }

    /// The account of a user who is signed in, or who typed the right password.
    pub fn of_user(id: UserId) -> Self {
        Self::Account(Sha256::digest(id.0.as_bytes()).into())
    }

    /// The account of an e-mail address. Pass the address in lower case, as the database computes it, so that every
    /// spelling of it shares one limit.
    pub fn of_account(lower_email: &str) -> Self {
        Self::Account(Sha256::digest(lower_email).into())
    }

    /// One known browser of an account.
    pub fn of_browser(id: UserId, browser: &SecretToken) -> Self {
        Self::Account(Sha256::new().chain_update(id.0.as_bytes()).chain_update(browser.hash()).finalize().into())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => write!(f, "{address}"),
            Self::Account(hash) => f.write_str(&hex::encode(hash)),
        }
    }
}

/// A request that was counted before its outcome was known. [`Self::take_back`] takes it back.
pub struct CountedRequest<'a> {
    rule: Rule,
    client: Client,
    /// `None` if rate limits are off.
    windows: Option<&'a Windows>,
    /// `Some` if Redis counted the request, too.
    redis: Option<&'a Redis>,
}

impl CountedRequest<'_> {
    /// Takes the request back, so that it no longer counts. If Redis does not answer before the deadline, the request
    /// stays counted there.
    pub async fn take_back(self, deadline: Instant) {
        if let Some(windows) = self.windows {
            windows.take_back(&self.client);
        }
        if let Some(redis) = self.redis {
            redis.take_back(self.rule, &self.client, deadline).await;
        }
    }
}

/// A cache from token to user, so that all sessions of a user count together without a query for each request.
#[derive(Default)]
struct TokenUsers(Mutex<HashMap<[u8; 32], UserId>>);

impl TokenUsers {
    fn user_of(&self, token: &SecretToken) -> Client {
        let hash = digest(token);
        self.tokens().get(&hash).map_or(Client::Account(hash), |user| Client::of_user(*user))
    }

    fn insert(&self, token: &SecretToken, user: UserId) {
        let mut tokens = self.tokens();
        if tokens.len() >= TOKENS_MAX {
            // Tokens in use are inserted again by their next request.
            tokens.clear();
        }
        tokens.insert(digest(token), user);
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<[u8; 32], UserId>> {
        // No code panics while it holds this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &SecretToken) -> [u8; 32] {
    Sha256::digest(token.hash()).into()
}

fn too_many_at_once(rule: &'static str) -> Problem {
    metrics::counter!("vwaza_rate_limited_total", "rule" => rule).increment(1);
    Problem::RateLimited { by: LimitedBy::Network, retry_after_seconds: 1 }
}

/// All limits of this process.
pub struct Limits {
    is_on: bool,
    burst: u32,
    redis_timeout: Duration,
    rules: [(Rule, Quota, Windows); Rule::ALL.len()],
    redis: Option<Redis>,
    upload_rate: ByteRateLimit,
    streams: Streams,
    requests_of_addresses: ConcurrencyLimit,
    requests_of_users: ConcurrencyLimit,
    token_users: TokenUsers,
}

impl Limits {
    /// Builds the limits. Connects to Redis with the first request.
    ///
    /// # Errors
    /// When `REDIS_URL` is not a Redis address. An unreachable Redis is no error: each process then counts for itself.
    pub fn new(settings: &LimitSettings) -> Result<Self> {
        let redis = settings.redis_url.as_deref().map(|url| Redis::connect(url, settings.redis_timeout)).transpose();
        Ok(Self {
            is_on: settings.is_on,
            burst: settings.burst,
            redis_timeout: settings.redis_timeout,
            rules: Rule::ALL.map(|rule| {
                let quota = rule.quota(settings);
                (rule, quota, Windows::new(quota))
            }),
            upload_rate: ByteRateLimit::new(settings.upload_bytes_per_minute),
            streams: Streams::new(settings.streams_per_user, settings.streams_per_address),
            requests_of_addresses: ConcurrencyLimit::new(settings.requests_per_address, 0),
            requests_of_users: ConcurrencyLimit::new(
                settings.requests_per_user,
                QUEUED_PER_RUNNING_REQUEST * settings.requests_per_user,
            ),
            token_users: TokenUsers::default(),
            redis: redis.map_err(|error| Error::Corrupt(format!("REDIS_URL is not understood: {error}")))?,
        })
    }

    /// Whether rate limits are on (`VWAZA_RATE_LIMITS`).
    pub fn are_on(&self) -> bool {
        self.is_on
    }

    /// Requests of any kind that one client may send at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The quota of a rule.
    pub fn quota(&self, rule: Rule) -> Quota {
        self.rule(rule).1
    }

    /// The latest moment until which a request that arrives now waits for Redis, even if several rules count it.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.redis_timeout
    }

    /// Counts a request of this client and decides whether it is within the quota. A refused request does not count. If
    /// Redis does not answer before the deadline, this process decides from its own memory.
    pub async fn admit(&self, rule: Rule, client: &Client, deadline: Instant) -> Decision {
        self.count(rule, client, deadline).await.0
    }

    /// Counts a request. Returns Redis too if Redis decided.
    ///
    /// A request that Redis admits is counted in memory, too. If Redis becomes unreachable, this process continues from
    /// the requests that it has seen itself.
    async fn count(&self, rule: Rule, client: &Client, deadline: Instant) -> (Decision, Option<&Redis>) {
        let (rule, quota, windows) = self.rule(rule);
        let shared = match &self.redis {
            Some(redis) => redis.admit(*rule, *quota, client, deadline).await.map(|decision| (decision, redis)),
            None => None,
        };
        let (decision, redis) = match shared {
            Some((decision, redis)) => {
                if decision.is_admitted {
                    windows.admit(client);
                }
                (decision, Some(redis))
            }
            None => (windows.admit(client), None),
        };
        if !decision.is_admitted {
            metrics::counter!("vwaza_rate_limited_total", "rule" => rule.name()).increment(1);
        }
        (decision, redis)
    }

    /// Counts a request and refuses it when the quota is used up. Counts nothing if rate limits are off.
    ///
    /// # Errors
    /// `RateLimited` when the quota is used up; `by` chooses the words.
    pub async fn require(&self, rule: Rule, client: Client, by: LimitedBy) -> Result<CountedRequest<'_>, Problem> {
        if !self.is_on {
            return Ok(CountedRequest { rule, client, windows: None, redis: None });
        }
        let (decision, redis) = self.count(rule, &client, self.deadline()).await;
        if decision.is_admitted {
            return Ok(CountedRequest { rule, client, windows: Some(&self.rule(rule).2), redis });
        }
        Err(Problem::RateLimited { by, retry_after_seconds: decision.retry_after_seconds() })
    }

    /// Counts bytes of an upload. Returns how long the client's next bytes have to wait. Each process counts for
    /// itself.
    pub fn count_upload_bytes(&self, client: &Client, bytes: usize) -> Duration {
        self.upload_rate.take(client, bytes, Instant::now())
    }

    /// Opens an event stream slot, which lasts until it is dropped. Each process counts for itself.
    ///
    /// # Errors
    /// `TooMany` when this user or this client has too many open streams.
    pub fn open_stream(&self, user: UserId, client: Client) -> Result<StreamSlot, Problem> {
        self.streams.open(user, client)
    }

    /// Takes a request slot of this client, which lasts until it is dropped. Never waits. Each process counts for
    /// itself.
    ///
    /// # Errors
    /// `RateLimited` when the client has too many running requests.
    pub async fn begin_request(&self, client: Client) -> Result<RequestSlot, Problem> {
        self.requests_of_addresses.begin(client).await.ok_or_else(|| too_many_at_once("requests-of-address"))
    }

    /// Takes a request slot of the user whose session token or access token this is. Waits in a queue for up to 10 s.
    /// Each process counts for itself.
    ///
    /// # Errors
    /// `RateLimited` when the user's queue is full, or the wait is over.
    pub async fn begin_request_of(&self, token: &SecretToken) -> Result<RequestSlot, Problem> {
        let user = self.token_users.user_of(token);
        self.requests_of_users.begin(user).await.ok_or_else(|| too_many_at_once("requests-of-user"))
    }

    /// Takes a request slot of a known user, like [`Self::begin_request_of`]. `None` if rate limits are off.
    ///
    /// # Errors
    /// `RateLimited` when the user's queue is full, or the wait is over.
    pub async fn begin_request_of_user(&self, user: UserId) -> Result<Option<RequestSlot>, Problem> {
        if !self.is_on {
            return Ok(None);
        }
        let slot = self.requests_of_users.begin(Client::of_user(user)).await;
        slot.map(Some).ok_or_else(|| too_many_at_once("requests-of-user"))
    }

    /// Remembers the user of a token, so that the token's next requests count for that user.
    pub(super) fn remember_user_of(&self, token: &SecretToken, user: UserId) {
        self.token_users.insert(token, user);
    }

    fn rule(&self, rule: Rule) -> &(Rule, Quota, Windows) {
        &self.rules[rule as usize]
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn so_many_tokens_are_known_and_the_newest_is_one_of_them() {
        let (tokens, user) = (TokenUsers::default(), UserId(Uuid::now_v7()));
        for _ in 0..=TOKENS_MAX {
            let token = SecretToken::generate().unwrap();
            tokens.insert(&token, user);
            assert_eq!(tokens.user_of(&token), Client::of_user(user));
            assert!(tokens.tokens().len() <= TOKENS_MAX);
        }
        assert_ne!(tokens.user_of(&SecretToken::generate().unwrap()), Client::of_user(user));
    }

    #[test]
    fn rules_stand_where_they_are_looked_for() {
        let limits = Limits::new(&LimitSettings::default()).unwrap();
        for rule in Rule::ALL {
            assert_eq!(limits.rule(rule).0, rule);
        }
    }

    #[test]
    fn an_ipv6_address_counts_as_its_network() {
        let client = |text: &str| Client::of_address(text.parse().unwrap());
        assert!(client("2001:db8:1:2::1") == client("2001:db8:1:2:ffff::2"));
        assert!(client("2001:db8:1:2::1") != client("2001:db8:1:3::1"));
        assert!(client("::ffff:192.0.2.7") == client("192.0.2.7"));
        assert!(client("192.0.2.7") != client("192.0.2.8"));
    }
}
