//! The tests that need more than one part of the crate: one binary, one file per story.

mod against_the_library;
mod audits;
mod hostile;
mod http;
mod nginx;
mod site;
mod streams;
mod support;
mod toy;
mod websocket;
