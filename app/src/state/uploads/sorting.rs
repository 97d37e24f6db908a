//! Sorts files that are chosen or dropped together into tracks, a cover and files that are left out, with the sentences
//! about them.
//!
//! This module is pure: `browser` has the files.

use std::cmp::Ordering;

use vwaza::domain::{
    release::ReleaseView,
    text::{is_unseen, to_ascii},
    titles::titles_from_file_names,
    upload::{UploadKind, UploadState, display_file_name},
};

/// Most names in one sentence. The others are counted.
const NAMES_SHOWN: usize = 3;
/// Extensions of files that we accept, or that people call music. The latter get a row that says why they are refused.
const AUDIO: [&str; 33] = [
    "wav", "wave", "bwf", "rf64", "w64", "flac", "aif", "aiff", "aifc", "m4a", "m4b", "mp4", "mov", "mp3", "mp2",
    "aac", "ogg", "oga", "opus", "wma", "ape", "wv", "mpc", "tta", "tak", "caf", "au", "dsf", "dff", "mka", "mkv",
    "webm", "mid",
];
const PICTURES: [&str; 14] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "tif", "tiff", "psd", "svg", "heic", "avif"];
/// Extensions of playlists, which browsers call audio.
const PLAYLISTS: [&str; 6] = ["m3u", "m3u8", "pls", "wpl", "xspf", "asx"];
/// Words in the names of covers, as people and programs give them.
const COVER_WORDS: [&str; 5] = ["cover", "front", "artwork", "albumart", "folder"];
/// Words in the names of pictures that belong to an album and are not its front.
const OTHER_SIDE_WORDS: [&str; 8] = ["back", "rear", "inlay", "inside", "tray", "disc", "small", "thumb"];
/// Files that systems leave in folders. The last one holds the icon of a folder of macOS.
const SYSTEM_FILES: [&str; 4] = ["thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"];

/// The facts about a file that are known before it is read.
#[derive(Clone, Debug, Default)]
pub struct NamedFile {
    pub name: String,
    /// The path of the dropped folder: "Album/CD 1/". Empty for a file that was dropped or chosen itself.
    pub folder: String,
    /// The type that the browser derives from the name. Often empty.
    pub content_type: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    Track,
    Cover,
    LeftOut,
    /// A file that a system leaves in folders. It is left out without a note.
    Ignored,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ApparentKind {
    Audio,
    Picture,
    Hidden,
    Other,
}

impl NamedFile {
    fn apparent_kind(&self) -> ApparentKind {
        let has_type = |kind: &str| self.content_type.starts_with(kind);
        let extension = self.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let is_one_of = |known: &[&str]| extension.as_deref().is_some_and(|extension| known.contains(&extension));
        let is_of_a_system = SYSTEM_FILES.iter().any(|name| self.name.eq_ignore_ascii_case(name));
        if self.name.starts_with('.') || is_of_a_system || self.folder.contains("__MACOSX/") {
            ApparentKind::Hidden
        } else if is_one_of(&PLAYLISTS) {
            ApparentKind::Other
        } else if is_one_of(&AUDIO) || has_type("audio/") || has_type("video/") {
            ApparentKind::Audio
        } else if is_one_of(&PICTURES) || has_type("image/") {
            ApparentKind::Picture
        } else {
            ApparentKind::Other
        }
    }

    /// The rank of the name among covers. 0 is most likely the front cover.
    fn cover_rank(&self) -> u8 {
        let name = self.name.to_lowercase();
        let has_one_of = |words: &[&str]| words.iter().any(|word| name.contains(word));
        match (has_one_of(&COVER_WORDS), has_one_of(&OTHER_SIDE_WORDS)) {
            (true, false) => 0,
            (true, true) => 1,
            (false, false) => 2,
            (false, true) => 3,
        }
    }

