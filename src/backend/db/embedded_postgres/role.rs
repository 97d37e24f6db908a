//! The database role that the application connects as. It owns the database and all that is in it, and nothing beyond.

use sqlx::{Connection as _, PgConnection};

/// The role of the application.
pub(super) const APPLICATION: &str = "vwaza_app";

/// Makes the role if need be, gives it its password, and hands over what an earlier version made as superuser.
///
/// One transaction, so that a kill leaves it undone or done. Nothing changes where nothing is left to hand over, but that the password
/// counts which stands in the file. `REASSIGN OWNED` refuses to take from the cluster's first superuser. A table's indexes, row type and
/// sequences of columns follow their table, a type's array follows its type.
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

/// As the superuser at `superuser_url`. The caller holds `postgres.lock`.
pub(super) async fn prepare(superuser_url: &str, password: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(superuser_url).await?;
    #[expect(clippy::disallowed_methods, reason = "a connection of its own ends with its transaction")]
    let mut transaction = connection.begin().await?;
    // The password stays out of the database's log, whatever is logged there.
    let settings = "select set_config('log_statement', 'none', true), set_config('log_min_error_statement', 'panic', true),
                           set_config('log_min_duration_statement', '-1', true), set_config('vwaza.password', $1, true)";
    sqlx::query(settings).bind(password).execute(&mut *transaction).await?;
    sqlx::raw_sql(PREPARE).execute(&mut *transaction).await?;
    transaction.commit().await?;
    connection.close().await
}
