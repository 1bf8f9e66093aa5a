//! The tests that need more than one part of the crate: one binary, one file per story.

mod accounts;
mod against_the_library;
mod audits;
mod channels;
mod hostile;
mod http;
mod layers;
mod migrations;
mod nginx;
mod schema;
mod site;
mod sql;
mod streams;
mod support;
mod topics;
mod toy;
mod websocket;
