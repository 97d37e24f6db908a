//! `./dev corpus DIR [--compare]`: validates and examines every file of a folder with the server's own code and prints
//! a JSON line for each: accepted or refused and why, the facts, milliseconds and peak memory. `docs/corpus.md`
//! describes the lines.
//!
//! Each file is examined by a process of its own. So its peak memory is measured alone, and no file ends the run: a
//! file that takes more than ten minutes or 2 GiB is reported as failed.

use std::{
    env,
    error::Error,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::{Value, json};
use vwaza::{
    backend::media::{Deadline, MediaError, examine_audio, examine_cover, validate_audio, validate_cover},
    domain::media::{AudioCodec, AudioFacts, MediaLimits, Peaks},
};
use wait_timeout::ChildExt;

type CorpusResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

const FILE_TIMEOUT: Duration = Duration::from_secs(600);
const MEMORY_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// How many bytes of another program's output are kept. No program writes as much about a file that it understands.
const OUTPUT_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Extensions of files that were meant as covers.
const PICTURES: [&str; 15] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "gif", "webp", "bmp", "tif", "tiff", "heic", "avif", "psd", "svg", "jxl"];
/// The largest differences from ffmpeg that an accepted file may have.
const MAX_LOUDNESS_LU: f64 = 0.1;
const MAX_TRUE_PEAK_DB: f64 = 0.3;
const MAX_SAMPLE_PEAK_DB: f64 = 0.2;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["--one", path] => examine_one(Path::new(path)),
        [folder] if !folder.starts_with('-') => run(Path::new(folder), false),
        [folder, "--compare"] | ["--compare", folder] => run(Path::new(folder), true),
        _ => Err("usage: corpus DIR [--compare]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe means that the reader of the lines has read enough.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("corpus: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, compares: bool) -> CorpusResult {
    let own_program = env::current_exe()?;
    let tools = ["ffprobe", "ffmpeg"].map(|tool| compares && is_installed(tool));
    for (tool, is_there) in ["ffprobe", "ffmpeg"].into_iter().zip(tools) {
        if compares && !is_there {
            eprintln!("corpus: {tool} is not installed, so nothing is compared with it");
        }
    }
    for path in files_below(folder)? {
        let mut line = examine_in_child(&own_program, &path);
        line["file"] = json!(path.strip_prefix(folder).unwrap_or(&path).to_string_lossy());
        if tools[0] {
            line["ffprobe"] = ffprobe(&path);
        }
        if tools[1] && line["as"] == "audio" {
            let theirs = ffmpeg(&path);
            line["agrees"] = agreement(&line, &theirs);
            line["ffmpeg"] = theirs;
        }
        writeln!(io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

/// Lists all files below a folder, sorted by path. Links are not followed, because they may form circles.
fn files_below(folder: &Path) -> CorpusResult<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            match (kind.is_dir(), kind.is_file()) {
                (true, _) => folders.push(entry.path()),
                (_, true) => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Runs a process that examines a file. Returns the JSON line that it prints, or a line about how it failed.
fn examine_in_child(own_program: &Path, path: &Path) -> Value {
    let began = Instant::now();
    let milliseconds = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    match output_in_time(Command::new(own_program).arg("--one").arg(path)) {
        Ok(ToolOutput { output, .. }) => serde_json::from_slice(&output).unwrap_or_else(|_| {
            json!({ "outcome": "failed", "message": "the process that examined it ended without a word", "milliseconds": milliseconds() })
        }),
        Err(error) => json!({ "outcome": "failed", "message": error.to_string(), "milliseconds": milliseconds() }),
    }
}

/// Validates and examines a file as the server does, and prints the result.
fn examine_one(path: &Path) -> CorpusResult {
    let limit = Rlimit { current: Some(MEMORY_MAX_BYTES), maximum: Some(MEMORY_MAX_BYTES) };
    setrlimit(Resource::As, limit)?;
    let began = Instant::now();
    let is_cover = is_cover(path)?;
    let (validated, examined) = if is_cover { cover(path) } else { audio(path)? };
    let mut line = json!({ "as": if is_cover { "cover" } else { "audio" } });
    let (outcome, at) = match (&validated, &examined) {
        (Err(error), _) => (Err(error), "judging"),
        (_, Some(Err(error))) => (Err(error), "examining"),
        _ => (Ok(()), "examining"),
    };
    match outcome {
        Ok(()) => line["outcome"] = json!("accepted"),
        Err(error) => {
            let (outcome, status) = match error {
                MediaError::Refused(refusal) => ("refused", Some(refusal.kind.status())),
                MediaError::Io(_) | MediaError::OutOfTime => ("failed", None),
            };
            line["outcome"] = json!(outcome);
            line["status"] = json!(status);
            line["message"] = json!(error.to_string());
            line["at"] = json!(at);
        }
    }
    if let Ok(validated) = validated {
        line["judged"] = validated;
    }
    if let Some(Ok(facts)) = examined {
        line["facts"] = facts;
    }
    line["milliseconds"] = json!(u64::try_from(began.elapsed().as_millis())?);
    line["peakMemoryKib"] = json!(peak_memory_kib());
    writeln!(io::stdout().lock(), "{line}")?;
    Ok(())
}

/// Whether a file is a cover: by its extension, or else by its first bytes. The server has no such rule, because its
/// clients say what they upload.
fn is_cover(path: &Path) -> io::Result<bool> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if let Some(extension) = extension {
        return Ok(PICTURES.contains(&extension.as_str()));
    }
    let mut start = Vec::new();
    fs::File::open(path)?.take(8).read_to_end(&mut start)?;
    Ok(start.starts_with(b"\xFF\xD8\xFF") || start.starts_with(b"\x89PNG\r\n\x1A\n"))
}

/// The result of validating a file, and the result of its examination if the validation accepts it.
type Examinations = (Result<Value, MediaError>, Option<Result<Value, MediaError>>);

fn cover(path: &Path) -> Examinations {
    let deadline = Deadline::after(FILE_TIMEOUT);
    match validate_cover(path, &MediaLimits::default(), &deadline) {
        Err(error) => (Err(error), None),
        Ok(validated) => {
            let examined = examine_cover(path, &deadline).map(|(facts, thumbnails)| {
                let edges: Vec<i32> = thumbnails.iter().map(|thumbnail| thumbnail.edge_px).collect();
                let mut facts = json!(facts);
                facts["thumbnails_px"] = json!(edges);
                facts
            });
            (Ok(json!({ "contentType": validated.content_type, "facts": validated.facts })), Some(examined))
        }
    }
}

fn audio(path: &Path) -> CorpusResult<Examinations> {
    let deadline = Deadline::after(FILE_TIMEOUT);
    let copy = tempfile::NamedTempFile::new()?;
    Ok(match validate_audio(path, &MediaLimits::default(), &deadline) {
        Err(error) => (Err(error), None),
        Ok(validated) => {
            let examined = examine_audio(path, copy.path(), &deadline).map(|(facts, peaks)| facts_of(&facts, &peaks));
            let validated = json!({
                "contentType": validated.content_type,
                "durationMs": validated.duration_ms,
                "tags": validated.tags,
            });
            (Ok(validated), Some(examined))
        }
    })
}

fn facts_of(facts: &AudioFacts, Peaks(peaks): &Peaks) -> Value {
    let mut value = json!(facts);
    value["summary"] = json!(facts.summary());
    value["waveform_columns"] = json!(peaks.len());
    value["waveform_loudest"] = json!(peaks.iter().max());
    value
}

/// The peak memory of this process. `None` if the system doesn't report it.
fn peak_memory_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok())
}

// ── Other programs ───────────────────────────────────────────────────────────────────────────────

struct ToolOutput {
    is_success: bool,
    output: Vec<u8>,
    errors: Vec<u8>,
}

/// Runs a program until it ends or times out.
fn output_in_time(command: &mut Command) -> io::Result<ToolOutput> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let output = child.stdout.take().map(read_aside);
    let errors = child.stderr.take().map(read_aside);
    let status = ended_in_time(&mut child);
    // The threads that read end together with the program, which has ended or was killed.
    let read =
        |reader: Option<thread::JoinHandle<Vec<u8>>>| reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
    let (output, errors) = (read(output), read(errors));
    Ok(ToolOutput { is_success: status?, output, errors })
}