    /// The text by which files are ordered: by folders, then by the numbers in their names.
    fn path(&self) -> String {
        format!("{}{}", self.folder, self.name)
    }
}

/// The order in which files become tracks, as positions in `files`.
pub fn in_order(files: &[NamedFile]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by(|a, b| natural_order(&files[*a].path(), &files[*b].path()));
    order
}

/// Orders files as people number them: `2 - b.wav` before `10 - a.wav`, whatever the case, the script of the digits and
/// the width. Invisible characters don't count.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b) = (sort_key(a), sort_key(b));
    let (mut a_rest, mut b_rest) = (a.as_str(), b.as_str());
    loop {
        match (leading_number(a_rest), leading_number(b_rest)) {
            (Some((a_number, a_next)), Some((b_number, b_next))) => {
                // Without leading zeros the longer number is the larger one.
                let order = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number));
                if order.is_ne() {
                    return order;
                }
                (a_rest, b_rest) = (a_next, b_next);
            }
            _ => {
                let (mut a_chars, mut b_chars) = (a_rest.chars(), b_rest.chars());
                match (a_chars.next(), b_chars.next()) {
                    (None, None) => return a.cmp(&b),
                    (a_char, b_char) if a_char != b_char => return a_char.cmp(&b_char),
                    _ => (a_rest, b_rest) = (a_chars.as_str(), b_chars.as_str()),
                }
            }
        }
    }
}

fn sort_key(name: &str) -> String {
    let seen = name.chars().filter(|c| !is_unseen(*c) || c.is_whitespace());
    seen.map(|c| if c.is_whitespace() { ' ' } else { to_ascii(c) }).collect::<String>().to_lowercase()
}

fn leading_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].trim_start_matches('0'), &text[end..]))
}

/// The roles of `files` that were chosen or dropped in the step of the cover or of the tracks. At most one picture
/// becomes the cover. In the step of the tracks it does so only if the release has no cover yet.
pub fn roles(files: &[NamedFile], step: UploadKind, has_cover: bool) -> Vec<FileRole> {
    let apparent_kind: Vec<ApparentKind> = files.iter().map(NamedFile::apparent_kind).collect();
    let is_alone = files.len() == 1;
    let cover = (step == UploadKind::Cover || !has_cover).then(|| {
        let pictures = || (0..files.len()).filter(|at| apparent_kind[*at] == ApparentKind::Picture);
        // A single file in the step of the cover is meant as a cover, whatever its name is.
        pictures()
            .min_by_key(|at| files[*at].cover_rank())
            .or((is_alone && step == UploadKind::Cover && files[0].folder.is_empty()).then_some(0))
    });
    let cover = cover.flatten();
    let role = |at: usize| match apparent_kind[at] {
        _ if Some(at) == cover => FileRole::Cover,
        ApparentKind::Audio => FileRole::Track,
        // Old systems give names without an extension. The header of such a file tells its kind.
        ApparentKind::Other if files[at].folder.is_empty() && !files[at].name.contains('.') => FileRole::Track,
        ApparentKind::Hidden if !files[at].folder.is_empty() || !is_alone => FileRole::Ignored,
        ApparentKind::Picture | ApparentKind::Other | ApparentKind::Hidden => FileRole::LeftOut,
    };
    (0..files.len()).map(role).collect()
}

/// The position of the file that one track gets, if several files or a folder were dropped on its row. It is the first
/// audio file. If there is none, it is the first file, which is then refused in that row.
pub fn pick_for_track(files: &[NamedFile]) -> Option<usize> {
    let (order, roles) = (in_order(files), roles(files, UploadKind::Audio, true));
    order.iter().find(|at| roles[**at] == FileRole::Track).or(order.first()).copied()
}

/// The titles of the files that become tracks, derived from the names of all files in a folder. Empty for other files.
pub fn titles(files: &[NamedFile], roles: &[FileRole]) -> Vec<String> {
    let mut titles = vec![String::new(); files.len()];
    let mut tracks: Vec<usize> = (0..files.len()).filter(|at| roles[*at] == FileRole::Track).collect();
    while let Some(folder) = tracks.first().map(|at| &files[*at].folder) {
        let (here, elsewhere): (Vec<usize>, Vec<usize>) =
            tracks.into_iter().partition(|at| files[*at].folder == *folder);
        let names: Vec<&str> = here.iter().map(|at| files[*at].name.as_str()).collect();
        for (at, title) in here.into_iter().zip(titles_from_file_names(&names)) {
            titles[at] = title;
        }
        tracks = elsewhere;
    }
    titles
}

