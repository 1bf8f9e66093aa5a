//! The tests that need more than one part of the crate: one binary, one file per story.

mod against_the_library;
mod audits;
mod events;
mod hostile;
mod http;
mod life_model;
mod nginx;
mod presence;
mod site;
mod socket;
mod sockets;
mod streams;
mod support;
mod toy;
mod websocket;
