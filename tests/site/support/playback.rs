//! A player without a picture: playlists, and segments that must decode.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::{seconds, until};

/// A playlist as it was at a moment.
pub(crate) struct Playlist {
    url: String,
    text: String,
}

impl Playlist {
    /// What the URL answers, if that is a playlist.
    pub(crate) async fn get(client: &Client, url: &str) -> Option<Self> {
        let (status, bytes) = get(client, url).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status == 200 && text.starts_with("#EXTM3U")).then(|| Self { url: url.to_owned(), text })
    }

    /// The same for a player that takes no answer for an answer.
    pub(crate) async fn try_get(client: &Client, url: &str) -> Option<Self> {
        let text = client.get(url).send().await.ok()?.error_for_status().ok()?.text().await.ok()?;
        text.starts_with("#EXTM3U").then(|| Self { url: url.to_owned(), text })
    }

    /// Waits until there is one with at least so many segments.
    pub(crate) async fn of(client: &Client, url: &str, segments: usize) -> Self {
        until("the playlist appears", seconds(15), async || {
            Self::get(client, url).await.filter(|playlist| playlist.segments().len() >= segments)
        })
        .await
    }

    /// The URLs of its segments, in order.
    pub(crate) fn segments(&self) -> Vec<String> {
        let base = self.url.rsplit_once('/').map_or("", |(base, _)| base);
        let names = self.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        names.map(|name| format!("{base}/{name}")).collect()
    }

    pub(crate) fn newest(&self) -> String {
        self.segments().pop().expect("a segment")
    }

    pub(crate) fn is_over(&self) -> bool {
        self.text.contains("#EXT-X-ENDLIST")
    }

    /// Waits until a segment behind the newest of this one is listed.
    pub(crate) async fn grows(&self, client: &Client, within: Duration) -> Self {
        let newest = self.newest();
        until("the playlist grows", within, async || {
            let now = Self::get(client, &self.url).await?;
            let place = now.segments().iter().position(|segment| *segment == newest);
            let grown = place.is_none_or(|place| place + 1 < now.segments().len());
            grown.then_some(now)
        })
        .await
    }

    /// Fetches the newest segment; ffmpeg must find pictures in it and nothing to complain about.
    pub(crate) async fn plays(&self, client: &Client) {
        let (status, bytes) = get(client, &self.newest()).await;
        assert_eq!(status, 200, "{}", self.newest());
        let file = tempfile::Builder::new().suffix(".ts").tempfile().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-nostdin", "-v", "error", "-i"]).arg(file.path());
        ffmpeg.args(["-map", "0:v:0", "-f", "framemd5", "-"]);
        let output = ffmpeg.output().await.expect("ffmpeg runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaint.is_empty(), "{complaint}");
        let frames =
            String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.starts_with('#')).count();
        assert!(frames >= 20, "a segment of a second has {frames} pictures");
    }
}

/// Status and body.
pub(crate) async fn get(client: &Client, url: &str) -> (u16, Vec<u8>) {
    let answer = client.get(url).send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

/// The status of a GET whose path is sent to the letter, which an ordinary client would tidy up.
pub(crate) async fn raw_status(url: &str, path: &str) -> u16 {
    let address = url.trim_start_matches("http://").split('/').next().expect("a host");
    let address: SocketAddr = address.parse().expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let head = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{head}"))
}
