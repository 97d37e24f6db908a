//! The figures that the product promises to its users: in the default configuration, with everything running.

use std::{collections::BTreeSet, time::Instant};

use futures::future::try_join_all;
use testing::TestDatabase;

use crate::{
    BenchResult, Size,
    artist::{Artist, song},
    figures::{Figures, Limit},
    server::Server,
};

pub(crate) async fn measure(postgres: &str, size: Size, figures: &mut Figures) -> BenchResult<()> {
    let (wav_bytes, at_once) = size.pick((200_000_000, 8), (4_000_000, 2));
    let database = TestDatabase::create(postgres).await;
    let folder = tempfile::tempdir()?;
    let server = Server::start(&database.url(), folder.path(), &[])?;
    let artist = Artist::sign_up(&server.url).await?;
    let song = song(wav_bytes)?;

    let memory = server.watch_memory();
    let started = Instant::now();
    artist.upload(&song).await?;
    let seconds = started.elapsed().as_secs_f64();
    figures.add("one WAV of 200 MB: memory grows by", memory.growth_mib(), "MiB", Limit::AtMost(64.0));
    figures.add("one WAV of 200 MB: until it is stored and read back", seconds, "s", Limit::None);

    let memory = server.watch_memory();
    let health = server.watch_health();
    try_join_all((0..at_once).map(|_| artist.upload(&song))).await?;
    figures.add("eight at once: /health within, p99", health.p99_ms().await, "ms", Limit::AtMost(50.0));
    figures.add("eight at once: memory grows by", memory.growth_mib(), "MiB", Limit::AtMost(128.0));

    let first_load = dashboard_kb(&artist, size).await?;
    figures.add("dashboard, first load: WebAssembly, script; brotli", first_load, "kB", Limit::AtMost(350.0));
    Ok(())
}

/// Returns the kilobytes that an artist's browser transfers to run the dashboard, after compression. Each file must be
/// hashed, compressed and immutable.
async fn dashboard_kb(artist: &Artist, size: Size) -> BenchResult<f64> {
    let page = artist.get("/").send().await?.error_for_status()?.text().await?;
    if !page.contains("<h1") {
        return Err("this is no dashboard".into());
    }
    let mut to_load: BTreeSet<String> =
        quoted(&page).filter(|path| path.ends_with(".js") || path.ends_with(".wasm")).map(str::to_owned).collect();
    let (mut loaded, mut bytes) = (BTreeSet::new(), 0);
    while let Some(path) = to_load.pop_first() {
        let answer = artist.get(&path).header("accept-encoding", "br").send().await?.error_for_status()?;
        let header = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        // The debug build serves the site from the disk as it is.
        let is_embedded = header("content-encoding") == "br" && header("cache-control").contains("immutable");
        if size == Size::Full && !is_embedded {
            return Err(format!("{path} is not served compressed and immutable").into());
        }
        bytes += answer.bytes().await?.len();
        if path.ends_with(".js") {
            let script = artist.get(&path).send().await?.text().await?;
            let imported = script.split(" from ").skip(1).filter_map(|rest| quoted(rest).nth(1)?.strip_prefix("./"));
            to_load.extend(imported.map(|name| format!("/pkg/{name}")).filter(|path| !loaded.contains(path)));
        }
        loaded.insert(path);
    }
    if loaded.len() < 2 {
        return Err("the page names no script".into());
    }
    Ok(bytes as f64 / 1000.0)
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split(['"', '\''])
}
