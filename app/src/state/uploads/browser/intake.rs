//! Checks files that were chosen or dropped, before a byte is sent, and queues those that the server would not refuse.

use leptos::{prelude::Set, task::spawn_local};
use uuid::Builder;
use vwaza::domain::{
    ids::BatchId,
    media::{MediaLimits, PartialFile, Precheck, precheck},
    release::ReleaseView,
    upload::{BatchMember, UploadKind, UploadTarget},
};
use web_sys::File;

use super::{dropped_folders, files::Files, request, send};
use crate::state::uploads::{
    machine::TaskState,
    sorting::{self, FileRole, NamedFile},
    tasks::Uploads,
};

/// Most pieces of a header that are read. If they do not tell what the file is, the server finds out.
const MAX_READS: usize = 64;
/// Bytes at the end of a file, which tell it from another one of the same name and size.
const TAIL_BYTES: u64 = 4096;

/// The result of reading a file's header.
struct Inspection {
    /// The sentence with which the server would refuse the file.
    refusal: Option<String>,
    content_hash: u64,
}

/// Checks files for a track's audio, or for the step of the cover or of the tracks, and queues those that are not
/// refused. `release` is as the page shows it.
pub fn add_files(uploads: Uploads, limits: MediaLimits, release: ReleaseView, target: UploadTarget, files: Files) {
    // Listeners are added with the first files: pages without uploads need none.
    send::listen(uploads);
    spawn_local(check_and_queue(uploads, limits, release, target, files));
}

async fn check_and_queue(
    uploads: Uploads,
    limits: MediaLimits,
    release: ReleaseView,
    target: UploadTarget,
    files: Files,
) {
    let found = dropped_folders::read(files).await;
    let mut notes = found.notes;
    let mut files: Vec<Option<File>> = found.files.iter().map(|(file, _)| Some(file.clone())).collect();
    let named: Vec<NamedFile> = found.files.into_iter().map(|(file, folder)| named(&file, folder)).collect();
    if let UploadTarget::Audio(_) = target {
        let chosen = sorting::pick_for_track(&named).and_then(|at| files.get_mut(at)?.take());
        if let Some(file) = chosen {
            enqueue(uploads, limits, &release, target, file, None).await;
        }
        return uploads.note(release.id, notes);
    }
    let step = target.kind();
    let has_cover = release.cover.current.is_some() || release.cover.pending.is_some() || uploads.has_cover(release.id);
    let roles = sorting::roles(&named, step, has_cover);
    let mut titles = sorting::titles(&named, &roles);
    let batch = new_batch();

    let (mut here, mut left_out, mut tracks) = (Vec::new(), Vec::new(), 0);
    for at in sorting::in_order(&named) {
        let Some(file) = files.get_mut(at).and_then(Option::take) else { continue };
        let name = named[at].name.clone();
        match roles[at] {
            FileRole::Track => {
                let batch_member = BatchMember { batch, title: std::mem::take(&mut titles[at]) };
                let admitted =
                    enqueue(uploads, limits, &release, UploadTarget::NewTrack(release.id), file, Some(batch_member))
                        .await;
                match admitted {
                    Admission::AlreadyHere(number) => here.push((name, number)),
                    Admission::Queued | Admission::Refused(_) => tracks += 1,
                }
            }
            FileRole::Cover => {
                let admitted = enqueue(uploads, limits, &release, UploadTarget::Cover(release.id), file, None).await;
                if step == UploadKind::Audio {
                    notes.push(match admitted {
                        Admission::Refused(why) => format!("“{name}” can't be the cover. {why}"),
                        Admission::Queued | Admission::AlreadyHere(_) => format!("“{name}” becomes the cover."),
                    });
                }
            }
            FileRole::LeftOut => left_out.push((name, file)),
            FileRole::Ignored => {}
        }
    }
    if step == UploadKind::Cover && tracks > 0 {
        notes.push(if tracks == 1 {
            "1 file is added to the tracks.".into()
        } else {
            format!("{tracks} files are added to the tracks.")
        });
    }
    let why = match left_out.as_slice() {
        [(_, file)] if step == UploadKind::Audio => inspect(file, UploadKind::Audio, &limits).await.refusal,
        _ => None,
    };
    let names: Vec<String> = left_out.into_iter().map(|(name, _)| name).collect();
    notes.extend(sorting::already_here_sentence(&here));
    notes.extend(sorting::left_out_sentence(&names, why.as_deref()));
    uploads.note(release.id, notes);
}

enum Admission {
    Queued,
    Refused(String),
    /// The release has the file already, in the track of this number if it has one yet.
    AlreadyHere(Option<i32>),
}

/// A random id.
fn new_batch() -> BatchId {
    // `crypto.randomUUID` exists only on sites with TLS. This id has to be new, not secret.
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 up to but without 256")]
        {
            *byte = (js_sys::Math::random() * 256.0) as u8;
        }
    }
    BatchId(Builder::from_random_bytes(bytes).into_uuid())
}

async fn enqueue(
    uploads: Uploads,
    limits: MediaLimits,
    release: &ReleaseView,
    target: UploadTarget,
    file: File,
    batch_member: Option<BatchMember>,
) -> Admission {
    let Inspection { refusal, content_hash } = inspect(&file, target.kind(), &limits).await;
    let task = send::task(release.id, target, file, content_hash, batch_member);
    let here = match target {
        UploadTarget::NewTrack(_) => uploads.find_duplicate(release, &task),
        UploadTarget::Cover(_) | UploadTarget::Audio(_) => None,
    };
    if let Some(number) = here {
        send::purge_file(&task);
        return Admission::AlreadyHere(number);
    }
    match refusal {
        Some(why) => {
            send::purge_file(&task);
            task.state.set(TaskState::Refused(why.clone()));
            uploads.enqueue(task);
            Admission::Refused(why)
        }
        None => {
            uploads.enqueue(task);
            Admission::Queued
        }
    }
}

fn named(file: &File, folder: String) -> NamedFile {
    NamedFile { name: file.name(), folder, content_type: file.type_() }
}

async fn inspect(file: &File, kind: UploadKind, limits: &MediaLimits) -> Inspection {
    let length = request::length(file);
    if let Err(problem) = kind.check_length(i64::try_from(length).unwrap_or(i64::MAX), limits) {
        return Inspection { refusal: Some(problem.to_string()), content_hash: 0 };
    }
    let mut known = PartialFile::new(length);
    let mut content_hash = ContentHash::new();
    let tail = length.saturating_sub(TAIL_BYTES)..length;
    content_hash.add(&request::bytes(file, tail).await.unwrap_or_default());
    for _ in 0..MAX_READS {
        match precheck(kind, &known) {
            Precheck::Refused(why) => return Inspection { refusal: Some(why), content_hash: content_hash.0 },
            Precheck::Passed => break,
            Precheck::Reads(range) => {
                let offset = range.start;
                // The upload itself says that a file cannot be read.
                let Some(bytes) = request::bytes(file, range).await else { break };
                content_hash.add(&bytes);
                known.add(offset, bytes);
            }
        }
    }
    Inspection { refusal: None, content_hash: content_hash.0 }
}

/// FNV-1a with 64 bits: tells files apart unless somebody constructs two with the same sum.
struct ContentHash(u64);

impl ContentHash {
    fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |content_hash, byte| (content_hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    }
}
