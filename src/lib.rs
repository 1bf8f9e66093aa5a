//! Tally: a self-hosted live-streaming backend.
//!
//! The map, from the top layer down; a module imports only what stands beneath it, and siblings do not import
//! each other (`tests/it/layers.rs` holds this):
//!
//! - [`command`]: the command line; builds the parts bottom-up and hands their tasks to [`lifecycle`].
//! - [`http`]: the public and the internal listener, the WebSocket protocol, the pages.
//! - [`graphql`]: the graph; one file per noun of the product.
//! - [`ingest`]: nginx-rtmp's callbacks, a stream's state machine, reconciliation with what nginx really carries.
//! - [`media`]: thumbnails, previews, playback URLs, sweeping up after ended streams.
//! - [`auth`]: who may what; passwords, sessions, stream keys.
//! - [`realtime`]: the event log's tail and the presence of viewers.
//! - [`store`]: the only place that knows the database.
//! - `fuzz`, beside [`command`] and in no release: the doors of the fuzz targets.
//! - [`config`] holds the settings.
//! - [`telemetry`], [`lifecycle`]: logs and figures; tasks.
//! - [`ambient`]: time and chance.

pub mod ambient;
pub mod auth;
pub mod command;
pub mod config;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod graphql;
pub mod http;
pub mod ingest;
pub mod lifecycle;
pub mod media;
pub mod realtime;
pub mod store;
pub mod telemetry;
