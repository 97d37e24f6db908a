//! Users who are signed in, as rows. Signing them up over HTTP would hash a password for each of them.

use sqlx::PgPool;

use crate::BenchResult;

/// Adds admins with the numbers 1 to `count`, each with a session. Admins get the events of all releases.
pub(crate) async fn sign_in_admins(sql: &PgPool, count: i32) -> BenchResult<()> {
    sqlx::query(
        "with admins as (
             insert into users (id, email, artist_name, password_hash, role)
             select md5('admin ' || number)::uuid, 'admin-' || number || '@example.com', 'Bench', '', 'ADMIN'
             from generate_series(1, $1) number)
         insert into sessions (token_hash, user_id, expires_at)
         select sha256(convert_to(lpad(number::text, 64, '0'), 'UTF8')), md5('admin ' || number)::uuid,
                now() + interval '1 day'
         from generate_series(1, $1) number",
    )
    .bind(count)
    .execute(sql)
    .await?;
    Ok(())
}

/// The cookie of an admin's session, by the admin's number.
pub(crate) fn cookie(number: i32) -> String {
    format!("vwaza={number:064}")
}
