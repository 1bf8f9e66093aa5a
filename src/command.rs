//! The command line: what can be typed, and what each word does.

pub mod api;
mod demo;
pub mod rotate;
pub mod serve;
pub mod sweep;
pub mod up;
mod user;
mod welcome;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::config::{DatabaseUrl, Settings};
use crate::graphql;
use crate::lifecycle::{Failure, Lifecycle, Stops};
use crate::store::Store;
use crate::telemetry;

/// How long threads that wait for a disk may take once everything else has ended.
const LEFT: Duration = Duration::from_secs(1);

/// A self-hosted live-streaming backend.
#[derive(Parser)]
#[command(version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole site in the foreground: PostgreSQL, nginx, the API and the pages.
    Up(Box<Settings>),
    /// Runs the API alone, against --database-url.
    Serve(Box<Settings>),
    /// Brings the database up to date.
    Migrate(Place),
    /// Prints the schema of the graph.
    Schema,
    /// Broadcasts a test picture with sound to the demo channel of the site that runs.
    Demo(demo::Demo),
    /// Replaces the key that stream keys are sealed under, with the next start of the site.
    RotateKey(rotate::RotateKey),
    /// Makes accounts and gives roles.
    #[command(subcommand)]
    User(user::Command),
}

/// Where the database is: said outright, or that of the `up` that uses a data directory.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The data directory of the `tally up` that runs.
    #[arg(long, env = "TALLY_DATA_DIR", default_value = ".tally", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// The database, instead.
    #[arg(long, env = "TALLY_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<DatabaseUrl>,
}

impl Place {
    /// The database that is meant.
    ///
    /// # Errors
    /// When none is given and no `up` runs, in one line that says so.
    pub fn store(&self) -> Result<Store, Failure> {
        let url = match &self.database_url {
            Some(url) => url.clone(),
            None => DatabaseUrl::from_str(&up::Running::read(&self.data_dir)?.database_url)?,
        };
        Ok(Store::new(url)?)
    }
}

/// What is wrong with the command line, without the value if that may hold a password: it may come from the environment of a
/// service, and would be in its log.
fn without_secrets(mut refused: clap::Error) -> clap::Error {
    let argument = match refused.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    if ["--database-url <URL>", "--nats-url <URL>"].contains(&argument) {
        refused.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    refused
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let line = Line::try_parse().unwrap_or_else(|refused| without_secrets(refused).exit());
    match run(line.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Logs go to stderr as well; this line is for whoever typed the command.
            eprintln!("tally: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(settings) => {
            telemetry::start(settings.log_format, &settings.log)?;
            keep_pages_small();
            up::run(*settings)
        }
        Command::Serve(settings) => {
            telemetry::start(settings.log_format, &settings.log)?;
            keep_pages_small();
            run_to_its_end(keep_serving(*settings))
        }
        Command::Migrate(place) => runtime()?.block_on(async { Ok(place.store()?.migrate().await?) }),
        Command::Schema => Ok(std::io::stdout().write_all(graphql::sdl().as_bytes())?),
        Command::Demo(demo) => runtime()?.block_on(demo.broadcast()),
        Command::RotateKey(rotate) => rotate.run(),
        Command::User(command) => runtime()?.block_on(command.run()),
    }
}

/// Where the machine gives huge pages to everybody, as Debian does, the kernel fills them up around what is left of memory
/// that was given back, and half an hour's work takes three times its memory. The allocator's `no_thp` only keeps it from
/// asking for them. What we start goes without as well: PostgreSQL's own advice, and nothing to nginx and ffmpeg.
fn keep_pages_small() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the kernel goes by its own mind about huge pages");
    }
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().enable_all().build()?)
}

/// Does what `work` does, and then waits no longer for threads that wait for a disk. Tasks are ended, and what they have
/// started with them: a runtime that is let go of at once would leave that to chance.
fn run_to_its_end(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(work);
    runtime.shutdown_timeout(LEFT);
    outcome
}

async fn keep_serving(settings: Settings) -> Result<(), Failure> {
    let (lifecycle, mut stops) = (Lifecycle::default(), Stops::listen()?);
    tokio::select! {
        started = serve::start(&settings, lifecycle.tasks()) => started?,
        () = stops.next() => return Ok(()),
    }
    tracing::info!(listen = %settings.listen, internal = %settings.internal, "serving");
    lifecycle.run(stops).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_without_what_may_be_secret() {
        for (flag, why) in [("--database-url", "begin with postgres://"), ("--nats-url", "as one API node")] {
            let line = ["tally", "serve", flag, "other://tally:secret@machine"];
            let said = without_secrets(Line::try_parse_from(line).err().unwrap()).to_string();
            assert!(said.contains(why) && !said.contains("secret"), "{said}");
        }
        let said = without_secrets(Line::try_parse_from(["tally", "serve", "--viewer-ttl=1"]).err().unwrap());
        assert!(said.to_string().contains("'1'"), "{said}");
    }

    #[test]
    fn a_thread_that_waits_for_a_disk_does_not_hold_up_the_end() {
        let (ended, end) = std::sync::mpsc::channel();
        let (_disk, answer) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let outcome = run_to_its_end(async {
                let (begins, begun) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || {
                    let _ = begins.send(());
                    let _ = answer.recv();
                });
                Ok(begun.await?)
            });
            let _ = ended.send(outcome.is_ok());
        });
        assert_eq!(end.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}
