//! Tests data directories that are unusual, incomplete or unusable.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
};

use super::has_a_role_of_its_own;
use crate::support::{Embedded, PASSWORD, RunAs, is_root};

#[tokio::test]
async fn a_path_may_contain_any_character_but_a_line_break() {
    for name in ["quote\" and ' and $HOME and `id` and \\", "per%cent %a Späti 🎵", "-n", "a;b&c|d*e?f<g>h(i)"] {
        let mut app = Embedded::new(RunAs::Ourselves);
        app.data_dir = app.folder.path().join(name);
        app.start().await;
        app.kill();
        assert!(app.running().is_some(), "{name}");
        assert!(app.run(&["user", "list"], "").status.success(), "{name}");
        app.start().await;
        app.stop().await;
        assert_eq!(app.running(), None, "{name}");
        assert!(app.run(&["migrate"], "").status.success(), "{name}");
    }
    let mut app = Embedded::new(RunAs::Ourselves);
    app.data_dir = app.folder.path().join("two\nlines");
    let said = app.refuses_to_start().await;
    assert!(said.contains("line break"), "{said}");
    assert!(!app.home().exists());
}

#[tokio::test]
async fn a_setting_that_is_not_utf_8_is_an_error() {
    let not_text = || OsStr::from_bytes(b"/tmp/m\xfcsik").to_owned();
    for name in [
        "VWAZA_DATA_DIR",
        "DATABASE_URL",
        "VWAZA_LISTEN",
        "VWAZA_PUBLIC_URL",
        "VWAZA_STORAGE",
        "VWAZA_TRUSTED_PROXIES",
        "VWAZA_LOG_FORMAT",
        "VWAZA_JOB_POLL_MS",
        "REDIS_URL",
        "SMTP_URL",
        "RUST_LOG",
        "LEPTOS_SITE_ROOT",
        "AWS_SECRET_ACCESS_KEY",
    ] {
        let mut app = Embedded::new(RunAs::Ourselves);
        if name.starts_with("AWS_") {
            app.environment.extend([("VWAZA_STORAGE", OsString::from("s3")), ("S3_BUCKET", OsString::from("masters"))]);
        }
        app.environment.push((name, not_text()));
        let said = app.refuses_to_start().await;
        assert!(said.contains(name) && said.contains("UTF-8"), "{name}: {said}");
        assert_eq!(fs::read_dir(app.folder.path()).unwrap().count(), 0, "{name}: the data directory was made");
    }
}

