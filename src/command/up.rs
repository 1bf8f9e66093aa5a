//! `tally up`: the whole site in one foreground process, which keeps a private PostgreSQL and nginx beside the
//! API and leaves nothing behind when it stops.
//!
//! Everything that it writes is in the data directory. Killed outright, it leaves both servers running; the
//! next `up` there takes them over, so that a broadcast goes on.

mod account;
mod hold;
mod nginx;
mod ports;
mod postgres;
mod process;
mod render;
mod watch;

pub use hold::{HoldError, Running};

use std::io::Write;
use std::time::Duration;

use rustix::process::{Resource, Signal, getpid, getrlimit, kill_process, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use self::hold::{Hold, private_dir};
use self::nginx::Nginx;
use self::postgres::Postgres;
use self::watch::Kept;
use super::{run_to_its_end, serve, welcome};
use crate::ambient::{self, Chance};
use crate::auth::Secrets;
use crate::config::Settings;
use crate::lifecycle::{Failure, Lifecycle, Stops, Tasks};

/// How long the API may take to answer at the public door once everything is started.
const READY: Duration = Duration::from_secs(30);

/// Runs the site until it is told to stop.
///
/// # Errors
/// When it cannot start, in one line that says what to do; or when a part that must live has ended.
pub fn run(settings: Settings) -> Result<(), Failure> {
    private_dir(&settings.data_dir)?;
    let hold = Hold::take(&settings.data_dir)?;
    if account::is_root() {
        // The lock does not survive this; the program takes it again under its new account.
        return Err(account::leave_root(&settings));
    }
    allow_open_files();
    run_to_its_end(keep_up(settings, hold))
}

/// The two servers, from when they are in the care of their tasks.
#[derive(Default)]
struct Servers {
    postgres: Option<Kept<Postgres>>,
    nginx: Option<Kept<Nginx>>,
}

impl Servers {
    /// In this order: nobody is let in any more, then nothing is written any more.
    async fn stop(self) {
        if let Some(nginx) = self.nginx {
            nginx.stop().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await;
        }
    }
}

async fn keep_up(settings: Settings, hold: Hold) -> Result<(), Failure> {
    // From here on a Ctrl-C must find us able to stop what we have started.
    let mut stops = Stops::listen()?;
    let mut lifecycle = Lifecycle::default();
    let tasks = lifecycle.tasks().clone();
    stop_with_the_terminal(&tasks)?;
    let mut servers = Servers::default();
    let started = tokio::select! {
        started = start(settings, &hold, &tasks, &mut servers) => started.map(|()| true),
        () = stops.next() => Ok(false),
    };
    let outcome = match started {
        Ok(true) => lifecycle.run(stops).await,
        cut_short => {
            lifecycle.finish().await;
            cut_short.map(drop)
        }
    };
    servers.stop().await;
    outcome
}

async fn start(
    mut settings: Settings,
    hold: &Hold,
    tasks: &Tasks,
    servers: &mut Servers,
) -> Result<(), Failure> {
    make_dirs(&settings)?;
    let secrets = Secrets::open(&settings.data_dir, &Chance::system())?;
    let nginx = Nginx::prepare(&settings, &secrets).await?;
    let runs = nginx.runs();
    ports::check(&settings, runs)?;
    if !runs {
        nginx.test().await?;
    }
    settings.nginx_control = nginx.control();
    if settings.database_url.is_none() {
        let postgres = Postgres::new(&settings.data_dir)?;
        settings.database_url = Some(postgres.url());
        servers.postgres.insert(Kept::new(postgres, tasks)).started().await?;
    }
    let welcome = welcome::prepare(&settings).await?;
    serve::start(&settings, tasks).await?;
    hold.publish(&Running {
        pid: std::process::id(),
        database_url: settings.database_url.as_ref().map(|url| url.reveal().to_owned()).unwrap_or_default(),
        internal: ports::reachable(settings.internal),
        rtmp: ports::reachable(settings.rtmp),
        site: settings.public_url(),
    })?;
    servers.nginx.insert(Kept::new(nginx, tasks)).started().await?;
    until_ready(&settings).await?;
    match tell(&settings, &welcome) {
        Ok(()) => secrets.forget_told()?,
        // Nobody is reading; that is no reason to stop. The first password will be told by the next start.
        Err(error) => tracing::warn!(%error, "nobody could be told that the site is up"),
    }
    Ok(())
}

/// Everything is for this account only; nginx and ffmpeg run under it as well.
fn make_dirs(settings: &Settings) -> Result<(), Failure> {
    for name in ["run", "logs"] {
        private_dir(&settings.data_dir.join(name))?;
    }
    let media = settings.media_root();
    private_dir(&media)?;
    for name in ["hls", "thumb"] {
        private_dir(&media.join(name))?;
    }
    Ok(())
}

/// Waits until the site answers at its public door.
async fn until_ready(settings: &Settings) -> Result<(), Failure> {
    let client = ambient::http_client().timeout(Duration::from_secs(5)).build()?;
    let url = format!("http://{}/readyz", ports::reachable(settings.http));
    let mut said = String::from("nothing");
    let answers = async {
        loop {
            match client.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => said = answer.text().await.unwrap_or_default().trim().to_owned(),
                Err(error) => said = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(READY, answers).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("{url} is not ready after {READY:?}; it says: {said}").into()),
    }
}

/// What the operator needs next, on stdout.
fn tell(settings: &Settings, welcome: &welcome::Welcome) -> std::io::Result<()> {
    let (url, server) = (settings.public_url(), settings.public_rtmp_url());
    let mut text = format!("\nTally is up.\n\n  Site        {url}/\n  GraphiQL    {url}/graphiql\n");
    if let Some((handle, password)) = &welcome.admin {
        text += &format!("  Admin       {handle}\n  Password    {password}   (shown only this once)\n");
    }
    text +=
        &format!("\n  Demo channel, for OBS:\n  Server      {server}\n  Stream key  {}\n", welcome.demo_key);
    text +=
        &format!("\nLogs are in {}. Ctrl-C stops everything.\n", settings.data_dir.join("logs").display());
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
}

/// A terminal that is closed is as good as a Ctrl-C: otherwise it would kill us and leave the servers. Not where whoever
/// started us has said that it is to be outlived, as `nohup` does.
fn stop_with_the_terminal(tasks: &Tasks) -> Result<(), Failure> {
    if is_ignored(Signal::HUP) {
        return Ok(());
    }
    let mut hang_up = signal(SignalKind::hangup())?;
    let stop = tasks.stopping().clone();
    tasks.pass("terminal", async move {
        if let Some(Some(())) = stop.run_until_cancelled(hang_up.recv()).await {
            let _ = kill_process(getpid(), Signal::TERM);
        }
    });
    Ok(())
}

fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default();
    ignored >> (signal.as_raw() - 1) & 1 == 1
}

/// Takes as many open files as the system allows: every viewer and subscriber is one or two.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}
