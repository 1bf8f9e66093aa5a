//! The WebSocket beneath [`protocol`]: the upgrade, after which the raw connection is ours.
//!
//! An idle connection holds no buffer, no timer and no execution: a small task that waits for the client, and a name
//! in the groups that its subscriptions are in. Memory is bounded both ways: by what a message may hold, and by what
//! waits for a client that does not read ([`connection`]).
//!
//! [`protocol`]: super::protocol

mod ages;
mod connection;
mod frame;
#[cfg(feature = "fuzz")]
mod fuzz;
mod outbox;
mod reader;
mod rights;
mod room;
mod sockets;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use super::operation::code;
use super::origin::{self, ClientAddress};
use super::protocol::Close;
use super::{Answers, Public, RequestId};
use reader::Reader;
use room::Full;

pub(super) use connection::Connection;
#[cfg(feature = "fuzz")]
pub use fuzz::fuzz;
pub(super) use rights::review;
pub(super) use sockets::{Sockets, sweep};

/// The protocol's name in the upgrade.
const SUBPROTOCOL: &str = "graphql-transport-ws";

/// Whether a request wants to become a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the upgrade and hands the connection to a task of its own.
///
/// A client that does not offer the subprotocol is let in and closed with 4406, since a browser shows a page
/// nothing of an upgrade that is refused.
pub(super) async fn open<G: Answers>(public: Arc<Public<G>>, mut request: Request) -> Response {
    let refused = |status: StatusCode, why: &str| (status, format!("{why}\n")).into_response();
    let shown = match origin::shown(request.headers(), &public.public_url) {
        Ok(shown) => shown,
        Err(error) if code(&error) == Some("UNAUTHENTICATED") => {
            return refused(StatusCode::UNAUTHORIZED, &error.message);
        }
        Err(error) => return refused(StatusCode::FORBIDDEN, &error.message),
    };
    if origin::is_foreign(request.headers(), &public.public_url, &public.cors_origins) {
        return refused(StatusCode::FORBIDDEN, "pages of this origin may not use the API");
    }
    let Some(key) = key(&request) else {
        return refused(StatusCode::BAD_REQUEST, "this is no request for a WebSocket of version 13");
    };
    let accepted = offers(request.headers());
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, _) = request.into_parts();
    let Ok(ClientAddress(address)) = ClientAddress::from_request_parts(&mut parts, &()).await;
    let room = match public.sockets.rooms.admit(address) {
        Ok(room) => room,
        Err(Full::Address) => {
            metrics::counter!("tally_limited_total", "at" => "socket").increment(1);
            return refused(StatusCode::TOO_MANY_REQUESTS, "too many connections from your address");
        }
        Err(Full::All) => return refused(StatusCode::SERVICE_UNAVAILABLE, "too many connections"),
    };
    let id = parts.extensions.remove::<RequestId>().unwrap_or_else(|| RequestId::new(&public.chance));
    let tasks = public.tasks.clone();
    tasks.clone().pass("upgrade", async move {
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(raw) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let (now, stream) = (public.sockets.now(), raw.io.into_inner());
        // From here on the sweep looks after it: a client that is out of reach for a moment may come back.
        if let Err(error) = set_tcp_user_timeout(&stream, 0) {
            tracing::debug!(%error, "a socket keeps the system's own patience");
        }
        let connection = Connection::new(public, stream, id, address, now);
        if !accepted {
            connection.close(&Close::SubprotocolNotAcceptable);
        }
        // A copy, since what is handed back holds on to the whole buffer that it was read into.
        let begun = raw.read_buf.to_vec();
        // A task of its own, since this one has grown for the sake of the upgrade.
        tasks.pass("socket", Reader::new(Arc::new(connection), shown, room).run(begun));
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(proof) = derive_accept_key(&key).parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    }
    if accepted {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    response
}

/// The key of a request that becomes a WebSocket, which the answer must prove to have read.
fn key(request: &Request) -> Option<Vec<u8>> {
    let headers = request.headers();
    let has = |name, wanted: &str| {
        let words = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok())?.split(',');
        words.map(str::trim).find(|word| word.eq_ignore_ascii_case(wanted))
    };
    let is_one = request.method() == Method::GET
        && has(header::CONNECTION, "upgrade").is_some()
        && has(header::SEC_WEBSOCKET_VERSION, "13").is_some();
    headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| is_one).map(|key| key.as_bytes().to_vec())
}

/// Whether the client speaks our protocol.
fn offers(headers: &HeaderMap) -> bool {
    let offered =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|protocol| protocol.trim() == SUBPROTOCOL)
}
