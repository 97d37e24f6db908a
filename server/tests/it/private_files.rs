//! Only the server's user may read unreleased masters on this machine: folders are 0700 and files 0600, whatever the
//! umask is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use testing::eventually;
use vwaza::domain::{files::FileState, upload::UploadTarget};

use crate::support::{Client, Embedded, LONG_SONG_HALF, RunAs, a_cover, a_long_song, a_song, is_root, spawn_app};

/// Returns every file and folder at and below a path, with its mode.
fn modes(path: &Path, found: &mut Vec<(PathBuf, bool, u32)>) {
    // The server may delete an unneeded file meanwhile.
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    found.push((path.to_owned(), metadata.is_dir(), metadata.permissions().mode() & 0o7777));
    if metadata.is_dir() {
        for entry in fs::read_dir(path).into_iter().flatten() {
            modes(&entry.unwrap().path(), found);
        }
    }
}

/// Checks that all files in these folders are private. Returns their number.
#[track_caller]
fn all_are_private(data_dir: &Path, folders: &[&str]) -> usize {
    let mut found = Vec::new();
    for folder in folders {
        modes(&data_dir.join(folder), &mut found);
    }
    for (path, is_folder, mode) in &found {
        assert_eq!(*mode, if *is_folder { 0o700 } else { 0o600 }, "{} is {mode:o}", path.display());
    }
    found.iter().filter(|(_, is_folder, _)| !is_folder).count()
}

/// Makes a stored track, a stored cover, half a track in the spool, and a mail.
async fn fill(ana: &Client, email: &str, data_dir: &Path) {
    let release = ana.create_release().await;
    ana.attach(UploadTarget::NewTrack(release), "song.wav", a_song(1)).await;
    ana.attach(UploadTarget::Cover(release), "cover.png", a_cover(1)).await;
    ana.release_once(release, "it is examined", |view| view.tracks[0].state() == FileState::Ready).await;
    let long = a_long_song(2);
    let begun = ana.begin(UploadTarget::NewTrack(release), "long.wav", long.len()).await;
    ana.patch(&begun.url, 0, long.slice(..LONG_SONG_HALF)).await.expect_status(204);
    ana.call_with("account/request-password-reset", "email", email).await.expect_status(200);
    let is_mail = |path: PathBuf| path.extension().is_some_and(|extension| extension == "eml");
    eventually("a mail is written", async || {
        let files = fs::read_dir(data_dir.join("mail")).ok()?;
        files.map(|file| file.unwrap().path()).any(is_mail).then_some(())
    })
    .await;
}

const FOLDERS: [&str; 3] = ["objects", "spool", "mail"];

#[tokio::test]
async fn files_that_an_earlier_version_left_readable_are_private_after_the_next_start() {
    let mut app = spawn_app().await;
    let ana = app.artist("Ana").await;
    let email = ana.actor().await.unwrap().email;
    fill(&ana, &email, app.data_dir()).await;
    let files = all_are_private(app.data_dir(), &FOLDERS);
    app.kill();
    for left in ["spool/scratch/left", "objects/audio/left#1", "mail/.left.part", "spool/spool.id.new"] {
        fs::write(app.data_dir().join(left), "").unwrap();
    }
    let mut found = Vec::new();
    FOLDERS.iter().for_each(|folder| modes(&app.data_dir().join(folder), &mut found));
    for (path, is_folder, _) in found {
        fs::set_permissions(path, Permissions::from_mode(if is_folder { 0o755 } else { 0o644 })).unwrap();
    }
    app.start().await;
    assert!(all_are_private(app.data_dir(), &FOLDERS) >= files);
}

#[tokio::test]
async fn files_are_private_and_postgresql_starts_whatever_the_umask_is() {
    let umasks: &[&str] = if is_root() { &["000", "077", "777"] } else { &["000", "077"] };
    for umask in umasks {
        let mut app = Embedded::new(RunAs::Ourselves);
        app.umask = umask;
        app.data_dir = app.folder.path().join("deep/data");
        app.start().await;
        assert!(!fs::symlink_metadata(app.home()).unwrap().is_symlink(), "{umask}: the database is a symlink");
        let ana = app.artist("Ana").await;
        fill(&ana, "ana@example.com", &app.data_dir).await;
        all_are_private(
            &app.data_dir,
            &[&FOLDERS[..], &["postgres.lock", "postgres.in-use", "postgres/app-password"]].concat(),
        );
        assert_eq!(fs::metadata(app.home()).unwrap().permissions().mode() & 0o7777, 0o700);
        app.stop().await;
        for lock in ["postgres.lock", "postgres.in-use"] {
            fs::set_permissions(app.data_dir.join(lock), Permissions::from_mode(0o666)).unwrap();
        }
        app.start().await;
        all_are_private(&app.data_dir, &["postgres.lock", "postgres.in-use"]);
        app.stop().await;
    }
}
