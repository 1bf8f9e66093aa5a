//! Connections: accepted, bounded in number, in header size, in the time that a head may take and in the time that a
//! client may not read; closed after the answer under way when the process stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::origin::Peer;
use crate::lifecycle::{Failure, Tasks};

/// The most connections that speak HTTP at a time; beyond, they wait to be accepted. WebSockets are counted by
/// `websocket`.
const MAX_CONNECTIONS: usize = 10_000;
/// How long a request's head may take to arrive, and how long an idle connection is kept. nginx lets go of its idle
/// connections before (`keepalive_timeout` in its upstreams), so that it never sends a request into one that is being
/// closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of what is written to it; the system gives it up then.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest head of a request, which also bounds a query sent with GET.
const MAX_HEAD: usize = 32 * 1024;
/// How long to wait before accepting again when the system has no more file descriptors.
const BREATHER: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until the process stops; each connection is a task of its own.
///
/// # Errors
/// None by itself: what goes wrong with one connection is that connection's affair.
pub async fn serve(listener: TcpListener, router: Router, tasks: Tasks) -> Result<(), Failure> {
    serve_with(Limits { head: HEAD_TIMEOUT, read: READ_TIMEOUT }, listener, router, tasks).await
}

/// How long a client may take for what.
#[derive(Clone, Copy)]
struct Limits {
    head: Duration,
    read: Duration,
}

async fn serve_with(
    limits: Limits,
    listener: TcpListener,
    router: Router,
    tasks: Tasks,
) -> Result<(), Failure> {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let stopping = tasks.stopping().clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            accepted = accept(&listener, limits, &free) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                tasks.pass(
                    "connection",
                    converse(stream, peer, limits, router.clone(), tasks.clone(), permit),
                );
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATHER).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    limits: Limits,
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Small messages go out as they are written; the writer itself puts bursts together.
    stream.set_nodelay(true)?;
    set_tcp_user_timeout(&stream, u32::try_from(limits.read.as_millis()).unwrap_or(u32::MAX))?;
    Ok((stream, Peer(peer), permit))
}

async fn converse(
    stream: TcpStream,
    peer: Peer,
    limits: Limits,
    router: Router,
    tasks: Tasks,
    permit: OwnedSemaphorePermit,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(MAX_HEAD)
        .max_buf_size(2 * MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tasks.stopping().cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended badly");
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures_util::StreamExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;
    use crate::lifecycle::Lifecycle;

    #[test]
    fn nginx_lets_go_of_an_idle_connection_before_we_do() {
        let nginx = include_str!("../../nginx/tally.conf");
        let upstreams: Vec<&str> = nginx.split("\n    upstream ").skip(1).collect();
        assert_eq!(upstreams.len(), 2);
        for upstream in upstreams {
            let kept = upstream.split("keepalive_timeout ").nth(1).and_then(|rest| rest.split(';').next());
            let kept = humantime::parse_duration(kept.unwrap()).unwrap();
            assert!(2 * kept <= HEAD_TIMEOUT, "{upstream}");
        }
    }

    /// A server that waits for nothing longer than a fraction of a second.
    async fn impatient(router: Router) -> (SocketAddr, Lifecycle) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let tasks = lifecycle.tasks().clone();
        let limits = Limits { head: Duration::from_millis(100), read: Duration::from_millis(300) };
        tasks.keep("listener", serve_with(limits, listener, router, tasks.clone()));
        (address, lifecycle)
    }

    #[tokio::test]
    async fn who_does_not_read_an_answer_is_given_up() {
        /// Larger than what the system keeps on the way.
        const LARGE: usize = 64 * 1024 * 1024;
        let (answered, mut given_up) = tokio::sync::watch::channel(());
        let answered = std::sync::Mutex::new(Some(answered));
        // The answer holds the sender for as long as it is being written.
        let answer = move || {
            let held = answered.lock().unwrap().take();
            let chunk = bytes::Bytes::from_static(&[b'x'; 64 * 1024]);
            let chunks = futures_util::stream::iter(0..LARGE / chunk.len()).map(move |_| {
                let _held = &held;
                Ok::<_, io::Error>(chunk.clone())
            });
            std::future::ready(axum::body::Body::from_stream(chunks))
        };
        let answer = Arc::new(answer);
        let (address, _lifecycle) =
            impatient(Router::new().route("/", axum::routing::get(move || answer()))).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        idle.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let over = timeout(Duration::from_secs(20), async { while given_up.changed().await.is_ok() {} });
        assert!(over.await.is_ok(), "nobody waits for it any more");
    }

    #[tokio::test]
    async fn a_head_that_does_not_arrive_is_not_waited_for() {
        let (address, _lifecycle) = impatient(Router::new()).await;
        for sent in ["", "GET / HTTP/1.1\r\nHos"] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(sent.as_bytes()).await.unwrap();
            let closed = timeout(Duration::from_secs(5), slow.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "{sent:?}");
        }
    }
}
