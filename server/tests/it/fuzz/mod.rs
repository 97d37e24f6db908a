//! Sends random bytes to every address as requests.
//!
//! One seed makes one sequence of requests. `VWAZA_FUZZ_SEED` repeats a sequence. `VWAZA_FUZZ_SECONDS` fuzzes for
//! longer, and as fast as the server answers.

mod requests;
mod senders;

use std::{
    env,
    str::FromStr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use futures::future::join_all;
use testing::eventually;
use tokio::{task::JoinSet, time::interval};
use vwaza::domain::account::NewAccessToken;

use self::{
    requests::{Random, request},
    senders::{Sender, send},
};
use crate::support::{AccessRow, App, Client, PASSWORD, Placeholders, spawn_app_with};

/// The default duration.
const SECONDS: u64 = 90;
/// The rate within the default duration. Other tests run at the same time.
const REQUESTS_PER_SECOND: u32 = 30;
const AT_ONCE: usize = 4;
const GROWTH_MAX_KIB: u64 = 32 * 1024;
/// The artist's things are created anew after so many requests, because some requests delete them.
const RENEW_EVERY: u64 = 100;

const CONTENT_TYPES: [&str; 14] = [
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "APPLICATION/JSON",
    "application/json; charset=\"",
    "application/cbor",
    "application/offset+octet-stream",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    "multipart/form-data; boundary=\"",
    "multipart/mixed; boundary=b",
    "text/plain",
    "text/html",
    "*/*",
    ";",
];

/// Returns the anonymous memory in KiB after eight concurrent sign-ins. The server then holds the memory of a hash for
/// each core. Without the sign-ins, that memory may be freed already, half a minute after its last use.
async fn memory_kib(app: &App, email: &str) -> u64 {
    let clients: Vec<Client> = (0..8).map(|_| app.anonymous()).collect();
    join_all(clients.iter().map(|client| client.sign_in(email, PASSWORD))).await;
    app.anonymous_kib()
}

fn setting<T: FromStr>(name: &str) -> Option<T> {
    Some(env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_request_to_any_address_is_answered_without_a_fault_and_takes_no_memory() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let seed = setting("VWAZA_FUZZ_SEED").unwrap_or_else(|| u64::try_from(now).unwrap());
    let seconds: Option<u64> = setting("VWAZA_FUZZ_SECONDS");
    println!("to send the same once more: VWAZA_FUZZ_SEED={seed}");
    let settings = [("VWAZA_LIMIT_FAILED_SIGN_INS", "100000"), ("VWAZA_MAX_OPEN_UPLOADS", "100000")];
    let app = spawn_app_with(&settings).await;
    let (ana, ben, admin) = (app.artist("Ana").await, app.artist("Ben").await, app.admin().await);
    app.logs_a_backtrace(&ana).await;
    let faults = || app.log.lines().into_iter().filter(|line| line.contains("\"level\":\"ERROR\""));
    let provoked = faults().count();
    let mut things = Placeholders::of(&app, &ana).await;
    let token = ana.call_with("access-tokens/make", "name", "a script").await.ok::<NewAccessToken>().token;
    let email = things.email().to_owned();
    let senders = [
        Sender::Nobody,
        Sender::person(ana.clone()).await,
        Sender::person(ben).await,
        Sender::person(admin).await,
        Sender::Script { token },
    ];
    let rows = AccessRow::all();
    let host = ana.listen();

    let mut random = Random(seed);
    let (mut sent, mut answered, mut before_kib) = (0_u64, 0_u64, None);
    let warm_up = u64::try_from(3 * rows.len()).unwrap();
    let mut began = Instant::now();
    let mut pace = interval(Duration::from_secs(1) / REQUESTS_PER_SECOND);
    let mut running = JoinSet::new();
    while before_kib.is_none() || began.elapsed() < Duration::from_secs(seconds.unwrap_or(SECONDS)) {
        if sent == warm_up && before_kib.is_none() {
            before_kib = Some(memory_kib(&app, &email).await);
            began = Instant::now();
        }
        if before_kib.is_some() && seconds.is_none() {
            pace.tick().await;
        }
        if sent.is_multiple_of(RENEW_EVERY) {
            senders[1].come_back().await;
            things.renew(&app, &ana, |_| true).await;
        }
        // The first requests go through all rows.
        let row = if sent < warm_up { &rows[usize::try_from(sent).unwrap() % rows.len()] } else { random.pick(&rows) };
        let sender = random.below(senders.len());
        let request = request(&mut random, row, &things, &host, &senders[sender].credentials());
        let host = host.clone();
        running.spawn(async move {
            let outcome = send(&host, &request).await;
            (sender, request, outcome)
        });
        sent += 1;
        while running.len() >= AT_ONCE
            && let Some(done) = running.join_next().await
        {
            let (sender, request, outcome) = done.unwrap();
            let status = outcome.unwrap_or_else(|fault| {
                let request: String = request.bytes.escape_ascii().to_string().chars().take(3000).collect();
                panic!("VWAZA_FUZZ_SEED={seed}, one of the requests before number {sent}: {request}\n{fault}")
            });
            answered += u64::from(status.is_some());
            if status == Some(401) {
                senders[sender].come_back().await;
            }
        }
    }
    while running.join_next().await.is_some() {}
    println!("{sent} requests, {answered} answers");
    assert!(answered > sent / 2, "{answered} answers to {sent} requests: they are too broken to find anything");
    let before_kib = before_kib.unwrap();
    let mut after_kib = 0;
    eventually("the server's memory is what it was", async || {
        after_kib = memory_kib(&app, &email).await;
        (after_kib <= before_kib + GROWTH_MAX_KIB).then_some(())
    })
    .await;
    println!("memory: {before_kib} KiB before, {after_kib} KiB after");
    assert_eq!(app.log.events("listening").len(), 1);
    let faults: Vec<String> = faults().skip(provoked).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    app.expect_consistent().await;
}
