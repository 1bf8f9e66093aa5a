//! Connections: accepted, bounded in number, in header size and in the time that a head may take, and closed
//! after the answer under way when the process stops.

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
/// The largest head of a request, which also bounds a query sent with GET.
const MAX_HEAD: usize = 32 * 1024;
/// How long to wait before accepting again when the system has no more file descriptors.
const BREATHER: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until the process stops; each connection is a task of its own.
///
/// # Errors
/// None by itself: what goes wrong with one connection is that connection's affair.
pub async fn serve(listener: TcpListener, router: Router, tasks: Tasks) -> Result<(), Failure> {
    serve_with(HEAD_TIMEOUT, listener, router, tasks).await
}

async fn serve_with(
    head_timeout: Duration,
    listener: TcpListener,
    router: Router,
    tasks: Tasks,
) -> Result<(), Failure> {
    let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let stopping = tasks.stopping().clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            accepted = accept(&listener, &free) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                tasks.pass(
                    "connection",
                    converse(stream, peer, head_timeout, router.clone(), tasks.clone(), permit),
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
    free: &Arc<Semaphore>,
) -> io::Result<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let permit = free.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    // Small messages go out as they are written; the writer itself puts bursts together.
    stream.set_nodelay(true)?;
    Ok((stream, Peer(peer), permit))
}

async fn converse(
    stream: TcpStream,
    peer: Peer,
    head_timeout: Duration,
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
        .header_read_timeout(head_timeout)
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

    #[tokio::test]
    async fn a_head_that_does_not_arrive_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let tasks = lifecycle.tasks().clone();
        let short = Duration::from_millis(100);
        tasks.keep("listener", serve_with(short, listener, Router::new(), tasks.clone()));
        for sent in ["", "GET / HTTP/1.1\r\nHos"] {
            let mut slow = TcpStream::connect(address).await.unwrap();
            slow.write_all(sent.as_bytes()).await.unwrap();
            let closed = timeout(Duration::from_secs(5), slow.read_to_end(&mut Vec::new())).await;
            assert!(closed.is_ok(), "{sent:?}");
        }
    }
}
