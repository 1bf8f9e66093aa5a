//! `tally rotate-key`: another server's key, for when the one there is may be known to somebody. The command makes the
//! key; the next start seals all stream keys and simulcast keys under it and forgets the one before, so nobody has to know of a new
//! stream key, and a crash at any point costs nothing but the time to do it again.

use std::path::PathBuf;

use clap::Args;

use crate::ambient::Chance;
use crate::auth::{Keyring, Secrets};
use crate::lifecycle::Failure;
use crate::store::{Resealed, ResealedTarget, Store};

/// How many keys are sealed in one statement.
const BATCH: i64 = 1000;

/// Where the server's key is.
#[derive(Args)]
pub(super) struct RotateKey {
    /// The data directory of the `tally up` or `tally serve` whose key it is.
    #[arg(long, env = "TALLY_DATA_DIR", default_value = ".tally", value_name = "DIR")]
    data_dir: PathBuf,
}

impl RotateKey {
    /// Makes the key.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub(super) fn run(&self) -> Result<(), Failure> {
        if !self.data_dir.join("secrets").is_dir() {
            return Err(
                format!("there are no secrets in {}: give --data-dir", self.data_dir.display()).into()
            );
        }
        if !Secrets::rotate(&self.data_dir, &Chance::system())? {
            return Err(
                "the key has been replaced before, and the site has not been started since: start it".into(),
            );
        }
        eprintln!(
            "There is a new server's key. Start the site again: it will seal all stream keys under it first."
        );
        Ok(())
    }
}

/// Seals what is not sealed under the server's key yet, and forgets the key before. Does nothing when there is none.
///
/// # Errors
/// When the database fails; then the next start goes on with it.
pub async fn finish(store: &Store, secrets: &Secrets, chance: &Chance) -> Result<(), Failure> {
    if !secrets.is_rotating() {
        return Ok(());
    }
    tracing::info!("the server's key was replaced: sealing all other keys anew");
    let keyring = Keyring::new(secrets, chance.clone());
    let count = stream_keys(store, &keyring).await? + target_keys(store, &keyring).await?;
    secrets.forget_previous()?;
    tracing::info!(count, "all keys are sealed under the new one");
    Ok(())
}

async fn stream_keys(store: &Store, keyring: &Keyring) -> Result<usize, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let some = store.sealed_keys(after, BATCH).await?;
        let Some((last, _)) = some.last() else { return Ok(count) };
        after = Some(*last);
        let mut keys = Vec::with_capacity(some.len());
        for (channel, before) in some {
            match keyring.reseal(&before, channel) {
                Ok(Some(now)) => keys.push(Resealed { channel, before, now }),
                Ok(None) => {}
                Err(error) => tracing::warn!(channel = %channel.0, %error, "a stream key is lost"),
            }
        }
        store.reseal(&keys).await?;
        count += keys.len();
    }
}

async fn target_keys(store: &Store, keyring: &Keyring) -> Result<usize, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let some = store.sealed_targets(after, BATCH).await?;
        let Some((last, _)) = some.last() else { return Ok(count) };
        after = Some(*last);
        let mut keys = Vec::with_capacity(some.len());
        for (target, before) in some {
            match keyring.reseal_target(&before, target) {
                Ok(Some(now)) => keys.push(ResealedTarget { target, before, now }),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(target = %target.0, %error, "the key of a simulcast target is lost")
                }
            }
        }
        store.reseal_targets(&keys).await?;
        count += keys.len();
    }
}
