//! ffmpeg: one short run at a time makes one file, at low priority.

use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::fs;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStderr, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How it says that a disk is full.
const FULL: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// The file is there.
    Made,
    /// We stop, and nothing was made.
    Stopped,
}

/// Runs ffmpeg into a file aside and puts that into its place, so that nobody is given half of it. Once this returns,
/// ffmpeg is gone, at a stop too, and so is what it had half made: nothing of ours outlives us.
///
/// # Errors
/// [`ErrorKind::StorageFull`] when the disk is full; others when ffmpeg is not there, takes longer than `patience`, or cannot
/// do it.
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
    let made = match run(all, patience, stop).await {
        Ok(Run::Made) => fs::rename(&aside, file).await.map(|()| Run::Made),
        unmade => unmade,
    };
    if !matches!(made, Ok(Run::Made)) {
        // It may have come to nothing before there was one.
        let _ = fs::remove_file(&aside).await;
    }
    made
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
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let said = ffmpeg.stderr.take();
    let end = async { tokio::join!(ffmpeg.wait(), tells_of_a_full_disk(said)) };
    let Some(Ok((status, is_full))) = stop.run_until_cancelled(timeout(patience, end)).await else {
        ffmpeg.kill().await?;
        return if stop.is_cancelled() { Ok(Run::Stopped) } else { Err(Error::other("ffmpeg hangs")) };
    };
    let status = status?;
    // It calls it a success when there was no room for the last of it.
    if is_full {
        return Err(Error::new(ErrorKind::StorageFull, "ffmpeg has no room"));
    }
    if !status.success() {
        return Err(Error::other(format!("ffmpeg: {status}")));
    }
    Ok(Run::Made)
}

/// Reads what ffmpeg says to its end.
async fn tells_of_a_full_disk(said: Option<ChildStderr>) -> bool {
    let Some(said) = said else { return false };
    let (mut lines, mut is_full) = (BufReader::new(said).split(b'\n'), false);
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        is_full |= FULL.iter().any(|words| line.contains(words));
    }
    is_full
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
        assert!(!picture.exists() && !dir.path().join("endless.png.new").exists());
        let named = picture.display().to_string();
        let lines = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = lines.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        assert!(
            !lines.map(|line| String::from_utf8_lossy(&line).into_owned()).any(|line| line.contains(&named))
        );
    }

    /// Makes a file on a disk that is full, and counts what is left.
    async fn on_a_full_disk(format: &str) -> (Result<Run>, usize) {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", dir.path().join("picture.any.new")).unwrap();
        let some = ["-f", "lavfi", "-i", "testsrc", "-frames:v", "10", "-f", format];
        let stop = CancellationToken::new();
        let made = make(some, &dir.path().join("picture.any"), Duration::from_secs(60), &stop).await;
        (made, std::fs::read_dir(dir.path()).unwrap().count())
    }

    #[tokio::test]
    async fn a_full_disk_is_called_so_and_nothing_is_left_on_it() {
        for format in ["rawvideo", "md5"] {
            let (made, left) = on_a_full_disk(format).await;
            assert_eq!((made.unwrap_err().kind(), left), (ErrorKind::StorageFull, 0), "{format}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_made_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        // As one that was broken off outright left it.
        std::fs::write(dir.path().join("picture.png.new"), "half").unwrap();
        let stop = CancellationToken::new();
        let nothing = ["-i".into(), dir.path().join("nothing")];
        let made = make(nothing, &dir.path().join("picture.png"), Duration::from_secs(60), &stop).await;
        assert_eq!(made.unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
