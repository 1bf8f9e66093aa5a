//! `tally up` in a directory of its own, on ports of its own.

use std::fs::{self, File};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::{Actor, descendants, is_alive, processes, seconds, send, until};

/// The program under test.
pub(crate) fn tally() -> Command {
    // What measures may name one that was built for it.
    let program = std::env::var_os("TALLY_PROGRAM");
    within(Command::new(program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_tally").as_ref())))
}

fn within(mut command: Command) -> Command {
    // What the machine at hand has set must not reach the tests.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLY_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What it finds where it is started.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    /// How many files each process may have open, if that is limited.
    pub(crate) files: Option<u32>,
    /// What the environment says.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// A site that runs.
pub(crate) struct Site {
    ports: [u16; 4],
    flags: Vec<String>,
    surroundings: Surroundings,
    dir: TempDir,
    up: Child,
    starts: u32,
    /// What the first start printed, once.
    pub(crate) admin_password: String,
    /// The demo channel's key.
    pub(crate) demo_key: String,
    pub(crate) client: reqwest::Client,
}

impl Site {
    /// One with these flags besides those of its place, for instance `["--viewer-ttl", "3s"]`.
    pub(crate) async fn start(flags: &[&str]) -> Self {
        Self::start_in(Surroundings::default(), flags).await
    }

    /// The same, in such surroundings.
    pub(crate) async fn start_in(surroundings: Surroundings, flags: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("tally-site-").tempdir().expect("a directory");
        // The account that `up` leaves root for must be able to pass through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let ports = free_ports();
        let up = launch(dir.path(), ports, &flags, &surroundings, 1);
        let client = tally::ambient::http_client().timeout(seconds(10)).build().expect("a client");
        let (admin_password, demo_key) = (String::new(), String::new());
        let mut site =
            Self { ports, flags, surroundings, dir, up, starts: 1, admin_password, demo_key, client };
        site.until_up().await;
        let printed = site.printed();
        let word = |label: &str| {
            let line = printed.lines().find_map(|line| line.trim().strip_prefix(label));
            let word = line.and_then(|rest| rest.split_whitespace().next());
            word.unwrap_or_else(|| panic!("no {label} in: {printed}")).to_owned()
        };
        site.admin_password = word("Password");
        site.demo_key = word("Stream key");
        assert_eq!(word("Site"), format!("{}/", site.url("")));
        assert_eq!(word("GraphiQL"), site.url("/graphiql"));
        assert_eq!(word("Server"), site.rtmp());
        site
    }

    /// Starts the program again, after it was killed.
    pub(crate) async fn start_again(&mut self) {
        self.starts += 1;
        self.up = launch(self.dir.path(), self.ports, &self.flags, &self.surroundings, self.starts);
        self.until_up().await;
    }

    /// Kills the program alone, as if it had crashed.
    pub(crate) async fn kill_api(&mut self) {
        self.up.kill().await.expect("killed");
    }

    /// Ctrl-C: it must end well and leave nothing.
    pub(crate) async fn stop(mut self) {
        let pid = self.pid();
        let family = descendants(pid);
        assert!(self.its_own().len() > 3, "nginx and PostgreSQL run as well");
        send(pid, Signal::INT);
        let status = tokio::time::timeout(seconds(30), self.up.wait()).await;
        let status = status.expect("it stops within 30 s").expect("a status");
        assert!(status.success(), "{status}: {}", self.log());
        let family =
            family.into_iter().filter(|process| is_alive(process.pid)).map(|process| process.command);
        let left: Vec<_> = self.its_own().into_iter().map(|process| process.1).chain(family).collect();
        assert_eq!(left, Vec::<String>::new(), "nothing is left running");
    }

    /// The program's process.
    pub(crate) fn pid(&self) -> i32 {
        self.up.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A path at the public door.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[0])
    }

    /// A path at the internal listener.
    pub(crate) fn internal(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports[3])
    }

    /// The API's public listener.
    pub(crate) fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2])
    }

    /// What nginx shows the API.
    pub(crate) fn internal_secret(&self) -> String {
        let include = fs::read_to_string(self.data_dir().join("secrets/nginx.conf")).expect("the secret");
        let secret = include.split('"').nth(1).or_else(|| include.split_whitespace().nth(2));
        secret.expect("a secret").trim_end_matches(';').to_owned()
    }

    pub(crate) fn websocket(&self) -> String {
        format!("ws://127.0.0.1:{}/graphql", self.ports[0])
    }

    pub(crate) fn rtmp(&self) -> String {
        format!("rtmp://127.0.0.1:{}/live", self.ports[1])
    }

    /// What it has said on stderr, over all its starts.
    pub(crate) fn log(&self) -> String {
        let logs = (1..=self.starts).map(|start| self.dir.path().join(format!("up-{start}.err")));
        logs.map(|log| fs::read_to_string(log).unwrap_or_default()).collect()
    }

    /// The admin, signed in.
    pub(crate) async fn admin(&self) -> Actor {
        Actor::sign_in(self, "admin", &self.admin_password).await
    }

    /// The nginx worker.
    pub(crate) fn nginx_worker(&self) -> i32 {
        self.nginx("nginx: worker").first().copied().expect("a worker")
    }

    /// nginx's processes whose titles begin like that.
    pub(crate) fn nginx(&self, title: &str) -> Vec<i32> {
        let nginx = self.data_dir().canonicalize().expect("a directory").join("nginx");
        let ours = |process: &super::processes::Process| {
            process.directory == nginx && process.command.starts_with(title)
        };
        processes().into_iter().filter(ours).map(|process| process.pid).collect()
    }

    /// The private PostgreSQL's first process, if it runs.
    pub(crate) fn postmaster(&self) -> Option<i32> {
        let file = fs::read_to_string(self.data_dir().join("postgres/postmaster.pid")).ok()?;
        file.lines().next()?.parse().ok()
    }

    /// Where the database is.
    pub(crate) fn database(&self) -> String {
        let running = fs::read(self.data_dir().join("run/up.json")).expect("it says what runs");
        let running: serde_json::Value = serde_json::from_slice(&running).expect("JSON");
        running["database_url"].as_str().expect("a URL").to_owned()
    }

    /// Processes that work in its directory or were given a path in it.
    fn its_own(&self) -> Vec<(i32, String)> {
        let dir = self.dir.path().canonicalize().expect("a directory");
        let named = dir.display().to_string();
        let own = |process: &super::processes::Process| {
            process.directory.starts_with(&dir) || process.command.contains(&named)
        };
        processes().into_iter().filter(own).map(|process| (process.pid, process.command)).collect()
    }

    async fn until_up(&mut self) {
        until("it says that it is up", seconds(60), async || {
            if let Some(status) = self.up.try_wait().expect("a status") {
                panic!("{status}: {}", self.log());
            }
            self.printed().contains("Ctrl-C stops everything.").then_some(())
        })
        .await;
    }

    fn printed(&self) -> String {
        let file = self.dir.path().join(format!("up-{}.out", self.starts));
        fs::read_to_string(file).unwrap_or_default()
    }
}

