//! Broadcasting software: ffmpeg with a small test picture, a tone, and a keyframe every second.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use super::{Site, send};

/// One run of ffmpeg; dropped, it is killed.
pub(crate) struct Broadcast {
    ffmpeg: Child,
}

impl Broadcast {
    pub(crate) fn begin(site: &Site, key: &str) -> Self {
        Self::of_size(site, key, "320x180", "300k")
    }

    /// With a picture of that size and so many bits a second.
    pub(crate) fn of_size(site: &Site, key: &str, size: &str, rate: &str) -> Self {
        Self { ffmpeg: command(&site.rtmp(), key, size, rate).spawn().expect("ffmpeg starts") }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.ffmpeg.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs")
    }

    pub(crate) fn goes_on(&mut self) -> bool {
        self.ffmpeg.try_wait().expect("a status").is_none()
    }

    /// Whether it ends badly within that time, as one does whom the server refuses or cuts off.
    pub(crate) async fn is_turned_away(&mut self, within: Duration) -> bool {
        let status = tokio::time::timeout(within, self.ffmpeg.wait()).await;
        status.is_ok_and(|status| !status.expect("a status").success())
    }

    /// As if its machine had lost power, but for the connection, which the system closes.
    pub(crate) async fn crash(mut self) {
        self.ffmpeg.kill().await.expect("killed");
    }

    /// As its user ends it.
    pub(crate) async fn end(mut self) {
        send(self.pid(), Signal::INT);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.ffmpeg.wait()).await;
        ended.expect("ffmpeg ends").expect("a status");
    }
}

/// A publisher that comes back whenever it is cut off, as broadcasting software does.
pub(crate) struct Persistent {
    task: tokio::task::JoinHandle<()>,
    runs: Arc<AtomicI32>,
    pid: Arc<AtomicI32>,
}

impl Persistent {
    pub(crate) fn begin(server: &str, key: &str) -> Self {
        let (server, key) = (server.to_owned(), key.to_owned());
        let (runs, pid) = (Arc::new(AtomicI32::new(0)), Arc::new(AtomicI32::new(0)));
        let (counted, shown) = (Arc::clone(&runs), Arc::clone(&pid));
        let task = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut ffmpeg = command(&server, &key, "320x180", "300k").spawn().expect("ffmpeg starts");
                let pid = ffmpeg.id().and_then(|pid| i32::try_from(pid).ok());
                shown.store(pid.unwrap_or(0), Ordering::Relaxed);
                let _ = ffmpeg.wait().await;
                shown.store(0, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        Self { task, runs, pid }
    }

    /// The process that broadcasts at the moment, if there is one.
    pub(crate) fn pid(&self) -> Option<i32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// How often it has begun.
    pub(crate) fn runs(&self) -> i32 {
        self.runs.load(Ordering::Relaxed)
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn command(server: &str, key: &str, size: &str, rate: &str) -> Command {
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-loglevel", "fatal", "-re"]);
    ffmpeg.args(["-f", "lavfi", "-i", &format!("testsrc2=size={size}:rate=30")]);
    ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100"]);
    ffmpeg.args(["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]);
    ffmpeg.args(["-r", "30", "-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-b:v", rate]);
    ffmpeg.args(["-c:a", "aac", "-b:a", "64k", "-f", "flv", &format!("{server}/{key}")]);
    ffmpeg.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    ffmpeg
}
