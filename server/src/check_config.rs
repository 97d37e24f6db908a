//! `vwaza check-config`: lists what is wrong with the configuration, and tries the services that it names.

use std::{path::Path, process::ExitCode, time::Duration};

use tokio::time::timeout;
use uuid::Uuid;
use vwaza::backend::{ServiceCheck, check_database, check_mail, check_redis, check_storage};

use crate::{
    cli::with_database,
    config::{Config, ConfigError},
    router,
};

/// The time in which an embedded PostgreSQL starts, is asked, and stops.
const EMBEDDED_TIMEOUT: Duration = Duration::from_secs(60);

/// Prints one line for each finding and each attempt.
struct Report {
    /// The secrets that no line may show.
    secrets: Vec<String>,
    problems: u32,
}

impl Report {
    fn wrong(&mut self, what: &str, problem: &str) {
        self.problems += 1;
        self.print(what, problem);
    }

    fn attempt(&mut self, check: &ServiceCheck) {
        match &check.outcome {
            Ok(found) => self.print(check.what, found),
            Err(problem) => self.wrong(check.what, problem),
        }
    }

    fn print(&self, what: &str, words: &str) {
        let hidden = self.secrets.iter().fold(words.to_owned(), |words, secret| words.replace(secret, "***"));
        println!("{what}: {hidden}");
    }
}

/// Checks everything, also after something was found to be wrong. A service whose settings are wrong is not tried.
pub(crate) async fn run(config: &Config, problems: &[ConfigError]) -> ExitCode {
    let mut report = Report { secrets: config.secrets(), problems: 0 };
    problems.iter().for_each(|problem| report.wrong("configuration", &problem.to_string()));
    if let Err(error) = router::csrf(&config.public_url) {
        report.wrong("configuration", &error.to_string());
    }
    let is_sound = |names: &[&str]| !problems.iter().any(|problem| problem.is_about(names));
    let has_data_dir = is_sound(&["VWAZA_DATA_DIR"]);
    if has_data_dir {
        match try_folder(&config.data_dir) {
            Ok(()) => report.print("data directory", "ok"),
            Err(error) => report.wrong("data directory", &format!("{}: {error}", config.data_dir.display())),
        }
    }
    let folder = match has_data_dir && is_sound(&["DATABASE_URL"]) {
        true => database(config, &mut report).await,
        false => None,
    };
    let settings = config.settings(String::new());
    if has_data_dir && is_sound(&["VWAZA_STORAGE", "S3_", "AWS_", "SUPABASE_"]) {
        check_storage(&settings, folder).await.iter().for_each(|check| report.attempt(check));
    }
    if let Some(check) = check_redis(&config.limits).await {
        report.attempt(&check);
    }
    if has_data_dir && is_sound(&["SMTP_URL", "MAIL_FROM"]) {
        report.attempt(&check_mail(&config.mail, &config.data_dir).await);
    }
    match report.problems {
        0 => println!("Nothing is wrong."),
        1 => println!("1 thing is wrong."),
        many => println!("{many} things are wrong."),
    }
    if report.problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries the configured database, or starts the embedded one. Returns the id that it records for local storage's folder.
async fn database(config: &Config, report: &mut Report) -> Option<Uuid> {
    let mut tried = None;
    let work = with_database(config, async |settings| {
        tried = Some(check_database(&settings.database_url).await);
        Ok(ExitCode::SUCCESS)
    });
    let failure = match timeout(EMBEDDED_TIMEOUT, work).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", EMBEDDED_TIMEOUT.as_secs())),
    };
    if let Some(failure) = failure {
        report.wrong("database", &failure);
    }
    let (check, folder) = tried?;
    report.attempt(&check);
    folder
}

/// Creates a file in a folder and removes it. Creates the folder if there is none.
fn try_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let file = folder.join(format!("check-config-{}", Uuid::now_v7()));
    std::fs::write(&file, "vwaza check-config")?;
    std::fs::remove_file(file)
}
