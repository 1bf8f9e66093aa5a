//! nginx: its configuration rendered and tested, the process started, or adopted so that nobody who is
//! broadcasting is cut off by a crash of ours.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::hold::private_dir;
use super::ports::{Inside, reachable};
use super::process::{self, Process};
use super::render::render;
use super::watch::Server;
use crate::auth::Secrets;
use crate::config::Settings;
use crate::lifecycle::Failure;

/// Where Debian and Ubuntu put the module that the configuration loads.
const MODULES: [&str; 2] =
    ["/usr/lib/nginx/modules/ngx_rtmp_module.so", "/usr/lib/nginx/modules/ngx_stream_module.so"];

/// The oldest that can be told where to log before it has read its configuration.
const OLDEST: [u32; 3] = [1, 19, 5];

/// A fast stop closes everything at once.
const SHUTDOWN: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(10);

/// nginx and its configuration.
pub(super) struct Nginx {
    program: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    door: SocketAddr,
    inside: Inside,
    /// Tells whether a running nginx has the very configuration that we would start it with.
    fingerprint: String,
    master: Option<Process>,
}

impl Nginx {
    /// Renders the configuration. What an earlier `up` left running stays when it has the same configuration, and is
    /// stopped when it has not; nothing is started yet.
    pub(super) async fn prepare(settings: &Settings, secrets: &Secrets) -> Result<Self, Failure> {
        let program = process::find_program("nginx").ok_or("nginx is not installed: run script/setup")?;
        if let Some(missing) = MODULES.into_iter().find(|module| !Path::new(module).exists()) {
            return Err(format!("nginx lacks a module ({missing} is missing): run script/setup").into());
        }
        refuse_an_old_one(&program).await?;
        let data_dir = settings.data_dir.canonicalize()?;
        let media = settings.media_root().canonicalize()?;
        let dir = data_dir.join("nginx");
        private_dir(&dir)?;
        let remembered = Inside::remembered(&dir.join("ports.json"));
        if let Some(inside) = remembered {
            let nginx = Self::new(program.clone(), &data_dir, settings, secrets, &media, inside)?;
            if nginx.left_behind().is_some() {
                return Ok(nginx);
            }
        }
        process::clear(&dir, "nginx", Signal::TERM, SHUTDOWN).await;
        let inside = match remembered.filter(Inside::are_free) {
            Some(inside) => inside,
            None => Inside::pick(&data_dir, settings)?,
        };
        inside.remember(&dir.join("ports.json"))?;
        let nginx = Self::new(program, &data_dir, settings, secrets, &media, inside)?;
        fs::write(nginx.configuration(), render(settings, &data_dir, &media, &inside)?)?;
        Ok(nginx)
    }

    fn new(
        program: PathBuf,
        data_dir: &Path,
        settings: &Settings,
        secrets: &Secrets,
        media: &Path,
        inside: Inside,
    ) -> Result<Self, Failure> {
        let mut hasher = Sha256::new();
        hasher.update(render(settings, data_dir, media, &inside)?);
        hasher.update(fs::read(secrets.nginx_include())?);
        let fingerprint = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let (dir, log) = (data_dir.join("nginx"), data_dir.join("logs").join("nginx.log"));
        let door = reachable(settings.http);
        Ok(Self { program, dir, log, door, inside, fingerprint, master: None })
    }

    /// Whether an nginx of ours runs that will be adopted.
    pub(super) fn runs(&self) -> bool {
        self.left_behind().is_some()
    }

    /// Where the API finds `/stat` and `/control`.
    pub(super) fn control(&self) -> String {
        format!("http://{}", self.inside.http)
    }

    fn configuration(&self) -> PathBuf {
        self.dir.join("nginx.conf")
    }

    fn started_with(&self) -> PathBuf {
        self.dir.join("started-with.sha256")
    }

    fn left_behind(&self) -> Option<Pid> {
        let same = fs::read_to_string(self.started_with()).is_ok_and(|text| text == self.fingerprint);
        let masters = process::living_in(&self.dir, "nginx: master");
        if same { masters.first().copied() } else { None }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("-e").arg(&self.log).arg("-p").arg(&self.dir).arg("-c").arg(self.configuration());
        // By this the process is recognised later.
        command.current_dir(&self.dir);
        command
    }