/// Lists all files of a folder, with the contents of the small ones.
fn contents(folder: &Path) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = (path.is_file() && path.metadata().unwrap().len() < 1000).then(|| fs::read(&path).unwrap());
        found.push((path, bytes));
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_cluster_whose_version_cannot_be_read_is_left_alone() {
    for run_as in RunAs::all() {
        let mut app = Embedded::new(run_as);
        app.start().await;
        app.artist("Ana").await;
        app.stop().await;
        let (home, version) = (app.home(), app.data().join("PG_VERSION"));
        let kept = fs::read(&version).unwrap();
        let (before, cluster) = (contents(&home), contents(&app.data()).len());
        let broken: [(&str, &dyn Fn()); 7] = [
            ("gone", &|| fs::remove_file(&version).unwrap()),
            ("empty", &|| fs::write(&version, "").unwrap()),
            ("no number", &|| fs::write(&version, "fifteen\n").unwrap()),
            ("no text", &|| fs::write(&version, b"\xff\xfe").unwrap()),
            ("another version's", &|| fs::write(&version, "7\n").unwrap()),
            ("a folder", &|| {
                fs::remove_file(&version).unwrap();
                fs::create_dir(&version).unwrap();
            }),
            ("closed", &|| fs::set_permissions(&version, Permissions::from_mode(0o000)).unwrap()),
        ];
        for (what, breaks) in broken {
            breaks();
            let said = app.refuses_to_start().await;
            assert!(said.contains(home.to_str().unwrap()), "{what}: {said}");
            let log = home.join("start.log");
            let after = contents(&home).into_iter().filter(|(path, _)| *path != log).collect::<Vec<_>>();
            assert_eq!(after, before.iter().filter(|(path, _)| *path != log).cloned().collect::<Vec<_>>(), "{what}");
            let _ = fs::remove_dir(&version);
            let _ = fs::remove_file(&version);
            fs::write(&version, &kept).unwrap();
            let (user, group) = app.postgres_user();
            chown(&version, Some(user), Some(group)).unwrap();
            assert_eq!(contents(&app.data()).len(), cluster, "{what}");
        }
        app.start().await;
        app.anonymous().sign_in("ana@example.com", PASSWORD).await.expect_status(200);
        app.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_created_if_the_cluster_or_its_password_is_missing() {
    let mut app = Embedded::new(RunAs::Ourselves);
    app.start().await;
    app.artist("Ana").await;
    app.stop().await;
    let (data, elsewhere, password) = (app.data(), app.folder.path().join("elsewhere"), app.home().join("password"));
    let kept = fs::read(&password).unwrap();

    // A disk that is not mounted leaves an empty folder, or a link that leads nowhere.
    fs::rename(&data, &elsewhere).unwrap();
    fs::create_dir(&data).unwrap();
    assert!(app.refuses_to_start().await.contains("PG_VERSION"));
    fs::remove_dir(&data).unwrap();
    symlink(app.folder.path().join("nowhere"), &data).unwrap();
    assert!(app.refuses_to_start().await.contains("PG_VERSION"));
    fs::remove_file(&data).unwrap();
    symlink(&elsewhere, &data).unwrap();
    assert_eq!(fs::read(&password).unwrap(), kept);
    app.start().await;
    app.anonymous().sign_in("ana@example.com", PASSWORD).await.expect_status(200);
    app.stop().await;

    for lost in [None, Some("")] {
        fs::remove_file(&password).unwrap();
        if let Some(text) = lost {
            fs::write(&password, text).unwrap();
        }
        let said = app.refuses_to_start().await;
        assert!(said.contains(password.to_str().unwrap()) && said.contains("backup"), "{said}");
        fs::write(&password, &kept).unwrap();
    }
    app.start().await;
    app.stop().await;
}

/// The directory holds what a kill leaves while a cluster is made, or what operators prepare.
#[tokio::test]
async fn a_data_directory_that_holds_no_cluster_yet_is_given_one() {
    let mut app = Embedded::new(RunAs::Ourselves);
    fs::create_dir(&app.data_dir).unwrap();
    fs::write(app.data_dir.join("postgres.lock"), "").unwrap();
    fs::create_dir(app.home()).unwrap();
    fs::write(app.home().join("password"), "of nothing").unwrap();
    fs::create_dir(app.home().join("data.new")).unwrap();
    fs::write(app.home().join("data.new/PG_VERSION"), "15\n").unwrap();
    // The data directory is a link, as for a folder on another disk.
    let link = app.folder.path().join("link");
    symlink(&app.data_dir, &link).unwrap();
    app.data_dir = link;
    app.start().await;
    has_a_role_of_its_own(&app).await;
    app.stop().await;
}

#[tokio::test]
async fn an_unusable_data_directory_is_named() {
    let mut app = Embedded::new(RunAs::Ourselves);
    fs::write(app.folder.path().join("file"), "").unwrap();
    symlink(app.folder.path().join("nowhere"), app.folder.path().join("link")).unwrap();
    for name in ["file", "file/below", "link"] {
        app.data_dir = app.folder.path().join(name);
        let said = app.refuses_to_start().await;
        assert!(said.contains(app.folder.path().to_str().unwrap()), "{name}: {said}");
    }
    if is_root() {
        let mut app = Embedded::new(RunAs::Nobody);
        fs::create_dir(&app.data_dir).unwrap();
        for mode in [0o755, 0o700] {
            // A folder of root.
            fs::set_permissions(&app.data_dir, Permissions::from_mode(mode)).unwrap();
            let said = app.refuses_to_start().await;
            assert!(said.contains(app.data_dir.to_str().unwrap()), "{said}");
        }
        app.data_dir = app.data_dir.join("below");
        assert!(app.refuses_to_start().await.contains("Permission denied"));
    }
}
