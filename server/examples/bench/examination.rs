//! The examination of a long track, compared with the tools that people would run by hand: one verifies the file, the
//! other measures it.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use tokio::task::spawn_blocking;
use vwaza::backend::media::{Deadline, examine_audio};

use crate::{
    BenchResult, Size,
    figures::{Figures, Limit, percentile},
};

const SAMPLE_RATE_HZ: u32 = 96_000;
const BITS: u16 = 24;

/// Seconds that each tool took. `None` if the tool is not installed.
struct ToolSeconds {
    own: f64,
    flac: Option<f64>,
    ffmpeg: Option<f64>,
}

pub(crate) async fn measure(size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (seconds, rounds) = size.pick((600, 3), (2, 1));
    // The examination blocks, and other parts may share the runtime's threads.
    let rounds = spawn_blocking(move || measure_rounds(seconds, rounds)).await??;
    report(&rounds, figures);
    Ok(())
}

fn measure_rounds(seconds: usize, rounds: usize) -> BenchResult<Vec<ToolSeconds>> {
    let folder = tempfile::tempdir()?;
    let (file, copy) = (folder.path().join("track.flac"), folder.path().join("copy"));
    testing::fixtures::flac_to_file(&file, seconds, SAMPLE_RATE_HZ, BITS)?;
    let mut measured = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let (facts, _) = examine_audio(&file, &copy, &Deadline::never())?;
        let own = began.elapsed().as_secs_f64();
        if facts.duration_ms != 1000 * seconds as i64 {
            return Err(format!("{seconds} s of music are examined as {} ms", facts.duration_ms).into());
        }
        measured.push(ToolSeconds { own, flac: flac(&file)?, ffmpeg: ffmpeg(&file)? });
    }
    Ok(measured)
}

fn flac(file: &Path) -> BenchResult<Option<f64>> {
    timed(Command::new("flac").args(["--test", "--silent"]).arg(file))
}

fn ffmpeg(file: &Path) -> BenchResult<Option<f64>> {
    let filter = ["-filter:a", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"];
    timed(Command::new("ffmpeg").args(["-nostdin", "-nostats", "-i"]).arg(file).args(filter))
}

/// Runs a command. Returns the seconds taken, or `None` if it is not installed.
fn timed(command: &mut Command) -> BenchResult<Option<f64>> {
    let began = Instant::now();
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(Some(began.elapsed().as_secs_f64())),
        Ok(status) => Err(format!("{:?} failed: {status}", command.get_program()).into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn report(rounds: &[ToolSeconds], figures: &mut Figures) {
    const MISSING: &str = "not installed";
    let own: Vec<f64> = rounds.iter().map(|round| round.own).collect();
    figures.add_median("examination: 10 minutes of FLAC with 24 bit and 96 kHz", &own, "s", Limit::None);
    let flac: Vec<f64> = rounds.iter().filter_map(|round| round.flac).collect();
    let ffmpeg: Vec<f64> = rounds.iter().filter_map(|round| round.ffmpeg).collect();
    for (what, seconds) in [("flac -t", &flac), ("ffmpeg's ebur128=peak=true", &ffmpeg)] {
        let what = format!("examination: {what} of the same file");
        match seconds.is_empty() {
            true => figures.add_missing(what, MISSING, "s", Limit::None),
            false => figures.add(what, percentile(seconds, 50), "s", Limit::None),
        }
    }
    let (what, limit) = ("examination: of both together", Limit::AtMost(100.0));
    let percent: Vec<f64> =
        rounds.iter().filter_map(|round| Some(100.0 * round.own / (round.flac? + round.ffmpeg?))).collect();
    match percent.is_empty() {
        true => figures.add_missing(what, MISSING, "%", limit),
        false => figures.add_median(what, &percent, "%", limit),
    }
}
