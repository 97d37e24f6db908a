//! `./dev bench [part]…`: the figures that the product promises, measured on the optimised binary, beside their limits. The parts are
//! `promises`, `uploads`, `queue` and `deadlines`.

#![expect(clippy::disallowed_methods, reason = "nobody gives its transactions up half way")]

mod artist;
mod bare;
mod deadlines;
mod figures;
mod pairs;
mod promises;
mod queue;
mod server;
mod uploads;

use std::{env, error::Error};

use figures::Figures;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    vwaza::backend::install_tls();
    let postgres = env::var("TEST_DATABASE_URL").map_err(|_| "TEST_DATABASE_URL is not set; run ./dev bench")?;
    let mut figures = Figures::default();
    let parts: Vec<String> = env::args().skip(1).collect();
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if is_wanted("promises") {
        promises::measure(&postgres, &mut figures).await?;
    }
    if is_wanted("uploads") {
        uploads::measure(&postgres, &mut figures).await?;
    }
    if is_wanted("queue") {
        queue::measure(&postgres, &mut figures).await?;
    }
    if is_wanted("deadlines") {
        deadlines::measure(&postgres, &mut figures).await?;
    }
    figures.print();
    figures.write_json()?;
    if figures.all_hold() { Ok(()) } else { Err("a figure misses its limit".into()) }
}
