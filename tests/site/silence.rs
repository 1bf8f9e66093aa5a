//! Clients of RTMP that connect and say nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Actor, Broadcast, Playlist, Site, seconds, send, until};

/// How many connections nginx takes from one address.
const MOST: usize = 64;
/// The length of RTMP's handshake messages, all but the first byte (Adobe's RTMP specification 1.0, section 5.2).
const HELLO: usize = 1536;

/// An address of this machine that the publisher does not come from.
async fn connect(door: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.2:0".parse().expect("an address")).expect("bound");
    socket.connect(door).await.expect("connected")
}

/// Shakes hands, and no more; whether the server did as well.
async fn shake_hands(client: &mut TcpStream) -> bool {
    let mut heard = vec![0; 1 + 2 * HELLO];
    let hello: Vec<u8> = std::iter::once(3).chain(std::iter::repeat_n(0, HELLO)).collect();
    let shaken = async {
        client.write_all(&hello).await?;
        client.read_exact(&mut heard).await?;
        client.write_all(&heard[1..=HELLO]).await
    };
    tokio::time::timeout(seconds(5), shaken).await.is_ok_and(|shaken| shaken.is_ok())
}

fn is_open(client: &TcpStream) -> bool {
    match client.try_read(&mut [0]) {
        Ok(read) => read > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_and_says_nothing_keeps_nobody_out_and_is_let_go() {
    let _turn = crate::turn().await;
    let site = Site::start(&[]).await;
    let streamer = Actor::streamer(&site, "grace").await;
    let channel = streamer.channel("Loud", false).await;
    let rtmp = site.rtmp();
    let door = rtmp.trim_start_matches("rtmp://").trim_end_matches("/live").parse().expect("an address");

    // As many as it may have and some; half of them shake hands.
    let mut silent = Vec::new();
    for number in 0..MOST + 16 {
        let mut client = connect(door).await;
        if number % 2 == 0 {
            shake_hands(&mut client).await;
        }
        silent.push(client);
    }
    let open = || silent.iter().filter(|client| is_open(client)).count();
    until("those beyond the most are turned away", seconds(5), async || (open() <= MOST).then_some(())).await;
    assert_eq!(open(), MOST);

    let mut events = streamer.events(&channel.loc, None).await;
    let mut publisher = Broadcast::begin(&site, &channel.key);
    let started = events.expect("StreamStarted", seconds(5)).await;
    until("the silent ones are let go", seconds(30), async || (open() == 0).then_some(())).await;
    assert!(shake_hands(&mut connect(door).await).await, "their address is not kept out for ever");

    // What nginx counted of a worker that was killed must not count against the next.
    for _ in 0..3 {
        let mut clients = Vec::new();
        for _ in 0..MOST / 2 {
            let mut client = connect(door).await;
            assert!(shake_hands(&mut client).await);
            clients.push(client);
        }
        let worker = site.nginx_worker();
        send(worker, Signal::KILL);
        until("another worker", seconds(5), async || {
            site.nginx("nginx: worker").first().filter(|&&next| next != worker).copied()
        })
        .await;
    }
    assert!(!publisher.goes_on() || publisher.is_turned_away(seconds(5)).await, "its worker was killed");
    let _back = Broadcast::begin(&site, &channel.key);
    // The subscription went with the worker.
    let mut events = streamer.events(&channel.loc, started["cursor"].as_str()).await;
    events.expect("StreamInterrupted", seconds(5)).await;
    events.expect("StreamResumed", seconds(5)).await;
    let url = site.url(&format!("/live/{}/index.m3u8", channel.loc));
    Playlist::of(&site.client, &url, 2).await.grows(&site.client, seconds(5)).await;
    site.stop().await;
}
