//! A client's bytes on a WebSocket, for the fuzzer.

use std::ops::ControlFlow;

use super::frame::{Frames, Incoming};
use crate::http::protocol::{Message, Protocol, Step};

/// The largest message that is taken here.
const LARGEST: usize = 4096;
/// The longest head of a frame.
const HEAD: usize = 14;

/// Reads bytes as a client's, cut into pieces of the length that the first byte says; what arrives goes through the
/// protocol. What waits for its rest is bounded.
pub fn fuzz(bytes: &[u8]) {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let (mut frames, mut protocol) = (Frames::default(), Protocol::<()>::default());
    let mut take = |incoming: Incoming<'_>| {
        let Incoming::Text(text) = incoming else { return ControlFlow::Continue(()) };
        let Some(message) = Message::read(text) else { return ControlFlow::Break(()) };
        match protocol.receive(message) {
            Step::Close(_) => return ControlFlow::Break(()),
            Step::Identify(_) => drop(protocol.welcome()),
            Step::Start(ticket, _) if ticket % 2 == 0 => drop(protocol.end(ticket)),
            _ => {}
        }
        ControlFlow::Continue(())
    };
    for piece in bytes.chunks(usize::from(*length).max(1)) {
        if frames.feed(&mut piece.to_vec(), LARGEST, &mut take).is_err() {
            return;
        }
        assert!(frames.held() <= LARGEST + HEAD, "too much waits");
    }
}
