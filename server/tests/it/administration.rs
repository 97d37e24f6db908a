//! Admins and operators manage accounts.

use vwaza::domain::{
    account::Role,
    administration::{UserChange, UserView},
    ids::UserId,
    security::SecurityEventKind,
};

use crate::support::{App, Client, PASSWORD, TestResponse, form, spawn_app, spawn_app_with};

async fn id_of(client: &Client) -> UserId {
    client.actor().await.unwrap().id
}

async fn email_of(client: &Client) -> String {
    client.actor().await.unwrap().email
}

async fn change(admin: &Client, id: UserId, change: UserChange) -> TestResponse {
    change_with(admin, id, change, PASSWORD).await
}

async fn change_with(admin: &Client, id: UserId, change: UserChange, password: &str) -> TestResponse {
    let name = serde_json::to_value(change).unwrap();
    let fields = [("id", &*id.to_string()), ("change", name.as_str().unwrap()), ("current_password", password)];
    admin.call("users/change", &form(&fields)).await
}

async fn view(admin: &Client, id: UserId) -> UserView {
    admin.call_with("users/view", "id", id).await.ok()
}

#[tokio::test]
async fn a_disabled_user_is_shut_out_at_once_and_let_in_again() {
    let app = spawn_app().await;
    let (admin, ana) = (app.admin().await, app.artist("Ana").await);
    let (id, email) = (id_of(&ana).await, email_of(&ana).await);
    ana.call_with("access-tokens/make", "name", "Backup").await.expect_status(200);
    app.anonymous().call_with("account/request-password-reset", "email", &email).await.expect_status(200);
    let reset = app.mail_number(1, &email).await;
    let before = view(&admin, id).await;
    assert_eq!((before.sessions, before.access_tokens, before.is_disabled), (1, 1, false));

    change(&admin, id, UserChange::Disable).await.expect_status(200);
    ana.call("releases/create", &form(&[])).await.expect_status(401);
    app.anonymous().sign_in(&email, PASSWORD).await.expect_status(401);
    let set = form(&[("link", reset.link()), ("new_password", "another good password")]);
    app.anonymous().call("account/reset-password", &set).await.expect_status(410);
    change(&admin, id, UserChange::SendResetLink).await.expect_error(409, "Enable it first");
    // Disabling an account again changes nothing.
    change(&admin, id, UserChange::Disable).await.expect_status(200);
    let after = view(&admin, id).await;
    assert_eq!((after.sessions, after.access_tokens, after.is_disabled), (0, 0, true));
    assert_eq!(after.events.iter().filter(|event| event.kind == SecurityEventKind::Disabled).count(), 1);
    assert!(after.events[0].by_admin);

    change(&admin, id, UserChange::Enable).await.expect_status(200);
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
}

#[tokio::test]
async fn a_new_role_takes_a_new_session() {
    let app = spawn_app().await;
    let (admin, ana) = (app.admin().await, app.artist("Ana").await);
    let (id, email) = (id_of(&ana).await, email_of(&ana).await);
    // Changes that outlast a stolen session need the password, and admins can't reset their own second factor.
    for what in [UserChange::MakeAdmin, UserChange::ResetTwoFactor] {
        change_with(&admin, id, what, "not theirs").await.expect_field_error("current_password");
    }
    let own = change(&admin, id_of(&admin).await, UserChange::ResetTwoFactor).await;
    own.expect_error(409, "on your account page");
    change(&admin, id, UserChange::MakeAdmin).await.expect_status(200);
    assert_eq!(ana.actor().await, None);
    ana.sign_in(&email, PASSWORD).await.expect_status(200);
    assert_eq!(ana.actor().await.unwrap().role, Role::Admin);
    // Ana is an admin now, so the other admin can be demoted.
    change(&ana, id_of(&admin).await, UserChange::MakeArtist).await.expect_status(200);
    assert_eq!(admin.actor().await, None);
}

#[tokio::test]
async fn the_only_admin_stays() {
    let app = spawn_app().await;
    let admin = app.admin().await;
    let (id, email) = (id_of(&admin).await, email_of(&admin).await);
    for what in [UserChange::Disable, UserChange::MakeArtist] {
        change(&admin, id, what).await.expect_error(409, "This is the only admin");
    }
    for arguments in
        [&["user", "disable", "--email", &email][..], &["user", "set-role", "--email", &email, "--role", "artist"]]
    {
        let output = app.run(arguments, "");
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("This is the only admin"));
    }
    assert_eq!(admin.actor().await.unwrap().role, Role::Admin);
}

