//! The operator's commands and the start of the server.

use std::{
    error::Error,
    io::{self, BufRead, IsTerminal},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand, ValueEnum, value_parser};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::timeout_at,
};
use vwaza::{
    backend::{Backend, Repair, Settings, db::embedded_postgres::EmbeddedPostgres},
    domain::{
        account::{Email, Password, Role, parse_artist_name},
        administration::UserChange,
        problem::Problem,
    },
};

use crate::{
    check_config,
    config::{self, Config, ConfigError},
    connection_slots::ConnectionSlots,
    descriptors, listen, router,
    site::Site,
};

#[derive(Parser)]
#[command(name = "vwaza", version, about = "Vwaza Release Manager")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server and the job worker (the default).
    Serve,
    /// Bring the database's schema up to date, then exit.
    Migrate,
    /// Check that database, storage and spool agree. Every object is read. The exit code is 0 only if they agree.
    Fsck {
        /// Repair what can be repaired. Unknown objects, and unneeded spool files, are removed only if there are at
        /// most 10 of them and at most 1 % of all; a single one is always removed.
        #[arg(long)]
        repair: bool,
        /// Remove unknown objects and unneeded spool files even if there are more than 10, or more than 1 % of all.
        #[arg(long, requires = "repair")]
        force: bool,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Save everything that the database and the storage hold while servers run: a snapshot of the database, all objects
    /// and received files. Files that the target has are not copied again. The exit code is 0 only if nothing is missing.
    Backup {
        /// A folder, or s3://BUCKET or s3://BUCKET/PATH with the variables VWAZA_BACKUP_AWS_….
        target: String,
        /// Keep the latest N backups, this one included, and delete older ones. Without it, all are kept.
        #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
        keep: Option<u16>,
        /// The longest wait for files that other processes have received and not stored yet.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        wait: u32,
    },
    /// Read backups and compare every byte with their manifests. Needs no server and no database. The exit code is 0 only
    /// if nothing is damaged or missing.
    VerifyBackup {
        target: String,
        /// The name of one backup. Without it, all are read.
        #[arg(long)]
        backup: Option<String>,
    },
    /// Restore a backup into an empty database and the configured storage, which may be of another kind. Sessions, access
    /// tokens and links in mails end. Checks everything at last; the exit code is that of fsck.
    Restore {
        target: String,
        /// The name of the backup. Without it, the latest one.
        #[arg(long)]
        backup: Option<String>,
    },
    /// Say what is wrong with the configuration, and try the database, the storage, Redis and the SMTP server. The exit code
    /// is 0 only if nothing is wrong. Passwords are never printed.
    CheckConfig,
    /// Manage accounts.
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
}

