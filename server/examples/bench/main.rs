//! `./dev bench [part]…` measures the figures that the product promises on the optimised binary, and compares them with
//! their limits. The parts are `promises`, `uploads`, `queue`, `limits`, `start`, `memory`, `streams`, `examination`,
//! `deadlines`, `pages` and `million`.
//!
//! `--smoke` runs in `./dev test` on the debug build. It measures each part once and small, all parts at the same time,
//! and checks that every row is produced. Figures are not compared with their limits.

#![expect(clippy::disallowed_methods, reason = "no future with a transaction is dropped halfway")]

mod artist;
mod baseline;
mod comparison;
mod deadlines;
mod examination;
mod figures;
mod limits;
mod memory;
mod million;
mod pages;
mod promises;
mod queue;
mod server;
mod signed_in;
mod start;
mod streams;
mod uploads;

use std::{env, error::Error, thread};

use figures::Figures;
use tokio::runtime::Runtime;

pub(crate) type BenchResult<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PARTS: [&str; 11] = [
    "promises",
    "uploads",
    "queue",
    "limits",
    "start",
    "memory",
    "streams",
    "examination",
    "deadlines",
    "pages",
    "million",
];

/// The extent of a measurement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Enough for figures that can be quoted.
    Full,
    /// Enough for every row to be produced.
    Smoke,
}

impl Size {
    pub(crate) fn pick<T>(self, full: T, smoke: T) -> T {
        match self {
            Self::Full => full,
            Self::Smoke => smoke,
        }
    }
}

#[tokio::main]
async fn main() -> BenchResult<()> {
    vwaza::backend::install_tls();
    let postgres = env::var("TEST_DATABASE_URL").map_err(|_| "TEST_DATABASE_URL is not set; run ./dev bench")?;
    let parts: Vec<String> = env::args().skip(1).collect();
    if parts == ["--smoke"] {
        return tokio::task::block_in_place(|| smoke(&postgres));
    }
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        return Err(format!("there is no part {unknown}; the parts are {}", PARTS.join(", ")).into());
    }
    let mut figures = Figures::default();
    for part in PARTS {
        if parts.is_empty() || parts.iter().any(|wanted| wanted == part) {
            figures.extend(measure(part, &postgres, Size::Full).await?);
        }
    }
    figures.print();
    figures.write_json()?;
    if figures.all_hold() { Ok(()) } else { Err("a figure misses its limit".into()) }
}

async fn measure(part: &str, postgres: &str, size: Size) -> BenchResult<Figures> {
    let mut figures = Figures::default();
    let measured = match part {
        "promises" => promises::measure(postgres, size, &mut figures).await,
        "uploads" => uploads::measure(postgres, size, &mut figures).await,
        "queue" => queue::measure(postgres, size, &mut figures).await,
        "limits" => limits::measure(postgres, size, &mut figures).await,
        "start" => start::measure(postgres, size, &mut figures).await,
        "memory" => memory::measure(postgres, size, &mut figures).await,
        "streams" => streams::measure(postgres, size, &mut figures).await,
        "examination" => examination::measure(size, &mut figures).await,
        "deadlines" => deadlines::measure(postgres, size, &mut figures).await,
        "pages" => pages::measure(postgres, size, &mut figures).await,
        "million" => million::measure(postgres, size, &mut figures).await,
        _ => Err("there is no such part".into()),
    };
    measured.map_err(|error| format!("{part}: {error}"))?;
    Ok(figures)
}

/// Runs each part on a thread and a runtime of its own, because some parts block theirs.
fn smoke(postgres: &str) -> BenchResult<()> {
    let parts = thread::scope(|scope| {
        let run = |part| move || Runtime::new()?.block_on(measure(part, postgres, Size::Smoke));
        let running = PARTS.map(|part| scope.spawn(run(part)));
        running.map(|part| part.join().unwrap_or_else(|_| Err("a part of the benchmark panicked".into())))
    });
    let mut figures = Figures::default();
    for part in parts {
        figures.extend(part?);
    }
    figures.expect_rows(include_str!("rows.txt"))
}