#[tokio::test]
async fn one_of_two_admins_who_demote_each_other_stays() {
    let app = spawn_app().await;
    let (one, two) = (app.admin().await, app.admin().await);
    let (first, second) = (id_of(&one).await, id_of(&two).await);
    let held = app.hold_table("lock table users in share mode").await;
    let let_go = async {
        app.waits_for_locks(2).await;
        drop(held);
    };
    let (to_second, to_first, ()) =
        tokio::join!(change(&one, second, UserChange::MakeArtist), change(&two, first, UserChange::Disable), let_go);
    let mut answers = [to_second.status, to_first.status];
    answers.sort_unstable();
    assert_eq!(answers[0], 200, "{} {}", to_second.text(), to_first.text());
    assert_ne!(answers[1], 200);
    let left: i64 = sqlx::query_scalar("select count(*) from users where role = 'ADMIN' and disabled_at is null")
        .fetch_one(&app.sql)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn an_admin_verifies_an_address_ends_sessions_and_sends_a_link() {
    let app = spawn_app_with(&[("VWAZA_REQUIRE_VERIFIED_EMAIL", "on")]).await;
    let (admin, ana) = (app.admin().await, app.artist("Ana").await);
    let (id, email) = (id_of(&ana).await, email_of(&ana).await);
    assert!(!view(&admin, id).await.has_verified_email);
    change(&admin, id, UserChange::VerifyEmail).await.expect_status(200);
    ana.release_in_review().await;
    change(&admin, id, UserChange::EndSessions).await.expect_status(200);
    assert_eq!(ana.actor().await, None);
    change(&admin, id, UserChange::SendResetLink).await.expect_status(200);
    let mail = app.newest_mail(&email, "Set a new password").await;
    assert!(mail.text.contains("An admin sends you this link"), "{}", mail.text);
    let set = form(&[("link", mail.link()), ("new_password", "another good password")]);
    app.anonymous().call("account/reset-password", &set).await.expect_status(200);
    let kinds: Vec<_> = view(&admin, id).await.events.into_iter().map(|event| event.kind).collect();
    for kind in [SecurityEventKind::EmailVerified, SecurityEventKind::SessionsEnded, SecurityEventKind::ResetRequested]
    {
        assert_eq!(kinds.iter().filter(|of| **of == kind).count(), 1, "{kind:?} in {kinds:?}");
    }
}

#[tokio::test]
async fn only_admins_see_and_change_accounts() {
    let app = spawn_app().await;
    let (ana, bo) = (app.artist("Ana").await, app.artist("Bo").await);
    let id = id_of(&bo).await;
    change(&ana, id, UserChange::Disable).await.expect_status(403);
    ana.call_with("users/view", "id", id).await.expect_status(403);
    assert_eq!(ana.get(&format!("/admin/users/{id}")).await.status, 403);
    let admin = app.admin().await;
    assert!(admin.get(&format!("/admin/users/{id}")).await.expect_status(200).text().contains("Disable the account"));
    let nobody = UserId(uuid::Uuid::nil());
    change(&admin, nobody, UserChange::Disable).await.expect_status(404);
    assert_eq!(admin.get(&format!("/admin/users/{nobody}")).await.status, 404);
}

#[tokio::test]
async fn an_operator_does_the_same_by_commands() {
    let app: App = spawn_app().await;
    app.admin().await;
    let ana = app.artist("Ana").await;
    let email = email_of(&ana).await;
    let run = |arguments: &[&str]| {
        let output = app.run(&[&["user"], arguments].concat(), "");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["list"]).contains(&format!("{email}\tartist\tenabled\tAna\n")));
    run(&["disable", "--email", &email.to_uppercase()]);
    assert_eq!(ana.actor().await, None);
    assert!(run(&["list"]).contains(&format!("{email}\tartist\tdisabled\tAna\n")));
    run(&["enable", "--email", &email]);
    run(&["set-role", "--email", &email, "--role", "admin"]);
    // Without a mail server, the link is printed.
    let link = run(&["reset-password", "--email", &email]);
    let set = form(&[("link", link.trim()), ("new_password", "another good password")]);
    ana.call("account/reset-password", &set).await.expect_status(200);
    ana.sign_in(&email, "another good password").await.expect_status(200);
    assert_eq!(ana.actor().await.unwrap().role, Role::Admin);
    let output = app.run(&["user", "disable", "--email", "nobody@example.com"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("No account has the address nobody@example.com"));
}
