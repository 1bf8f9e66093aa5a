//! Simulcast: a broadcast is passed on to other servers as it comes, each by an ffmpeg of its own that reads what viewers
//! read. Nothing that another server does can disturb the broadcast: it does not know of them.

mod address;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Notify, broadcast};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::files::Files;
use super::{playlist, relay};
use crate::ambient::{Chance, Clock};
use crate::auth::Keyring;
use crate::lifecycle::{Failure, Pace, Tasks};
use crate::realtime::Presence;
use crate::store::{Course, Loc, Store, TargetId};

pub use address::{Address, NoAddress};

/// How often it is looked what is to be passed on.
const ROUND: Duration = Duration::from_secs(1);
/// How often it is looked for the first segment.
const LOOK: Duration = Duration::from_millis(250);
/// How long ffmpeg may take to connect to us, and for how long nothing may go on.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long is waited before the next try: twice as long each time, up to a minute.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What went on for so long was no failure to begin: the next pause is the first again.
const WENT_WELL: Duration = Duration::from_secs(60);
/// So many at a time, of all channels: each is a process that takes some 30 MB.
const AT_A_TIME: usize = 64;
/// How many changes a slow reader may be behind before it misses some.
const UNREAD: usize = 1024;

/// How it stands with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A connection is being made since then.
    Connecting(DateTime<Utc>),
    /// The other server takes the broadcast since then.
    Live(DateTime<Utc>),
    /// It did not work, then, for that reason. It is tried again.
    Failed(DateTime<Utc>, Reason),
}

/// Why a broadcast cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody knows a server of that name.
    NoSuchServer,
    /// It leads to this machine or into a private network.
    NotAllowed,
    /// Nobody answers there.
    Unreachable,
    /// It cannot show that it is who it should be.
    NotTrusted,
    /// It answers, and does not take the broadcast.
    Refused,
    /// It took the broadcast and then no longer.
    Broken,
    /// Its key was sealed under another server's key.
    KeyLost,
    /// We are not able to.
    Unable,
}

/// Passes broadcasts on; cloned freely.
#[derive(Clone)]
pub struct Simulcast(Arc<Inner>);

struct Inner {
    files: Files,
    store: Store,
    keyring: Keyring,
    clock: Clock,
    chance: Chance,
    /// Whether a target may be this machine, or in a private network.
    may_stay: bool,
    standings: Mutex<HashMap<TargetId, Standing>>,
    changes: broadcast::Sender<(Loc, TargetId)>,
    look: Notify,
}

/// A broadcast on its way to a target.
struct Going {
    course: Course,
    stop: CancellationToken,
    /// Of the task that does it.
    alive: Weak<()>,
}

impl Simulcast {
    /// Passes on what lies in `files`; to this machine and to private networks only if `may_stay`.
    pub fn new(
        files: Files,
        store: Store,
        keyring: Keyring,
        clock: Clock,
        chance: Chance,
        may_stay: bool,
    ) -> Self {
        let (standings, changes) = (Mutex::default(), broadcast::Sender::new(UNREAD));
        let look = Notify::new();
        Self(Arc::new(Inner { files, store, keyring, clock, chance, may_stay, standings, changes, look }))
    }

    /// How it stands with a target; None while there is nothing to pass on to it.
    pub fn standing(&self, target: TargetId) -> Option<Standing> {
        self.standings().get(&target).copied()
    }

    /// A target of the channel at `loc` was added, changed or removed.
    pub fn changed(&self, loc: Loc, target: TargetId) {
        self.tell(loc, target);
        self.0.look.notify_one();
    }

    /// Hears of each target that changes.
    pub fn watch(&self) -> broadcast::Receiver<(Loc, TargetId)> {
        self.0.changes.subscribe()
    }

