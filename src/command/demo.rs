//! `tally demo`: a test picture with sound for the demo channel, so that a site can be seen alive without OBS.
//!
//! ffmpeg takes its target from its arguments, which every account on the machine can read. So it is given a
//! stand-in for the stream key, and sends through a socket of ours that puts the key in its place.

use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::{Place, up, welcome};
use crate::ambient::Chance;
use crate::auth::{Keyring, Secrets, StreamKey};
use crate::lifecycle::Failure;

/// How to broadcast to the demo channel.
#[derive(Args)]
pub(super) struct Demo {
    /// The data directory of the `tally up` that runs.
    #[arg(long, env = "TALLY_DATA_DIR", default_value = ".tally", value_name = "DIR")]
    data_dir: PathBuf,
    /// Stop after so many seconds; without it, at Ctrl-C.
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u32>,
}

impl Demo {
    /// Broadcasts until Ctrl-C.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub(super) async fn broadcast(self) -> Result<(), Failure> {
        let running = up::Running::read(&self.data_dir)?;
        let place = Place { data_dir: self.data_dir.clone(), database_url: None };
        let store = place.store()?;
        let channel = welcome::demo_channel(&store).await?.ok_or("the demo channel has been deleted")?;
        let chance = Chance::system();
        let keyring = Keyring::new(&Secrets::open(&self.data_dir, &chance)?, chance.clone());
        let key = StreamKey::from_str(&welcome::open_key(&store, &keyring, channel.id).await?)?;
        let stand_in = StreamKey::new(&chance);
        let door = TcpListener::bind("127.0.0.1:0").await?;
        let target = format!("rtmp://{}/live/{}", door.local_addr()?, stand_in.reveal());
        let mut ffmpeg = self.ffmpeg(&target).spawn().map_err(|error| format!("ffmpeg: {error}"))?;
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        eprintln!("Broadcasting a test picture to {}/view/{}/ - Ctrl-C stops it.", running.site, channel.loc);
        tokio::select! {
            ended = ffmpeg.wait() => match ended? {
                status if status.success() => Ok(()),
                status => Err(format!("ffmpeg ended ({status}): is somebody else on the air there?").into()),
            },
            relayed = relay(&door, running.rtmp, stand_in.reveal(), key.reveal()) => {
                relayed?;
                ffmpeg.wait().await?;
                Ok(())
            }
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    }

    fn ffmpeg(&self, target: &str) -> Command {
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-loglevel", "error", "-re"]);
        ffmpeg.args(["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"]);
        ffmpeg.args(["-f", "lavfi", "-i", "sine=frequency=440:beep_factor=4:sample_rate=48000"]);
        if let Some(seconds) = self.seconds {
            ffmpeg.args(["-t", &seconds.to_string()]);
        }
        ffmpeg.args([
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            "-tune",
            "zerolatency",
            "-pix_fmt",
            "yuv420p",
        ]);
        ffmpeg.args(["-g", "30", "-keyint_min", "30", "-sc_threshold", "0", "-b:v", "1500k"]);
        ffmpeg.args(["-c:a", "aac", "-b:a", "128k", "-ac", "2", "-f", "flv", target]);
        ffmpeg.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        ffmpeg
    }
}

/// Passes one connection on, with `key` where the client said `stand_in`. Both have the same length, so nothing
/// else of the protocol changes; and a client names its stream in messages of fewer than the 128 bytes at which
/// RTMP begins to cut them up.
async fn relay(
    door: &TcpListener,
    site: std::net::SocketAddr,
    stand_in: &str,
    key: &str,
) -> std::io::Result<()> {
    let (client, _) = door.accept().await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_site, mut to_site) = TcpStream::connect(site).await?.into_split();
    let up = async {
        let mut held = Vec::new();
        loop {
            let read = from_client.read_buf(&mut held).await?;
            replace(&mut held, stand_in.as_bytes(), key.as_bytes());
            // The beginning of a stand-in whose end is still to come is held back.
            let keep = if read == 0 { 0 } else { begun(&held, stand_in.as_bytes()) };
            let tail = held.split_off(held.len() - keep);
            to_site.write_all(&held).await?;
            held = tail;
            if read == 0 {
                return to_site.shutdown().await;
            }
        }
    };
    let down = async { copy(&mut from_site, &mut to_client).await.map(drop) };
    tokio::select! {
        done = up => done,
        done = down => done,
    }
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let mut start = 0;
    while let Some(place) = bytes[start..].windows(from.len()).position(|window| window == from) {
        start += place;
        bytes[start..start + to.len()].copy_from_slice(to);
        start += to.len();
    }
}

/// How many bytes at the end of `bytes` may be the beginning of `word`.
fn begun(bytes: &[u8], word: &[u8]) -> usize {
    let longest = word.len().saturating_sub(1).min(bytes.len());
    (1..=longest).rev().find(|length| bytes.ends_with(&word[..*length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_is_replaced_wherever_it_is_cut() {
        let text = b"..AAAA..AAAA.AA";
        for cut in 0..text.len() {
            let (mut held, mut passed) = (Vec::new(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                held.extend_from_slice(part);
                replace(&mut held, b"AAAA", b"KEYS");
                let tail = held.split_off(held.len() - begun(&held, b"AAAA"));
                passed.append(&mut held);
                held = tail;
            }
            passed.append(&mut held);
            assert_eq!(String::from_utf8_lossy(&passed), "..KEYS..KEYS.AA", "cut at {cut}");
        }
    }
}
