//! What nginx itself says it carries, and the means to cut a publisher off.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Client;
use roxmltree::{Document, Node};
use serde_json::{Value, json};

use crate::ambient::{self, Clock};

/// How long nginx, on this machine or the next, may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The header that opens nginx's internal door.
const SECRET: &str = "X-Tally-Secret";

/// One media node's control door; cloned freely.
#[derive(Clone)]
pub struct Nginx {
    client: Client,
    base: String,
    secret: String,
    clock: Clock,
    heard_at: Arc<Mutex<Option<DateTime<Utc>>>>,
}

/// nginx did not answer, or not as it should.
#[derive(Debug, thiserror::Error)]
pub enum NginxError {
    /// Nothing, or an error status.
    #[error("nginx does not answer: {0}")]
    Away(#[from] reqwest::Error),
    /// Something else than its statistics.
    #[error("nginx's statistics cannot be read: {0}")]
    Unreadable(String),
}

/// What one nginx worker carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carried {
    /// The worker's process id. After a reload the old worker carries on with what it has, and is not asked.
    pub worker: i32,
    /// Its publishers in the application `live`, by the numbers of their connections.
    pub publishers: HashMap<i64, Carrier>,
}

/// A publisher that nginx carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Carrier {
    /// The name that we gave its stream.
    pub name: String,
    /// What it sends, as far as nginx knows.
    pub media: Value,
}

impl Nginx {
    /// The control door at `base`, opened by `secret`.
    ///
    /// # Errors
    /// When an HTTP client cannot be made at all.
    pub fn new(base: &str, secret: &str, clock: Clock) -> Result<Self, NginxError> {
        let client = ambient::http_client().timeout(PATIENCE).build()?;
        let (base, secret) = (base.trim_end_matches('/').to_owned(), secret.to_owned());
        Ok(Self { client, base, secret, clock, heard_at: Arc::default() })
    }

    /// What it carries now.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn carried(&self) -> Result<Carried, NginxError> {
        let carried = read(&self.get("/stat").await?)?;
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now());
        Ok(carried)
    }

    /// When it last said what it carries.
    pub fn heard_at(&self) -> Option<DateTime<Utc>> {
        *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts off the publisher under `name` over that connection, and not whoever has come after it; how many that
    /// were.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn drop_publisher(&self, name: &str, connection: i64) -> Result<u32, NginxError> {
        let path = format!("/control/drop/publisher?srv=0&app=live&name={name}&clientid={connection}");
        let dropped = self.get(&path).await?;
        Ok(dropped.trim().parse().unwrap_or(0))
    }

    async fn get(&self, path: &str) -> Result<String, reqwest::Error> {
        let request = self.client.get(format!("{}{path}", self.base)).header(SECRET, &self.secret);
        request.send().await?.error_for_status()?.text().await
    }
}

fn read(xml: &str) -> Result<Carried, NginxError> {
    let document = Document::parse(xml).map_err(|error| NginxError::Unreadable(error.to_string()))?;
    let root = document.root_element();
    let worker =
        number(root, "pid").ok_or_else(|| NginxError::Unreadable("it names no process".to_owned()))?;
    let live = root
        .descendants()
        .filter(|node| node.has_tag_name("application") && text(*node, "name") == Some("live"));
    let publishers = live.flat_map(|application| application.descendants()).filter_map(publisher).collect();
    Ok(Carried { worker, publishers })
}

fn publisher(stream: Node<'_, '_>) -> Option<(i64, Carrier)> {
    if !stream.has_tag_name("stream") {
        return None;
    }
    let publishes = |client: &Node<'_, '_>| {
        client.has_tag_name("client") && client.children().any(|mark| mark.has_tag_name("publishing"))
    };
    let client = stream.children().find(publishes)?;
    let connection = number(client, "id")?;
    Some((connection, Carrier { name: text(stream, "name")?.to_owned(), media: media(stream) }))
}

fn media(stream: Node<'_, '_>) -> Value {
    let meta = child(stream, "meta");
    let video = meta.and_then(|meta| child(meta, "video"));
    let audio = meta.and_then(|meta| child(meta, "audio"));
    let word = |node: Option<Node<'_, '_>>, name| node.and_then(|node| text(node, name).map(str::to_owned));
    let count = |node: Option<Node<'_, '_>>, name| node.and_then(|node| number::<f64>(node, name));
    let kbps = |name| number::<f64>(stream, name).map(|bits| (bits / 1000.0).round());
    json!({
        "videoCodec": word(video, "codec"),
        "width": count(video, "width"),
        "height": count(video, "height"),
        "frameRate": count(video, "frame_rate"),
        "videoKbps": kbps("bw_video"),
        "audioCodec": word(audio, "codec"),
        "audioChannels": count(audio, "channels"),
        "audioSampleRate": count(audio, "sample_rate"),
        "audioKbps": kbps("bw_audio"),
    })
}

fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|child| child.has_tag_name(name))
}

fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    child(node, name)?.text()
}

fn number<T: std::str::FromStr>(node: Node<'_, '_>, name: &str) -> Option<T> {
    text(node, name)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "<rtmp><pid>42</pid><server><application><name>live</name><live>\
        <stream><name>loc</name><bw_video>1500400</bw_video><bw_audio>128000</bw_audio>\
        <client><id>9</id><address>x</address></client>\
        <client><id>7</id><publishing/><active/></client>\
        <meta><video><width>1280</width><height>720</height><frame_rate>30</frame_rate><codec>H264</codec></video>\
        <audio><codec>AAC</codec><channels>2</channels><sample_rate>48000</sample_rate></audio></meta>\
        </stream></live></application><application><name>out</name><live><stream><name>loc</name>\
        <client><id>8</id><publishing/></client></stream></live></application></server></rtmp>";

    #[test]
    fn statistics_name_the_publishers_of_live_alone() {
        let carried = read(STAT).unwrap();
        assert_eq!(carried.worker, 42);
        let publishers: Vec<_> = carried.publishers.iter().collect();
        let [(7, carrier)] = &publishers[..] else { panic!("{carried:?}") };
        assert_eq!(carrier.name, "loc");
        assert_eq!(carrier.media["height"], 720.0);
        assert_eq!(carrier.media["videoKbps"], 1500.0);
    }

    #[test]
    fn what_is_not_statistics_is_refused() {
        assert!(read("<html>").is_err());
        assert!(read("<rtmp></rtmp>").is_err());
    }
}
