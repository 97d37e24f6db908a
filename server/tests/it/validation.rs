//! Files that have arrived are judged so many at once, and no client waits for its turn for long.

use std::{num::NonZero, thread::available_parallelism};

use futures::{StreamExt, stream::FuturesUnordered};
use vwaza::domain::upload::UploadTarget;

use crate::support::{a_cover, ends, spawn_app_with};

#[tokio::test]
async fn so_many_files_are_validated_at_once_and_the_next_one_hears_to_come_later() {
    // The server derives the same limit from the same machine.
    let at_once = available_parallelism().map_or(1, NonZero::get).max(2);
    // A judging thread pauses until the test lets it go on, and a client waits for its turn for a second at most.
    let mut app = spawn_app_with(&[
        ("VWAZA_FAIL_POINTS", "judging=pause;judging-wait-max=return(1)"),
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
    let answer = ends("one finds no turn", sent.next()).await.unwrap().unwrap();
    answer.expect_error(503, "We have your file. We can't check it right now");
    app.kill();
    while let Some(answer) = sent.next().await {
        assert!(answer.is_err(), "it was being judged");
    }
    drop(sent);
    app.start_with(&[("VWAZA_FAIL_POINTS", "")]).await;
    for begun in &begun {
        assert_eq!(ana.offset(&begun.url).await, cover.len());
        ana.attached(begun.id).await;
    }
    app.expect_consistent().await;
}
