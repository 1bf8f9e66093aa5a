//! `tally demo`: a test picture with sound for the demo channel, so that a site can be seen alive without OBS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::str::FromStr;

use clap::Args;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::{Place, up, welcome};
use crate::ambient::Chance;
use crate::auth::{Keyring, Secrets, StreamKey};
use crate::lifecycle::{Failure, Stops};
use crate::media;

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
        let stand_in = media::stand_in(key.reveal().len(), &chance);
        let door = TcpListener::bind("127.0.0.1:0").await?;
        let target = format!("rtmp://{}/live/{}", door.local_addr()?, stand_in);
        let mut ffmpeg = self.ffmpeg(&target).spawn().map_err(|error| format!("ffmpeg: {error}"))?;
        let mut stops = Stops::listen()?;
        eprintln!("Broadcasting a test picture to {}/view/{}/ - Ctrl-C stops it.", running.site, channel.loc);
        tokio::select! {
            ended = ffmpeg.wait() => match ended? {
                status if status.success() => Ok(()),
                status => Err(format!("ffmpeg ended ({status}): is somebody else on the air there?").into()),
            },
            relayed = pass_on(&door, running.rtmp, &stand_in, key.reveal()) => {
                relayed?;
                ffmpeg.wait().await?;
                Ok(())
            }
            () = stops.next() => Ok(()),
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

/// Passes the one connection on to the site, with the key in it.
async fn pass_on(door: &TcpListener, site: SocketAddr, stand_in: &str, key: &str) -> std::io::Result<()> {
    let (client, _) = door.accept().await?;
    media::relay(client, TcpStream::connect(site).await?, stand_in, key).await
}
