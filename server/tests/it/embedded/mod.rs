//! The embedded PostgreSQL: its data directory, its roles, and its start among leftovers of an operator or a crash.

mod data_directory;
mod roles;
mod root;
mod start;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use sqlx::{Connection, Row};

use crate::support::Embedded;

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
