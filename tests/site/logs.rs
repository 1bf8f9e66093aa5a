//! Logs, while strangers have them written full.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Actor, Broadcast, Playlist, Site, seconds, until};

/// Beyond so much a log is put aside.
const LONG: u64 = 8 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_what_is_logged_fills_no_disk_and_cuts_nobody_off() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "grace").await;
    let channel = streamer.channel("Dry", false).await;
    let mut events = streamer.events(&channel.loc, None).await;
    let mut publisher = Broadcast::begin(&site, &channel.key);
    events.expect("StreamStarted", seconds(5)).await;
    let playlist =
        Playlist::of(&site.client, &site.url(&format!("/live/{}/index.m3u8", channel.loc)), 2).await;
    let worker = site.nginx_worker();

    let log = site.data_dir().join("logs/nginx.log");
    let aside = log.with_extension("log.1");
    let mut put_aside = Vec::new();
    until("the log has been put aside twice", seconds(60), async || {
        join_all((0..200).map(|_| send_too_much(&site))).await;
        assert!(length(&log) + length(&aside) < 4 * LONG, "it is bounded at every moment");
        put_aside.extend(fs::metadata(&aside).map(|file| file.ino()));
        put_aside.dedup();
        (put_aside.len() == 2).then_some(())
    })
    .await;
    until("nginx lets go of what was put aside", seconds(5), async || {
        let mut logs = site.nginx("nginx: ").into_iter().flat_map(logs_of);
        logs.all(|open| Path::new(&open) == log.canonicalize().unwrap_or_default()).then_some(())
    })
    .await;
    let before = length(&log);
    send_too_much(&site).await;
    until("it goes on in the new one", seconds(5), async || (length(&log) > before).then_some(())).await;

    assert_eq!(site.nginx_worker(), worker, "nobody was cut off");
    assert!(publisher.goes_on());
    playlist.grows(&site.client, seconds(5)).await.grows(&site.client, seconds(5)).await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_postgresql_is_cut_while_it_runs() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let log = site.data_dir().join("logs/postgres.log");
    let mut more = OpenOptions::new().append(true).open(&log).expect("a log");
    let line = format!("{}\n", "x".repeat(1023));
    more.write_all(line.repeat(8 * 1024 + 1).as_bytes()).expect("written");
    until("it is cut", seconds(10), async || (length(&log) < LONG).then_some(())).await;
    assert_eq!(length(&log.with_extension("log.1")), LONG);

    let mut connection = AsyncPgConnection::establish(&site.database()).await.expect("a connection");
    connection.batch_execute("SELECT 1 / 0").await.expect_err("it cannot be divided");
    until("it goes on at the beginning", seconds(5), async || {
        let mut text = String::new();
        let log = fs::File::open(&log).expect("a log");
        log.take(LONG).read_to_string(&mut text).expect("text");
        text.contains("division by zero").then_some(())
    })
    .await;
    site.stop().await;
}

/// A request that nginx refuses for what it says it will send, and writes a long line about.
async fn send_too_much(site: &Site) {
    let url = site.url("");
    let door = url.trim_start_matches("http://");
    let path = "x".repeat(1600);
    let request = format!("POST /{path} HTTP/1.1\r\nHost: {door}\r\nContent-Length: 99999999\r\n\r\n");
    let mut client = TcpStream::connect(door).await.expect("a connection");
    client.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |file| file.len())
}

/// The logs that a process has open, also such as have no name any more.
fn logs_of(pid: i32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = open.filter_map(|file| fs::read_link(file.path()).ok());
    let names = links.map(|link| link.to_string_lossy().into_owned());
    names.filter(|name| name.contains("/logs/")).collect()
}
