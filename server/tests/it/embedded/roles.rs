//! Tests the role of the application, and how an older cluster is handed over to it.

use std::fs;

use sqlx::Connection;
use testing::eventually;

use super::has_a_role_of_its_own;
use crate::support::{Embedded, PASSWORD, RunAs};

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
