//! Backups that are damaged: a verification names what is, and a restore refuses it.

use std::{fs, path::Path};

use sqlx::PgPool;

use super::{Place, Target, all_is_examined, failed, run, succeeded};
use crate::support::spawn_app;

async fn tables_in(place: &Place) -> i64 {
    let db = PgPool::connect(&place.database.url()).await.unwrap();
    let tables = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'");
    let tables = tables.fetch_one(&db).await.unwrap();
    db.close().await;
    tables
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut_in_half(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

#[tokio::test]
async fn every_damaged_truncated_or_missing_piece_is_named_and_refused() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    succeeded(&run(&app, &["backup", target.path()]).await);
    let place = Place::new().await;
    let users = target.files_in("tables").into_iter().find(|path| path.to_string_lossy().ends_with(".users")).unwrap();
    let pieces = [users, target.files_in("content")[0].clone(), target.files_in("manifests")[0].clone()];
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 3] =
        [("flipped", flip_a_bit), ("truncated", cut_in_half), ("missing", |path| fs::remove_file(path).unwrap())];
    for piece in &pieces {
        let name = piece.file_name().unwrap().to_str().unwrap();
        let whole = fs::read(piece).unwrap();
        for (what, damage) in damages {
            damage(piece);
            let checked = failed(&run(&app, &["verify-backup", target.path()]).await);
            let refused = failed(&place.restore(&[target.path()]).await);
            // A backup without its manifest doesn't exist.
            let is_no_backup = what == "missing" && piece == &pieces[2];
            let expected = if is_no_backup { "there is no backup" } else { name };
            assert!(checked.contains(expected), "{name}, {what}: {checked}");
            let expected = if piece == &pieces[2] { "backup" } else { name };
            assert!(refused.contains(expected), "{name}, {what}: {refused}");
            assert_eq!(tables_in(&place).await, 0, "a refused restore changes nothing: {name}, {what}");
            fs::write(piece, &whole).unwrap();
        }
    }
    succeeded(&run(&app, &["verify-backup", target.path()]).await);
    succeeded(&place.restore(&[target.path()]).await);
}

#[tokio::test]
async fn an_object_that_the_storage_has_lost_is_named_and_the_rest_is_saved() {
    let app = spawn_app().await;
    let (ana, target) = (app.artist("Ana").await, Target::new());
    let release = ana.complete_release().await;
    all_is_examined(&ana, release).await;
    let (song, cover) = (app.only_file_in("objects/audio"), app.only_file_in("objects/covers"));
    flip_a_bit(&song);
    fs::remove_file(&cover).unwrap();
    let said = failed(&run(&app, &["backup", target.path()]).await);
    for (folder, lost) in [("audio", &song), ("covers", &cover)] {
        let key = format!("{folder}/{}", lost.file_name().unwrap().to_str().unwrap());
        assert!(said.contains(&format!("missing: {key}")), "{said}");
    }
    let checked = failed(&run(&app, &["verify-backup", target.path()]).await);
    assert!(checked.contains("2 files are damaged or missing"), "{checked}");
    let place = Place::new().await;
    let said = failed(&place.restore(&[target.path()]).await);
    assert!(said.contains("missing object audio/") && said.contains("missing object covers/"), "{said}");
}

#[tokio::test]
async fn a_folder_without_a_backup_and_a_wrong_name_are_refused() {
    let app = spawn_app().await;
    let target = Target::new();
    for arguments in [["verify-backup", "/nonexistent/backups"], ["verify-backup", target.path()]] {
        let said = failed(&run(&app, &arguments).await);
        assert!(said.contains("there is no"), "{said}");
    }
    succeeded(&run(&app, &["backup", target.path()]).await);
    let said = failed(&run(&app, &["verify-backup", target.path(), "--backup", "yesterday"]).await);
    assert!(said.contains("there is no backup yesterday"), "{said}");
    app.artist("Ana").await;
    let said = failed(&run(&app, &["restore", target.path()]).await);
    assert!(said.contains("the database is not empty"), "{said}");
}
