//! Tests starts among leftovers of a crash, and starts that fail.

use std::{fs, net::TcpListener, os::unix::fs::chown};

use crate::support::{Embedded, RunAs};

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
