//! Pictures of what is on the air: a PNG every 5 s and a silent GIF of the last seconds every 15 s, each by one
//! short run of ffmpeg at low priority, a few at a time. Those of protected streams lie under a name that only a
//! playback URL opens.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::fs;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ffmpeg::{self, Run};
use super::files::Files;
use crate::lifecycle::{Failure, Pace, Tasks};
use crate::realtime::Presence;

/// How often pictures are taken.
const ROUND: Duration = Duration::from_secs(5);
/// Every so many rounds a loop is made.
const ROUNDS_A_LOOP: u32 = 3;
/// So many runs of ffmpeg at a time; a round that finds them all busy is left out.
const AT_A_TIME: usize = 2;
/// ffmpeg takes a fifth of a second; one that hangs is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// A loop shows so many segments, which are about a second long. To decode them is what it costs.
const LOOP_SEGMENTS: usize = 2;

/// Takes pictures of everything on the air.
pub struct Thumbnails {
    files: Files,
    presence: Presence,
    turns: Arc<Semaphore>,
}

impl Thumbnails {
    /// Pictures into `files`; `presence` knows what is on the air.
    pub fn new(files: Files, presence: Presence) -> Self {
        Self { files, presence, turns: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Works until `stop`.
    ///
    /// # Errors
    /// Never: a picture that fails is logged, and the next one is taken.
    pub async fn run(self, tasks: Tasks, stop: CancellationToken) -> Result<(), Failure> {
        let mut pace = Pace::new(ROUND, stop.clone());
        let mut rounds = 0_u32;
        while pace.beat().await {
            for loc in self.presence.on_the_air() {
                let Some(turn) = self.turn(&stop).await else { break };
                let (files, looped) = (self.files.clone(), rounds.is_multiple_of(ROUNDS_A_LOOP));
                let name = loc.stream_name(!self.presence.is_public(loc));
                let stop = stop.clone();
                tasks.pass("thumbnail", async move {
                    if let Err(error) = take(&files, &name, looped, &stop).await {
                        tracing::warn!(%loc, %error, "no picture could be taken");
                    }
                    drop(turn);
                });
            }
            rounds = rounds.wrapping_add(1);
        }
        Ok(())
    }

    async fn turn(&self, stop: &CancellationToken) -> Option<tokio::sync::OwnedSemaphorePermit> {
        tokio::select! {
            () = stop.cancelled() => None,
            turn = Arc::clone(&self.turns).acquire_owned() => turn.ok(),
        }
    }
}

/// Takes a stream's picture, and its loop if `looped` or if it has none yet: then in one run, for to start ffmpeg costs as
/// much as a picture.
async fn take(files: &Files, name: &str, looped: bool, stop: &CancellationToken) -> std::io::Result<()> {
    let directory = files.hls().join(name);
    let Ok(playlist) = fs::read_to_string(directory.join("index.m3u8")).await else { return Ok(()) };
    let segments = newest(&playlist, &directory);
    let Some(last) = segments.last() else { return Ok(()) };
    let picture = |ending: &str| files.thumbnails().join(format!("{name}.{ending}"));
    let (png, gif) = (picture("png"), picture("gif"));
    if !looped && fs::try_exists(&gif).await? {
        let last = last.display().to_string();
        let still = ["-skip_frame", "nokey", "-i", &last, "-frames:v", "1", "-vf", "scale=640:-2"];
        let still = still.into_iter().chain(["-f", "image2", "-c:v", "png"]);
        ffmpeg::make(still, &png, PATIENCE, stop).await?;
        return Ok(());
    }
    let joined = segments.iter().map(|segment| segment.display().to_string()).collect::<Vec<_>>().join("|");
    let both = "[0:v]split[p][l];[p]select=eq(n\\,0),scale=640:-2[still];\
        [l]fps=5,scale=320:-2:flags=fast_bilinear,split[a][b];[a]palettegen=max_colors=64[c];\
        [b][c]paletteuse=dither=bayer:bayer_scale=3[loop]";
    let aside = |file: &Path| format!("{}.new", file.display());
    // What the filter between blocks would do is not seen in a picture that is made so much smaller.
    let mut arguments = ["-threads", "1", "-skip_loop_filter", "all", "-i"].map(String::from).to_vec();
    arguments.extend([format!("concat:{joined}"), "-filter_complex".to_owned(), both.to_owned()]);
    arguments
        .extend(["-map", "[still]", "-frames:v", "1", "-f", "image2", "-c:v", "png", "-y"].map(String::from));
    arguments.push(aside(&png));
    arguments.extend(["-map", "[loop]", "-loop", "0", "-f", "gif", "-y"].map(String::from));
    arguments.push(aside(&gif));
    if ffmpeg::run(arguments, PATIENCE, stop).await? == Run::Made {
        fs::rename(aside(&png), png).await?;
        fs::rename(aside(&gif), gif).await?;
    }
    Ok(())
}

/// The last segments that the playlist lists, in its order.
fn newest(playlist: &str, directory: &Path) -> Vec<PathBuf> {
    let plain = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.contains(['/', '|']);
    let mut names: Vec<&str> = playlist.lines().rev().filter(plain).take(LOOP_SEGMENTS).collect();
    names.reverse();
    names.into_iter().map(|name| directory.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_segments_are_taken_in_order() {
        let playlist =
            "#EXTM3U\n#EXTINF:1.0,\n1.ts\n#EXTINF:1.0,\n2.ts\n#EXTINF:1.0,\n3.ts\n4.ts\n5.ts\n../x.ts\n";
        let names = newest(playlist, Path::new("/d"));
        assert_eq!(names, ["/d/4.ts", "/d/5.ts"].map(PathBuf::from));
    }
}