    /// Works until `stop`; `presence` knows whether anything is on the air.
    ///
    /// # Errors
    /// Never: what fails is logged and tried again.
    pub async fn run(self, presence: Presence, tasks: Tasks, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop.clone());
        let mut going: HashMap<TargetId, Going> = HashMap::new();
        while self.turn(&mut pace).await {
            let courses = match presence.size() {
                (0, _) => Vec::new(),
                _ => match self.0.store.courses().await {
                    Ok(courses) => courses,
                    Err(error) => {
                        tracing::warn!(%error, "what is to be passed on cannot be known");
                        continue;
                    }
                },
            };
            going.retain(|_, it| {
                if !courses.contains(&it.course) {
                    it.stop.cancel();
                }
                // Until it has ended, another connection would be refused.
                it.alive.strong_count() > 0
            });
            for course in courses {
                if !going.contains_key(&course.target.id) && going.len() < AT_A_TIME {
                    going.insert(course.target.id, self.start(course, &tasks, &stop));
                }
            }
        }
        Ok(())
    }

    /// Waits for the next round, or for a change.
    async fn turn(&self, pace: &mut Pace) -> bool {
        tokio::select! {
            goes_on = pace.beat() => goes_on,
            () = self.0.look.notified() => true,
        }
    }

    fn start(&self, course: Course, tasks: &Tasks, stop: &CancellationToken) -> Going {
        let (stop, alive) = (stop.child_token(), Arc::new(()));
        let going = Going { course: course.clone(), stop: stop.clone(), alive: Arc::downgrade(&alive) };
        let this = self.clone();
        tasks.pass("simulcast", async move {
            stop.run_until_cancelled(this.pass_on(&course)).await;
            this.note(&course, None);
            drop(alive);
        });
        going
    }

    /// Passes a broadcast on, again and again.
    async fn pass_on(&self, course: &Course) {
        let mut pause = FIRST_PAUSE;
        loop {
            let now = || self.0.clock.now();
            self.note(course, Some(Standing::Connecting(now())));
            let began = self.0.clock.elapsed();
            let reason = self.attempt(course).await.err().unwrap_or(Reason::Broken);
            tracing::info!(loc = %course.loc, target = %course.target.id.0, ?reason, "a broadcast is not passed on");
            self.note(course, Some(Standing::Failed(now(), reason)));
            if self.0.clock.elapsed().saturating_sub(began) > WENT_WELL {
                pause = FIRST_PAUSE;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Passes a broadcast on until something fails.
    async fn attempt(&self, course: &Course) -> Result<(), Reason> {
        let address: Address = course.target.url.parse().map_err(|NoAddress| Reason::NoSuchServer)?;
        let key = self.0.keyring.open_target(&course.target.key_sealed, course.target.id);
        let key = key.map_err(|_| Reason::KeyLost)?;
        let directory = self.0.files.hls_of(course.loc, course.protected);
        while !playlist::grows(&directory).await {
            sleep(LOOK).await;
        }
        let server = address.connect(self.0.may_stay).await?;
        let unable = |error: std::io::Error| {
            tracing::warn!(%error, "a broadcast cannot be passed on");
            Reason::Unable
        };
        let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unable)?;
        let stand_in = relay::stand_in(key.expose_secret().len(), &self.0.chance);
        let port = door.local_addr().map_err(unable)?.port();
        let (mut ffmpeg, progress) = ffmpeg(&directory, port, &address, &stand_in).map_err(unable)?;
        let client = timeout(PATIENCE, door.accept()).await;
        let (client, _) = client.ok().and_then(Result::ok).ok_or(Reason::Unable)?;
        // It was for this one.
        drop(door);
        let relayed = relay::relay(client, server, &stand_in, key.expose_secret());
        let reason = tokio::select! {
            _ = relayed => Err(self.end_of(course)),
            () = self.follow(course, progress) => Err(self.end_of(course)),
        };
        let _ = ffmpeg.kill().await;
        reason
    }

    /// Notes when something has arrived; returns when nothing does any longer.
    async fn follow(&self, course: &Course, progress: ChildStdout) {
        let mut lines = BufReader::new(progress).lines();
        let (mut sent, mut is_live) = (0, false);
        let mut more = async || {
            while let Ok(Some(line)) = lines.next_line().await {
                let said = line.strip_prefix("out_time_us=").and_then(|text| text.parse::<i64>().ok());
                if let Some(now) = said.filter(|now| *now > sent) {
                    sent = now;
                    return true;
                }
            }
            false
        };
        while timeout(PATIENCE, more()).await == Ok(true) {
            if !std::mem::replace(&mut is_live, true) {
                self.note(course, Some(Standing::Live(self.0.clock.now())));
            }
        }
    }

    fn end_of(&self, course: &Course) -> Reason {
        match self.standing(course.target.id) {
            Some(Standing::Live(_)) => Reason::Broken,
            _ => Reason::Refused,
        }
    }

    fn note(&self, course: &Course, standing: Option<Standing>) {
        match standing {
            Some(standing) => self.standings().insert(course.target.id, standing),
            None => self.standings().remove(&course.target.id),
        };
        self.tell(course.loc, course.target.id);
    }

    fn tell(&self, loc: Loc, target: TargetId) {
        // Nobody listening is no failure.
        let _ = self.0.changes.send((loc, target));
    }

    fn standings(&self) -> MutexGuard<'_, HashMap<TargetId, Standing>> {
        self.0.standings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what is in a directory to a port of this machine as it comes, and says how far it is. A gust of segments leaves at
/// the pace at which it was filmed.
fn ffmpeg(
    directory: &Path,
    port: u16,
    address: &Address,
    stand_in: &str,
) -> std::io::Result<(Child, ChildStdout)> {
    let mut ffmpeg = Command::new("nice")
        .args(["-n", "5", "ffmpeg", "-nostdin", "-loglevel", "error", "-progress", "pipe:1"])
        .args(["-re", "-live_start_index", "-1", "-f", "hls", "-i"])
        .arg(directory.join("index.m3u8"))
        .args([
            "-map",
            "0:v?",
            "-map",
            "0:a?",
            "-c",
            "copy",
            "-f",
            "flv",
            "-flvflags",
            "no_duration_filesize",
        ])
        .args(["-rtmp_app", address.application(), "-rtmp_playpath", stand_in])
        .args(["-rtmp_tcurl", &address.to_string()])
        .arg(format!("rtmp://127.0.0.1:{port}/{}", address.application()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let progress = ffmpeg.stdout.take().ok_or_else(|| std::io::Error::other("ffmpeg says nothing"))?;
    Ok((ffmpeg, progress))
}
