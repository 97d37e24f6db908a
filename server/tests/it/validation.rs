//! The number of files that are validated at once is limited, and a client waits for its permit for a short time only.

use std::{num::NonZero, thread::available_parallelism};

use futures::{StreamExt, stream::FuturesUnordered};
use vwaza::domain::upload::UploadTarget;

use crate::support::{a_cover, ends, spawn_app_with};

#[tokio::test]
async fn the_number_of_concurrent_validations_is_limited_and_the_next_client_gets_503() {
    // The server derives the same limit from the same machine.
    let at_once = available_parallelism().map_or(1, NonZero::get).max(2);
    // A validating thread pauses until the test ends it, and a client waits for its permit for one second at most.
    let mut app = spawn_app_with(&[
        ("VWAZA_FAIL_POINTS", "validation=pause;validation-wait-max=return(1)"),
        ("VWAZA_MAX_OPEN_UPLOADS", "1000"),
    ])
    .await;
    let (ana, cover) = (app.artist("Ana").await, a_cover(1));
    let mut begun = Vec::new();
    for _ in 0..=at_once {
        let target = UploadTarget::Cover(ana.create_release().await);
        begun.push(ana.begin(target, "cover.png", cover.len()).await);
    }
    let mut sent: FuturesUnordered<_> = begun.iter().map(|begun| ana.try_patch(&begun.url, 0, cover.clone())).collect();
    let answer = ends("one gets no permit to validate", sent.next()).await.unwrap().unwrap();
    answer.expect_error(503, "We have your file. We can't check it right now");
    app.kill();
    while let Some(answer) = sent.next().await {
        assert!(answer.is_err(), "a PATCH was answered although its file was still being validated");
    }
    drop(sent);
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    for begun in &begun {
        assert_eq!(ana.offset(&begun.url).await, cover.len());
        ana.attached(begun.id).await;
    }
    app.expect_consistent().await;
}
