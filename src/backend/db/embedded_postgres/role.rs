//! The database role of the application. It owns the database and everything in it, and has no other rights.

use sqlx::{Connection as _, PgConnection};

/// The name of the application's role.
pub(super) const APPLICATION: &str = "vwaza_app";

/// Creates the role if it is missing, sets its password, and hands over everything that an earlier version created as
/// superuser.
///
/// The statement runs in one transaction, so that a kill leaves all of it done or nothing. If nothing is left to hand
/// over, it only sets the password. `REASSIGN OWNED` cannot be used, because it refuses to take objects from the
/// cluster's first superuser. A table's indexes, row type and column sequences change their owner with the table, and
/// an array type with its element type.
const PREPARE: &str = r"
do $$
declare
    statement text;
begin
    if not exists (select from pg_roles where rolname = 'vwaza_app') then
        create role vwaza_app;
    end if;
    execute format(
        'alter role vwaza_app login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password %L',
        current_setting('vwaza.password'));
    for statement in
        select format('alter database %I owner to vwaza_app', datname)
        from pg_database
        where datname = current_database() and datdba <> 'vwaza_app'::regrole
        union all
        select format('alter %s %s owner to vwaza_app', object.type, object.identity)
        from (
            select 'pg_namespace'::regclass, oid
            from pg_namespace
            where nspowner = current_user::regrole and nspname !~ '^pg_' and nspname <> 'information_schema'
            union all
            select 'pg_class'::regclass, oid
            from pg_class
            where relowner = current_user::regrole and oid >= 16384 and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
              and relpersistence <> 't'
              and not exists (select from pg_depend
                              where classid = 'pg_class'::regclass and objid = pg_class.oid and relkind = 'S'
                                and refobjsubid > 0 and deptype in ('a', 'i'))
            union all
            select 'pg_type'::regclass, pg_type.oid
            from pg_type left join pg_class on pg_class.oid = typrelid
            where typowner = current_user::regrole and pg_type.oid >= 16384
              and (typtype in ('d', 'e', 'r') or relkind = 'c')
            union all
            select 'pg_proc'::regclass, oid
            from pg_proc
            where proowner = current_user::regrole and oid >= 16384
        ) as owned (catalog, oid),
        pg_identify_object(owned.catalog, owned.oid, 0) as object
        where coalesce(object.schema, '') !~ '^pg_'
          and not exists (select from pg_depend
                          where classid = owned.catalog and objid = owned.oid and deptype = 'e')
    loop
        execute statement;
    end loop;
end
$$";

/// Prepares the role as the superuser at `superuser_url`. The caller holds `postgres.lock`.
pub(super) async fn prepare(superuser_url: &str, password: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(superuser_url).await?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this connection belongs to no pool, so a cancelled begin harms no other user"
    )]
    let mut transaction = connection.begin().await?;
    // These settings keep the password out of the database's log, whatever is logged there.
    let settings = "select set_config('log_statement', 'none', true), set_config('log_min_error_statement', 'panic', true),
                           set_config('log_min_duration_statement', '-1', true), set_config('vwaza.password', $1, true)";
    sqlx::query(settings).bind(password).execute(&mut *transaction).await?;
    sqlx::raw_sql(PREPARE).execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await
}