/// The number of the track that has this file already.
pub fn track_number_of(release: &ReleaseView, name: &str, length: u64) -> Option<i32> {
    let name = display_file_name(name);
    let is_same = |other: &str, bytes: i64| other == name && u64::try_from(bytes) == Ok(length);
    let holds = |track: &&vwaza::domain::track::TrackView| {
        let stored = track.audio.as_ref().is_some_and(|file| is_same(&file.file_name, file.size_bytes));
        // An upload that has not ended continues when its file is dropped again.
        let pending = track.pending.as_ref().filter(|upload| upload.state == UploadState::Received);
        stored || pending.is_some_and(|upload| is_same(&upload.file_name, upload.length))
    };
    release.tracks.iter().find(holds).map(|track| track.number)
}

/// The sentence about files that the release has already. Each file comes with the number of its track if it has one
/// yet.
pub fn already_here_sentence(files: &[(String, Option<i32>)]) -> Option<String> {
    let sentence = match files {
        [] => return None,
        [(name, Some(number))] => {
            format!("“{name}” is already here: track {number}. Is it a new version? Replace the audio of that track.")
        }
        [(name, None)] => format!("“{name}” is already being uploaded."),
        many => {
            let named = |(name, number): &(String, Option<i32>)| match number {
                Some(number) => format!("“{name}” (track {number})"),
                None => format!("“{name}” (uploading)"),
            };
            format!("{} files are already here: {}.", many.len(), listed(many.iter().map(named)))
        }
    };
    Some(sentence)
}

/// The sentence about files that become neither track nor cover. `why` is the reason for a single file, if it is known.
pub fn left_out_sentence(names: &[String], why: Option<&str>) -> Option<String> {
    let quoted = |name: &String| format!("“{name}”");
    match (names, why) {
        ([], _) => None,
        ([name], Some(why)) => Some(format!("“{name}” was left out. {why}")),
        ([name], None) => Some(format!("“{name}” was left out. A release takes audio files and one cover only.")),
        (many, _) => Some(format!(
            "{} files were left out, because a release takes audio files and one cover only: {}.",
            many.len(),
            listed(many.iter().map(quoted))
        )),
    }
}

