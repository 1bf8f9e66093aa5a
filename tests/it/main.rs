//! The tests that need more than one part of the crate: one binary, one file per story.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod admission;
mod against_the_library;
#[path = "../attacks/mod.rs"]
mod attacks;
mod attempts;
mod audience;
mod audit;
mod audits;
mod channels;
mod cost;
mod covers;
mod docs;
mod doors;
mod events;
mod fan_out;
mod fields;
mod figures;
mod forgetting;
mod frames;
mod guessing;
mod hostile;
mod http;
mod layers;
mod life_model;
mod migrations;
mod nginx;
mod pages;
mod permissions;
mod persisted;
mod plans;
mod presence;
mod prices;
mod recordings;
mod rights;
mod rotation;
mod schema;
mod sessions;
mod shared;
mod site;
mod socket;
mod sockets;
mod sql;
mod status;
mod strangers;
mod streams;
mod support;
mod suspension;
mod table;
mod topics;
mod toy;
mod user_lists;
mod websocket;
