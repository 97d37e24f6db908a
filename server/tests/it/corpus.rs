//! `./dev corpus` prints what the server would say about the files of a folder.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;
use testing::fixtures;

fn corpus(arguments: &[&str]) -> Output {
    // Cargo builds examples beside the tested binary.
    let program = Path::new(env!("CARGO_BIN_EXE_vwaza")).with_file_name("examples").join("corpus");
    Command::new(program).args(arguments).output().unwrap()
}

#[test]
fn every_file_of_a_folder_has_a_line_with_the_servers_answer() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    fs::create_dir(folder.path().join("inner")).unwrap();
    put("song.flac", &fixtures::flac(2.0, 44_100, 16, 1, "Night Bus"));
    put("inner/cover.png", &fixtures::cover_png(1000, 1));
    put("inner/without-an-extension", &fixtures::cover_jpeg(700, 1));
    put("damaged.flac", &fixtures::damaged_in_the_middle(&fixtures::flac(2.0, 44_100, 16, 1, "x")));
    put("small.png", &fixtures::cover_png(300, 1));
    put("letter.txt", b"Dear all,");
    put("empty.wav", b"");

    let output = corpus(&[folder.path().to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: BTreeMap<String, Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| (line["file"].as_str().unwrap().to_owned(), line))
        .collect();
    assert_eq!(lines.len(), 7, "{text}");
    let song = &lines["song.flac"];
    assert_eq!((&song["outcome"], &song["as"]), (&"accepted".into(), &"audio".into()), "{song}");
    assert_eq!((&song["facts"]["duration_ms"], &song["judged"]["tags"]["title"]), (&2000.into(), &"Night Bus".into()));
    for name in ["inner/cover.png", "inner/without-an-extension"] {
        let cover = &lines[name];
        assert_eq!((&cover["outcome"], &cover["as"]), (&"accepted".into(), &"cover".into()), "{cover}");
        assert_eq!(cover["facts"]["thumbnails_px"][0], 160);
    }
    for (name, at, status, word) in [
        ("damaged.flac", "examining", 422, "damaged"),
        ("small.png", "judging", 422, "640"),
        ("letter.txt", "judging", 415, "not an audio file"),
        ("empty.wav", "judging", 422, "empty"),
    ] {
        let line = &lines[name];
        assert_eq!(
            (&line["outcome"], &line["at"], &line["status"]),
            (&"refused".into(), &at.into(), &status.into()),
            "{line}"
        );
        assert!(line["message"].as_str().unwrap().contains(word), "{line}");
    }
    for line in lines.values() {
        assert!(line["milliseconds"].is_u64(), "{line}");
        let peak_kib = line["peakMemoryKib"].as_u64().unwrap();
        assert!((1_000..500_000).contains(&peak_kib), "{line}");
    }
}

#[test]
fn a_missing_folder_is_reported() {
    let output = corpus(&["/nowhere/at/all"]);
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("/nowhere/at/all"));
    assert!(!corpus(&[]).status.success());
}