/// "a, b and c", or "a, b, c and 4 more".
fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let count = items.len();
    let mut shown: Vec<String> = items.take(NAMES_SHOWN).collect();
    let last = match count.checked_sub(NAMES_SHOWN).filter(|more| *more > 0) {
        Some(more) => format!("{more} more"),
        None => shown.pop().unwrap_or_default(),
    };
    if shown.is_empty() { last } else { format!("{} and {last}", shown.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::{FileRole::*, *};

    #[test]
    fn a_playlist_is_no_audio_whatever_its_type_says() {
        let playlist = NamedFile { content_type: "audio/x-mpegurl".into(), ..named("Album/all.M3U") };
        assert_eq!(roles(&[playlist, named("Album/1.wav")], UploadKind::Audio, true), [LeftOut, Track]);
        let unknown = NamedFile { content_type: "audio/x-new".into(), ..named("Album/1.new") };
        assert_eq!(roles(&[unknown, named("Album/x.txt")], UploadKind::Audio, true), [Track, LeftOut]);
    }

    fn named(path: &str) -> NamedFile {
        let (folder, name) = path.rfind('/').map_or(("", path), |at| path.split_at(at + 1));
        NamedFile { name: name.into(), folder: folder.into(), content_type: String::new() }
    }

    fn roles_of(paths: &[&str], step: UploadKind, has_cover: bool) -> Vec<FileRole> {
        roles(&paths.iter().map(|path| named(path)).collect::<Vec<_>>(), step, has_cover)
    }

    #[test]
    fn pictures_among_audio_go_to_the_cover() {
        let album =
            ["Album/01 Intro.WAV", "Album/back.jpg", "Album/Cover.jpeg", "Album/booklet.pdf", "Album/.DS_Store"];
        for step in [UploadKind::Audio, UploadKind::Cover] {
            assert_eq!(roles_of(&album, step, false), [Track, LeftOut, Cover, LeftOut, Ignored]);
        }
        assert_eq!(roles_of(&["a.flac", "b.png"], UploadKind::Audio, false), [Track, Cover]);
        assert_eq!(roles_of(&["b.heic"], UploadKind::Audio, false), [Cover], "where it hears what it is");
        for (pictures, cover) in [
            (["back cover.jpg", "front.jpg", "x.jpg"], 1),
            (["AlbumArtSmall.jpg", "Folder.jpg", "x.jpg"], 1),
            (["Discover.jpg", "me.png", "COVER.PNG"], 2),
            (["rear.jpg", "inlay.jpg", "album.jpg"], 2),
            (["b.jpg", "a.jpg", "c.jpg"], 0),
            (["a.txt", "b.wav", "thumb.jpg"], 2),
        ] {
            assert_eq!(
                roles_of(&pictures, UploadKind::Audio, false).iter().position(|role| *role == Cover),
                Some(cover),
                "{pictures:?}"
            );
        }
        // The release has a cover, and nobody asked for another one.
        assert_eq!(roles_of(&album, UploadKind::Audio, true), [Track, LeftOut, LeftOut, LeftOut, Ignored]);
        assert_eq!(roles_of(&["new.png"], UploadKind::Cover, true), [Cover]);
    }

    #[test]
    fn what_nobody_takes_for_music_makes_no_rows() {
        let folder = ["Docs/a.txt", "Docs/b.pdf", "Docs/LICENSE", "Docs/Thumbs.db", "Docs/x/__MACOSX/._song.wav"];
        assert_eq!(roles_of(&folder, UploadKind::Audio, true), [LeftOut, LeftOut, LeftOut, Ignored, Ignored]);
        assert_eq!(
            roles_of(&["A/Icon\r", "A/ehthumbs.db", "A/b.cue", "A/c.LOG", "A/d.m3u8"], UploadKind::Audio, true),
            [Ignored, Ignored, LeftOut, LeftOut, LeftOut]
        );
        assert_eq!(roles_of(&["notes.txt"], UploadKind::Audio, true), [LeftOut]);
        assert_eq!(roles_of(&[".hidden"], UploadKind::Audio, true), [LeftOut]);
        // A file that is refused by its name gets a row that says so.
        assert_eq!(roles_of(&["a.ogg", "b.mkv", "Old Mac Song"], UploadKind::Audio, true), [Track; 3]);
    }

    #[test]
    fn a_single_file_brought_to_the_cover_is_meant_as_one() {
        assert_eq!(roles_of(&["cover.ai"], UploadKind::Cover, false), [Cover]);
        assert_eq!(roles_of(&["song.wav"], UploadKind::Cover, false), [Cover]);
        assert_eq!(roles_of(&["song.wav", "other.wav"], UploadKind::Cover, false), [Track, Track]);
    }

    #[test]
    fn tracks_come_in_the_order_of_folders_and_numbers() {
        let paths = ["A/CD 2/1 x.wav", "A/CD 10/1 x.wav", "A/CD 1/10 b.wav", "A/CD 1/2 c.wav"];
        let order = in_order(&paths.map(named));
        assert_eq!(order, [3, 2, 0, 1]);
    }

    #[test]
    fn one_track_gets_the_first_audio_of_a_folder() {
        let chosen = |paths: &[&str]| pick_for_track(&paths.iter().map(|path| named(path)).collect::<Vec<_>>());
        let folder = ["A/.DS_Store", "A/01 Notes.txt", "A/10 b.wav", "A/2 a.wav", "A/Cover.jpg"];
        assert_eq!(chosen(&folder), Some(3));
        assert_eq!(chosen(&["A/a.txt", "song.wav"]), Some(1));
        assert_eq!(chosen(&["cover.jpg"]), Some(0), "its row says why it is refused");
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn titles_are_decided_folder_by_folder() {
        let files =
            ["A/CD 1/1 Intro.wav", "A/CD 1/2 Verse.wav", "A/CD 1/3 AM.jpg", "A/CD 2/7 Rings.wav", "A/CD 2/8 Mile.wav"]
                .map(named);
        let roles = [Track, Track, Cover, Track, Track];
        assert_eq!(titles(&files, &roles), ["Intro", "Verse", "", "7 Rings", "8 Mile"]);
        assert!(titles(&[], &[]).is_empty());
    }

    #[test]
    fn one_sentence_says_what_was_left_out() {
        let names = |count: usize| ["a.txt", "b.pdf", "c.doc", "d.zip", "e.xml"].map(str::to_owned)[..count].to_vec();
        assert_eq!(left_out_sentence(&names(0), None), None);
        assert_eq!(
            left_out_sentence(&names(1), None).unwrap(),
            "“a.txt” was left out. A release takes audio files and one cover only."
        );
        assert_eq!(
            left_out_sentence(&names(1), Some("This is a ZIP archive.")).unwrap(),
            "“a.txt” was left out. This is a ZIP archive."
        );
        assert!(left_out_sentence(&names(2), None).unwrap().ends_with(": “a.txt” and “b.pdf”."));
        assert!(left_out_sentence(&names(3), None).unwrap().ends_with(": “a.txt”, “b.pdf” and “c.doc”."));
        assert!(left_out_sentence(&names(5), None).unwrap().ends_with(": “a.txt”, “b.pdf”, “c.doc” and 2 more."));
    }

    #[test]
    fn what_is_here_already_is_named_with_its_track() {
        let file = |name: &str, number| (name.to_owned(), number);
        assert!(
            already_here_sentence(&[file("a.wav", Some(3))]).unwrap().starts_with("“a.wav” is already here: track 3.")
        );
        assert_eq!(already_here_sentence(&[file("a.wav", None)]).unwrap(), "“a.wav” is already being uploaded.");
        assert_eq!(
            already_here_sentence(&[file("a.wav", Some(3)), file("b.wav", None)]).unwrap(),
            "2 files are already here: “a.wav” (track 3) and “b.wav” (uploading)."
        );
        assert_eq!(already_here_sentence(&[]), None);
    }
    #[test]
    fn files_are_ordered_as_people_number_them() {
        let mut names = ["10 - c.wav", "2 - b.wav", "Intro.wav", "1 - a.wav", "02 - b2.wav", "intro 2.wav"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["1 - a.wav", "2 - b.wav", "02 - b2.wav", "10 - c.wav", "intro 2.wav", "Intro.wav"]);
        // Each list is in order, and stays so whatever order it comes in.
        for names in [
            &["０１ a.wav", "０２ b.wav", "１０ c.wav"],
            &["1 a.wav", "２ b.wav", "10 c.wav"],
            &["٠١ - ج.wav", "٠٢ - ب.wav", "١٠ - ا.wav"],
            &["१ a.wav", "२ b.wav", "१० c.wav"],
            &["𝟙 a.wav", "𝟚 b.wav", "𝟙𝟘 c.wav"],
            &["\u{200E}1 a.wav", "2 b.wav", "\u{202A}10\u{202C} c.wav"],
            &["1\u{200B} a.wav", "\u{2068}2\u{2069} b.wav", "1\u{200D}0 c.wav"],
            &["CD１/９.wav", "CD1/10.wav", "ＣＤ２/1.wav"],
            &["1\u{A0}a.wav", "1\u{3000}b.wav", "1 c.wav"],
            &["00000000000000000001.wav", "00000000000000000000002.wav", "99999999999999999999999999.wav"],
            &["1-9 x.wav", "1-10 x.wav", "2-1 x.wav"],
            &["A2.wav", "a10.wav", "B1.wav"],
        ] {
            for turn in 0..names.len() {
                let mut sorted = names.to_vec();
                sorted.rotate_left(turn);
                sorted.sort_by(|a, b| natural_order(a, b));
                assert_eq!(sorted, names);
                sorted.reverse();
                sorted.sort_by(|a, b| natural_order(a, b));
                assert_eq!(sorted, names);
            }
        }
    }
}