fn read_aside(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Output beyond the limit is read and discarded, so that the program can go on.
        if from.by_ref().take(OUTPUT_MAX_BYTES).read_to_end(&mut bytes).is_ok() {
            let _ = io::copy(&mut from, &mut io::sink());
        }
        bytes
    })
}

fn ended_in_time(child: &mut Child) -> io::Result<bool> {
    if let Some(status) = child.wait_timeout(FILE_TIMEOUT)? {
        return Ok(status.success());
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::new(io::ErrorKind::TimedOut, "it took more than ten minutes"))
}

fn is_installed(tool: &str) -> bool {
    output_in_time(Command::new(tool).arg("-version")).is_ok_and(|said| said.is_success)
}

fn ffprobe(path: &Path) -> Value {
    let entries = "format=format_name,duration:stream=codec_type,codec_name,sample_rate,channels,bits_per_raw_sample,width,height";
    let asked = ["-v", "error", "-of", "json", "-show_entries", entries];
    match output_in_time(Command::new("ffprobe").args(asked).arg(path)) {
        Ok(said) if said.is_success => serde_json::from_slice(&said.output).unwrap_or(Value::Null),
        Ok(said) => json!({ "error": last_line(&said.errors) }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

fn ffmpeg(path: &Path) -> Value {
    let asked = ["-nostdin", "-hide_banner", "-nostats", "-progress", "pipe:1", "-i"];
    let filter = ["-map", "0:a:0", "-filter:a", "ebur128=peak=sample+true:framelog=verbose", "-f", "null", "-"];
    let said = match output_in_time(Command::new("ffmpeg").args(asked).arg(path).args(filter)) {
        Ok(said) if said.is_success => said,
        Ok(said) => return json!({ "error": last_line(&said.errors) }),
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let progress = String::from_utf8_lossy(&said.output);
    let microseconds = progress.lines().rev().find_map(|line| line.strip_prefix("out_time_us=")?.parse::<f64>().ok());
    let summary = String::from_utf8_lossy(&said.errors);
    // Two sections have a line "Peak:". The summary is the last thing that the filter prints.
    let number = |section: &str, label: &str, unit: &str| {
        let section = summary.rsplit_once(section)?.1;
        section
            .lines()
            .find_map(|line| line.trim().strip_prefix(label)?.trim().strip_suffix(unit)?.trim().parse::<f64>().ok())
    };
    let complaints = summary.lines().filter(|line| line.contains("Error") || line.contains("Invalid")).count();
    json!({
        "duration_ms": microseconds.map(|microseconds| microseconds / 1000.0),
        "integrated_lufs": number("Integrated loudness:", "I:", "LUFS"),
        "true_peak_dbtp": number("True peak:", "Peak:", "dBFS"),
        "sample_peak_dbfs": number("Sample peak:", "Peak:", "dBFS"),
        "complaints": complaints,
    })
}

fn last_line(said: &[u8]) -> String {
    String::from_utf8_lossy(said).lines().last().unwrap_or_default().chars().take(300).collect()
}

/// The largest difference in duration for an accepted file: one frame of its codec. `None` if the facts don't name the
/// codec.
fn max_duration_ms_apart(facts: &Value) -> Option<f64> {
    let samples = match serde_json::from_value::<AudioCodec>(facts["codec"].clone()).ok()? {
        // Durations are whole milliseconds, rounded down.
        AudioCodec::Pcm => return Some(1.0),
        // MPEG-1, layer III. MPEG-2 frames have 576 samples, but the server refuses all sample rates of MPEG-2.
        AudioCodec::Mp3 => 1152.0,
        AudioCodec::Aac => 1024.0,
        // The default block size of the encoders of both codecs.
        AudioCodec::Flac | AudioCodec::Alac => 4096.0,
    };
    Some(samples * 1000.0 / facts["sample_rate_hz"].as_f64()?)
}

/// Whether the facts of an accepted file are within the limits. `null` if there is nothing to compare.
fn agreement(line: &Value, theirs: &Value) -> Value {
    let within = |name: &str, limit: f64| match (line["facts"][name].as_f64(), theirs[name].as_f64()) {
        (Some(ours), Some(theirs)) => json!((ours - theirs).abs() <= limit),
        _ => Value::Null,
    };
    json!({
        "duration": max_duration_ms_apart(&line["facts"]).map(|limit| within("duration_ms", limit)),
        "loudness": within("integrated_lufs", MAX_LOUDNESS_LU),
        "true_peak": within("true_peak_dbtp", MAX_TRUE_PEAK_DB),
        "sample_peak": within("sample_peak_dbfs", MAX_SAMPLE_PEAK_DB),
    })
}
