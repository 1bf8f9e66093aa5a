//! Logs and figures. Logs are one line an event on stderr, for people or, on demand, as JSON for machines.
//!
//! No secret is ever given to a log line; the types that hold one print their name instead of it.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::ValueEnum;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `filter` has the form of `RUST_LOG`, for instance `info,tally=debug`.
///
/// # Errors
/// When `filter` cannot be read; the text says where.
pub fn start(format: LogFormat, filter: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter}: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Colours are for eyes, not for files.
    let lines = lines.with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.with_target(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The process's figures, for Prometheus; cloned freely.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to keep figures. Once a process they are gathered from everywhere in it; a second call, as in tests,
    /// gives the same ones.
    ///
    /// # Panics
    /// When somebody else has set a recorder before.
    pub fn gather() -> Self {
        static GATHERED: OnceLock<Metrics> = OnceLock::new();
        let install =
            || Self(PrometheusBuilder::new().install_recorder().expect("nobody else keeps figures"));
        GATHERED.get_or_init(install).clone()
    }

    /// The figures in Prometheus' text format.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