#[derive(Subcommand)]
enum UserCommand {
    /// Create an account. The password is read from standard input; a terminal doesn't show it.
    Create {
        #[arg(long)]
        email: String,
        #[arg(long, value_enum)]
        role: CliRole,
        /// The artist name shown on releases. Without it, the part of the e-mail address before the @.
        #[arg(long)]
        name: Option<String>,
    },
    /// List all accounts: address, role, state and name, separated by tabs.
    List,
    /// Disable a user at once, and end their sessions, access tokens and reset links. Refused for the only admin.
    Disable {
        #[arg(long)]
        email: String,
    },
    /// Let a disabled user sign in again.
    Enable {
        #[arg(long)]
        email: String,
    },
    /// Make a user an admin or an artist, and end their sessions. The only admin can't be made an artist.
    SetRole {
        #[arg(long)]
        email: String,
        #[arg(long, value_enum)]
        role: CliRole,
    },
    /// Turn off two-factor sign-in for a user who has lost the app and the recovery codes.
    ResetTwoFactor {
        #[arg(long)]
        email: String,
    },
    /// Send a user a link that sets a new password. Without SMTP_URL, the link is printed: give it to this user only.
    ResetPassword {
        #[arg(long)]
        email: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum CliRole {
    Artist,
    Admin,
}

pub(crate) type CommandResult = Result<ExitCode, Box<dyn Error + Send + Sync>>;

impl Cli {
    pub(crate) fn is_server(&self) -> bool {
        matches!(self.command, None | Some(Command::Serve))
    }

    /// Whether the command also runs with settings that are wrong.
    pub(crate) fn checks_config(&self) -> bool {
        matches!(self.command, Some(Command::CheckConfig))
    }
}

/// `problems` are the settings that are wrong, of which only `check-config` accepts any.
pub(crate) async fn run(cli: Cli, config: Config, problems: &[ConfigError]) -> CommandResult {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config).await,
        Command::Migrate => {
            with_database(&config, async |settings| {
                vwaza::backend::migrate_database(&settings.database_url).await?;
                println!("The database is up to date.");
                Ok(ExitCode::SUCCESS)
            })
            .await
        }
        Command::Fsck { repair, force, json } => {
            let repair = match (repair, force) {
                (false, _) => Repair::No,
                (true, false) => Repair::Careful,
                (true, true) => Repair::Force,
            };
            with_database(&config, async |settings| {
                let report = vwaza::backend::fsck(&settings, repair).await?;
                if json {
                    println!("{}", serde_json::to_string_pretty(&report)?);
                } else {
                    println!("{report}");
                }
                Ok(exit_code(report.agree))
            })
            .await
        }
        Command::Backup { target, keep, wait } => {
            let (target, wait) = (config::backup_target(&target)?, Duration::from_secs(wait.into()));
            with_database(&config, async |settings| {
                let report = vwaza::backend::backup(&settings, &target, wait, keep.map(usize::from)).await?;
                println!("{report}");
                Ok(exit_code(report.is_complete()))
            })
            .await
        }
        Command::VerifyBackup { target, backup } => {
            let check = vwaza::backend::verify_backup(&config::backup_target(&target)?, backup.as_deref()).await?;
            println!("{check}");
            Ok(exit_code(check.is_complete()))
        }
        Command::Restore { target, backup } => {
            let target = config::backup_target(&target)?;
            with_database(&config, async |settings| {
                let restored = vwaza::backend::restore(&settings, &target, backup.as_deref()).await?;
                println!("{}", restored.report);
                println!(
                    "Backup {} is restored: {} objects, {} received files.",
                    restored.name, restored.objects, restored.uploads
                );
                Ok(exit_code(restored.report.agree))
            })
            .await
        }
        Command::CheckConfig => Ok(check_config::run(&config, problems).await),
        Command::User { command } => run_user_command(&config, command).await,
    }
}

