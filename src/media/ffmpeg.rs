//! ffmpeg: one short run at a time makes one file, at low priority.

use std::ffi::{OsStr, OsString};
use std::io::{Error, Result};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::fs;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// The file is there.
    Made,
    /// We stop, and nothing was made.
    Stopped,
}

/// Runs ffmpeg into a file aside and puts that into its place, so that nobody is given half of it. Once this returns,
/// ffmpeg is gone, at a stop too: nothing of ours outlives us.
///
/// # Errors
/// When ffmpeg is not there, takes longer than `patience`, or cannot do it.
pub(super) async fn make(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    file: &Path,
    patience: Duration,
    stop: &CancellationToken,
) -> Result<Run> {
    let aside = file.with_extension(format!("{}.new", file.extension().unwrap_or_default().display()));
    let mut all: Vec<OsString> = vec!["-threads".into(), "1".into()];
    all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
    all.extend(["-y".into(), aside.clone().into_os_string()]);
    match run(all, patience, stop).await? {
        Run::Made => fs::rename(aside, file).await?,
        Run::Stopped => return Ok(Run::Stopped),
    }
    Ok(Run::Made)
}

/// Runs ffmpeg. Once this returns, it is gone, at a stop too.
///
/// # Errors
/// As [`make`].
pub(super) async fn run(
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    patience: Duration,
    stop: &CancellationToken,
) -> Result<Run> {
    let mut ffmpeg = Command::new("nice")
        .args(["-n", "15", "ffmpeg", "-nostdin", "-loglevel", "error"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let Some(Ok(status)) = stop.run_until_cancelled(timeout(patience, ffmpeg.wait())).await else {
        ffmpeg.kill().await?;
        return if stop.is_cancelled() { Ok(Run::Stopped) } else { Err(Error::other("ffmpeg hangs")) };
    };
    let status = status?;
    if !status.success() {
        return Err(Error::other(format!("ffmpeg: {status}")));
    }
    Ok(Run::Made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_takes_ffmpeg_along() {
        let dir = tempfile::tempdir().unwrap();
        let picture = dir.path().join("endless.png");
        let endless = ["-re", "-f", "lavfi", "-i", "testsrc", "-f", "image2", "-update", "1"];
        let stop = CancellationToken::new();
        let begun = async {
            while !dir.path().join("endless.png.new").exists() {
                tokio::task::yield_now().await;
            }
        };
        let mut making = std::pin::pin!(make(endless, &picture, Duration::from_secs(60), &stop));
        tokio::select! {
            made = &mut making => panic!("it has an end: {made:?}"),
            () = begun => stop.cancel(),
        }
        assert_eq!(making.await.unwrap(), Run::Stopped);
        assert!(!picture.exists());
        let named = picture.display().to_string();
        let lines = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = lines.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        assert!(
            !lines.map(|line| String::from_utf8_lossy(&line).into_owned()).any(|line| line.contains(&named))
        );
    }
}