impl Drop for Site {
    /// After a stop nothing is there to kill; after a failed test everything is.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the log of the site:\n{}", self.log());
        }
        let _ = self.up.start_kill();
        for (pid, _) in self.its_own() {
            send(pid, Signal::KILL);
        }
        // PostgreSQL's last words in the directory, which is about to be removed.
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn launch(dir: &Path, ports: [u16; 4], flags: &[String], around: &Surroundings, start: u32) -> Child {
    let file = |ending| File::create(dir.join(format!("up-{start}.{ending}"))).expect("a file");
    let mut command = tally();
    if let Some(files) = around.files {
        let program = command.as_std().get_program().to_owned();
        command = within(Command::new("prlimit"));
        command.arg(format!("--nofile={files}")).arg(program);
    }
    command.arg("up").arg("--data-dir").arg(dir.join("data"));
    for (flag, port) in ["--http", "--rtmp", "--listen", "--internal"].iter().zip(ports) {
        command.arg(flag).arg(format!("127.0.0.1:{port}"));
    }
    command
        .args(flags)
        .envs(around.variables.clone())
        .stdout(file("out"))
        .stderr(file("err"))
        .spawn()
        .expect("it starts")
}

/// Four that nobody uses, below those that the system gives to outgoing connections.
fn free_ports() -> [u16; 4] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 250).expect("small") * 4;
    std::array::from_fn(|_| {
        loop {
            let port = 23_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 1000;
            let free = TcpListener::bind(("127.0.0.1", port)).is_ok();
            if free && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}
