//! The whole site from outside: the real program with its nginx and PostgreSQL, real broadcasts by ffmpeg, a real
//! browser. Each story has a site of its own; two are told at a time, since a machine may have no more cores.

#![expect(
    clippy::disallowed_methods,
    reason = "what is tested here lives by the machine's own clock, and tests own no lifecycle"
)]

#[path = "../attacks/mod.rs"]
mod attacks;
mod browser;
mod bucket;
mod clip;
mod commands;
mod cost;
mod crashes;
mod demo;
mod documents;
mod faults;
mod headers;
mod health;
mod journey;
mod logs;
mod protected;
mod recording;
mod renditions;
mod silence;
mod simulcast;
mod support;

use tokio::sync::{Semaphore, SemaphorePermit};

static TURNS: Semaphore = Semaphore::const_new(2);

/// A story's turn, held to its end.
async fn turn() -> SemaphorePermit<'static> {
    TURNS.acquire().await.expect("it is never closed")
}
