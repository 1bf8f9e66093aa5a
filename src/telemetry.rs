//! Logs and figures. Logs are one line an event on stderr, for people or, on demand, as JSON for machines.
//!
//! No secret is ever given to a log line; the types that hold one print their name instead of it.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use clap::ValueEnum;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// Every figure, by the word of its kind and its name, with what it says. `docs/operating.md` has the same.
pub const FIGURES: [(&str, &str, &str); 22] = [
    ("gauge", "tally_streams_on_the_air", "streams live or interrupted, now"),
    ("gauge", "tally_viewers", "viewer sessions, now"),
    (
        "counter",
        "tally_events_total",
        "events that this process has read from the log, by `kind`: started, interrupted, resumed, updated, stopped",
    ),
    (
        "summary",
        "tally_event_delay_seconds",
        "from when something happened to when its event went to subscribers",
    ),
    (
        "counter",
        "tally_deliveries_total",
        "answers that went to subscribers at once, those that went together counted as one",
    ),
    ("counter", "tally_stops_total", "streams that ended, by `reason`, as `StreamStopped` has it"),
    (
        "counter",
        "tally_sweeps_total",
        "comparisons of rows with nginx, one a second, by `outcome`: whole, failed",
    ),
    ("counter", "tally_nginx_silent_total", "comparisons for which nginx gave no answer"),
    (
        "counter",
        "tally_publishers_total",
        "publishers with a key of ours that came, by `outcome`: started, resumed, repeated, busy, held, closed",
    ),
    ("summary", "tally_publish_seconds", "how long a publisher that came waited for the API"),
    ("counter", "tally_playlist_reports_total", "playlists given out, as nginx reports them"),
    ("summary", "tally_playlist_report_delay_seconds", "from a playlist given out to its session counted"),
    (
        "counter",
        "tally_count_writes_total",
        "writes of counts, one a second at most, by `outcome`: written, failed",
    ),
    ("counter", "tally_graphql_requests_total", "GraphQL over HTTP, by HTTP `status`"),
    ("summary", "tally_graphql_seconds", "how long GraphQL over HTTP took"),
    ("counter", "tally_errors_total", "GraphQL errors, by `code`"),
    (
        "counter",
        "tally_limited_total",
        "who was told to come later, by the limit `at` which: sign_in, sign_up, publish, socket",
    ),
    ("gauge", "tally_sockets", "open WebSockets, now"),
    ("counter", "tally_sockets_closed_total", "WebSockets that we closed, by the `code` of the close"),
    ("gauge", "tally_database_connections", "connections to the database in use, of 16"),
    ("gauge", "tally_database_waiting", "who waits for one"),
    ("gauge", "tally_tasks", "tasks of the process: some for its own work, one or two for each connection"),
];

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
    // A line that cannot be written, to a terminal that was closed or a disk that is full, is lost: to complain of it
    // there as well would panic.
    let lines = lines.log_internal_errors(false);
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
        let install = || {
            let figures = PrometheusBuilder::new().install_recorder().expect("nobody else keeps figures");
            for (kind, name, what) in FIGURES {
                match kind {
                    "counter" => metrics::describe_counter!(name, what),
                    "gauge" => metrics::describe_gauge!(name, what),
                    _ => metrics::describe_histogram!(name, what),
                }
            }
            Self(figures)
        };
        GATHERED.get_or_init(install).clone()
    }

    /// Sums up what was measured: until then each measurement is kept by itself, also where nobody asks for the figures.
    pub fn sum_up(&self) {
        self.0.run_upkeep();
    }

    /// The figures in Prometheus' text format.
    pub fn render(&self) -> String {
        self.sum_up();
        self.0.render()
    }
}

tokio::task_local! {
    static QUERIES: Queries;
}

/// How many statements a piece of work sends to the database. The store notes each; whoever answers for the work
/// puts the count into its log line. A task that the work spawns counts only if it is told to, by [`Queries::here`].
#[derive(Clone, Default)]
pub struct Queries(Arc<AtomicU64>);

impl Queries {
    /// Does `work`, counting here.
    pub async fn of<T>(&self, work: impl Future<Output = T>) -> T {
        QUERIES.scope(self.clone(), work).await
    }

    /// Where the present work is counted, if anywhere.
    pub fn here() -> Option<Self> {
        QUERIES.try_with(Self::clone).ok()
    }

    /// One more.
    pub fn note() {
        let _ = QUERIES.try_with(|queries| queries.0.fetch_add(1, Ordering::Relaxed));
    }

    /// So many by now.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