    /// Has nginx test the configuration. It binds its ports for that: what is wrong with those is to be said before, in
    /// our own words.
    pub(super) async fn test(&self) -> Result<(), Failure> {
        let said = self.command().args(["-t", "-q"]).kill_on_drop(true).output().await?;
        if said.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said.stderr);
        let first = said.lines().find(|line| line.contains("[emerg]")).unwrap_or(said.trim()).to_owned();
        Err(format!("nginx does not take its configuration: {first}").into())
    }

    async fn launch(&self) -> Result<Process, Failure> {
        // Workers outlive a master that was killed, and hold its ports.
        process::clear(&self.dir, "nginx", Signal::TERM, SHUTDOWN).await;
        fs::write(self.started_with(), &self.fingerprint)?;
        let mut command = self.command();
        Ok(Process::spawn(command.args(["-g", "daemon off;"]), &self.log)?)
    }

    async fn until_ready(&mut self) -> Result<(), Failure> {
        let Some(master) = &mut self.master else { return Err("nginx was not started".into()) };
        let door = self.door;
        let answers = async {
            while TcpStream::connect(door).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let outcome = tokio::select! {
            biased;
            how = master.ended() => format!("it ended while starting ({how})"),
            () = answers => return Ok(()),
            () = tokio::time::sleep(START) => format!("{door} does not answer"),
        };
        let (why, log) = (process::last_words(&self.log), self.log.display());
        Err(format!("nginx: {outcome}: {why} (see {log})").into())
    }
}

impl Server for Nginx {
    const NAME: &'static str = "nginx";

    async fn start(&mut self) -> Result<(), Failure> {
        self.master = match self.left_behind().map(Process::adopt) {
            Some(Ok(running)) => {
                tracing::info!(pid = running.id(), "nginx still runs: taking it over");
                Some(running)
            }
            _ => Some(self.launch().await?),
        };
        self.until_ready().await
    }

    async fn ended(&mut self) -> String {
        match &mut self.master {
            Some(master) => master.ended().await,
            None => "it was never started".to_owned(),
        }
    }

    async fn tend(&mut self) -> io::Result<()> {
        if process::log::put_aside(&self.log)?
            && let Some(master) = &self.master
        {
            // It opens its logs anew, and that is all: a reload would keep the old worker for its broadcasts.
            master.signal(Signal::USR1);
        }
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(mut master) = self.master.take() {
            master.stop(Signal::TERM, SHUTDOWN).await;
        }
        process::clear(&self.dir, "nginx", Signal::TERM, SHUTDOWN).await;
    }
}

async fn refuse_an_old_one(program: &Path) -> Result<(), Failure> {
    let said = Command::new(program).arg("-v").kill_on_drop(true).output().await?;
    match version(&String::from_utf8_lossy(&said.stderr)) {
        Some(version) if version < OLDEST => {
            let [found, oldest] = [version, OLDEST].map(|version| version.map(|n| n.to_string()).join("."));
            let program = program.display();
            Err(format!(
                "{program} is of version {found}, and {oldest} or later is needed: Debian 12 and Ubuntu 24.04 have it"
            )
            .into())
        }
        // One that does not say so shows what it can do when it tests its configuration.
        _ => Ok(()),
    }
}

/// What nginx says of its version, for instance `nginx version: nginx/1.18.0 (Ubuntu)`.
fn version(said: &str) -> Option<[u32; 3]> {
    let number = said.split_once("nginx/")?.1.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
    let mut parts = number.split('.').map(str::parse);
    Some([parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nginx_says_them() {
        assert_eq!(version("nginx version: nginx/1.22.1\n"), Some([1, 22, 1]));
        assert_eq!(version("nginx version: nginx/1.18.0 (Ubuntu)\n"), Some([1, 18, 0]));
        assert_eq!(version("nginx version: something of its own\n"), None);
        assert!(Some([1, 9, 15]) < Some(OLDEST) && Some([1, 30, 0]) > Some(OLDEST));
    }
}