fn exit_code(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run_user_command(config: &Config, command: UserCommand) -> CommandResult {
    let (email, change, change_text) = match command {
        UserCommand::Create { email, role, name } => {
            let email = Email::parse(&email)?;
            let name = name.unwrap_or_else(|| email.as_str().split('@').next().unwrap_or_default().to_owned());
            let name = parse_artist_name(&name)?;
            let password = read_password()?;
            return with_database(config, async |settings| {
                let role = match role {
                    CliRole::Artist => Role::Artist,
                    CliRole::Admin => Role::Admin,
                };
                vwaza::backend::create_user(&settings.database_url, &name, &email, &password, role).await?;
                println!("{} can sign in now.", email.as_str());
                Ok(ExitCode::SUCCESS)
            })
            .await;
        }
        UserCommand::List => return with_database(config, list_users).await,
        UserCommand::ResetPassword { email } if config.mail.smtp_url.is_none() => {
            return with_database(config, async |settings| {
                let path = vwaza::backend::make_reset_link(&settings.database_url, &email).await?;
                println!("{}{path}", settings.public_url);
                Ok(ExitCode::SUCCESS)
            })
            .await;
        }
        UserCommand::ResetPassword { email } => (email, UserChange::SendResetLink, "gets a mail with a link"),
        UserCommand::ResetTwoFactor { email } => (email, UserChange::ResetTwoFactor, "signs in without a code"),
        UserCommand::Disable { email } => (email, UserChange::Disable, "is disabled"),
        UserCommand::Enable { email } => (email, UserChange::Enable, "can sign in again"),
        UserCommand::SetRole { email, role: CliRole::Admin } => (email, UserChange::MakeAdmin, "is an admin"),
        UserCommand::SetRole { email, role: CliRole::Artist } => (email, UserChange::MakeArtist, "is an artist"),
    };
    with_database(config, async |settings| {
        vwaza::backend::change_user(&settings.database_url, &email, change).await?;
        println!("{email} {change_text}.");
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn list_users(settings: Settings) -> CommandResult {
    for user in vwaza::backend::list_users(&settings.database_url).await? {
        let role = match user.role {
            Role::Artist => "artist",
            Role::Admin => "admin",
        };
        let state = if user.is_disabled { "disabled" } else { "enabled" };
        println!("{}\t{role}\t{state}\t{}", user.email, user.artist_name);
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a line from standard input. A terminal does not show it, because somebody may watch the screen or record it.
fn read_password() -> Result<Password, Box<dyn Error + Send + Sync>> {
    let stdin = io::stdin();
    let echo_off = stdin.is_terminal().then(|| EchoOff::begin(&stdin)).transpose()?;
    // The prompt comes after the echo is off, so that a password that is pasted at once is not shown either.
    eprint!("Password: ");
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    if echo_off.is_some() {
        // The terminal did not show the Enter either.
        eprintln!();
    }
    drop(echo_off);
    read?;
    Ok(Password::parse(line.trim_end_matches(['\r', '\n']))?)
}

/// Turns off a terminal's echo until this is dropped.
struct EchoOff<'a> {
    terminal: &'a io::Stdin,
    before: Termios,
}

impl<'a> EchoOff<'a> {
    fn begin(terminal: &'a io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut without_echo = before.clone();
        without_echo.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &without_echo)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        // If the terminal is gone, there is no echo to restore.
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
    }
}

/// Runs `work` on the configured database, or on the embedded one. An embedded PostgreSQL that is already running is
/// joined.
pub(crate) async fn with_database(config: &Config, work: impl AsyncFnOnce(Settings) -> CommandResult) -> CommandResult {
    match &config.database_url {
        Some(url) => work(config.settings(url.clone())).await,
        None => {
            let postgres = EmbeddedPostgres::start_or_join(&config.data_dir).await?;
            let outcome = work(config.settings(postgres.url().to_owned())).await;
            let stopped = if postgres.started_here() { postgres.stop().await } else { Ok(()) };
            let code = outcome?;
            stopped?;
            Ok(code)
        }
    }
}

async fn serve(config: Config) -> CommandResult {
    // The listener comes first, so that a second server on this address fails before it starts or changes anything.
    // Clients that connect early wait.
    let listener = listen::bind(config.listen)
        .map_err(|error| format!("the server cannot listen on {}: {error}", config.listen))?;
    let postgres = match &config.database_url {
        Some(_) => None,
        None => Some(EmbeddedPostgres::start_or_join(&config.data_dir).await?),
    };
    let url = match (&config.database_url, &postgres) {
        (Some(url), _) => url.clone(),
        (None, Some(postgres)) => postgres.url().to_owned(),
        (None, None) => return Err(Problem::Unavailable("There is no database.".into()).into()),
    };
    // The last quarter of the time is for stopping the embedded PostgreSQL.
    let database_stop_time = if postgres.is_some() { config.shutdown_timeout / 4 } else { Duration::ZERO };
    let served = serve_on(listener, &config, url, database_stop_time).await;
    let deadline = *served.as_ref().unwrap_or(&(Instant::now() + config.shutdown_timeout));
    if let Some(postgres) = postgres {
        // If it takes longer, PostgreSQL goes on stopping by itself, and the next start joins it.
        match timeout_at(deadline.into(), postgres.stop()).await {
            Ok(Err(error)) if served.is_err() => {
                tracing::error!(error = ?error, "embedded PostgreSQL did not stop")
            }
            Ok(stopped) => stopped?,
            Err(_) => tracing::warn!("embedded PostgreSQL did not stop in time; no longer waiting for it"),
        }
    }
    served?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal ends it. Returns the deadline for the whole shutdown, of which it leaves `database_stop_time`
/// unused.
async fn serve_on(
    listener: TcpListener,
    config: &Config,
    database_url: String,
    database_stop_time: Duration,
) -> Result<Instant, Box<dyn Error + Send + Sync>> {
    let descriptors = descriptors::raise_limit();
    let metrics = crate::metrics::install()?;
    let backend = Backend::start(config.settings(database_url)).await?;
    let client_resolver = Arc::new(config.client_resolver());
    let router =
        router::router(Arc::clone(&backend), Site::load(config)?, metrics, Arc::clone(&client_resolver), config)?;
    let connections = descriptors::max_connections(descriptors, config.max_connections, &config.queue);
    tracing::info!(descriptors, connections, "connection limit set");
    let slots = Arc::new(ConnectionSlots::new(connections, config.connections_per_peer(), client_resolver));
    let termination_signal = termination_signal()?;
    tracing::info!(listen = %listener.local_addr()?, url = %config.public_url, "listening");
    let grace = config.shutdown_timeout / 2;
    let ended = listen::serve(listener, router, slots, termination_signal, backend.shutdown(), grace).await;
    let deadline = ended + config.shutdown_timeout;
    backend.stop(deadline - database_stop_time).await;
    Ok(deadline)
}

/// Resolves on SIGTERM or SIGINT. From this call on, neither signal ends the process by itself.
fn termination_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
