//! The tests that need more than one part of the crate: one binary, one file per story.

mod audits;
mod hostile;
mod http;
mod support;
mod toy;
mod websocket;
