//! The only place that knows the database. It speaks the product's language: one public method on [`Store`] per
//! unit of work, with outcomes as data; names of constraints and tables do not leave it.
//!
//! Every method is one transaction at the most, so a caller that is dropped half-way leaves nothing half-done.

mod accounts;
mod attempts;
mod audiences;
mod audit;
mod audit_lists;
mod beginnings;
mod channel_lists;
mod channels;
mod clips;
mod connecting;
mod events;
mod invitations;
mod joined;
mod keys;
mod page;
mod places;
mod publishing;
mod recordings;
mod schema;
mod sessions;
mod simulcast;
mod standing;
mod stream_lists;
mod streams;
mod topics;
mod transitions;
mod user_lists;
mod value;

use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error as QueryError};
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;

use self::connecting::Connector;
use crate::config::DatabaseUrl;

pub use accounts::{Created, NewUser, User};
pub use attempts::{Attempt, Once};
pub use audiences::{SiteMinute, StreamAudience};
pub use audit::Deed;
pub use audit_lists::{AuditFilter, AuditRecord};
pub use beginnings::{Began, NewStream, OnTheAir};
pub use channel_lists::{AroundChannel, ChannelFilter, ChannelOrder, ListedChannel};
pub use channels::{Channel, ChannelChange, NewChannel, Removed, Sealed};
pub use clips::Clip;
pub use events::{Backlog, Event, Position, WakeUps};
pub use invitations::Invited;
pub use keys::{Resealed, ResealedTarget};
pub use page::{Page, Place, Slice};
pub use publishing::{Connection, Publishing};
pub use recordings::{Measures, Recording, RecordingChange, RecordingRow, Retention};
pub use sessions::{Opened, PasswordChange, Session, SignedIn};
pub use simulcast::{Course, Target, TargetChange};
pub use standing::Standing;
pub use stream_lists::{AroundStream, ListedStream, StreamOrder};
pub use streams::{Airing, Counts, Stream, StreamChange};
pub use topics::{NewTopic, Topic};
pub use transitions::{EndedStream, Renewed, Report};
pub use user_lists::UserFilter;
pub use value::{
    AuditKind, ChannelId, ClipId, EventKind, Loc, Mutation, RecordingFailure, RecordingPlace, RecordingState,
    Role, StopReason, StreamId, StreamState, TargetId, TopicId, UserId,
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();
/// An index that was being made beside the running site when that was broken off is there by its name, and of no use.
const DROP_HALF_MADE: &str = "DO $$ DECLARE half_made text; BEGIN
    FOR half_made IN SELECT indexrelid::regclass FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace
    LOOP EXECUTE 'DROP INDEX ' || half_made; END LOOP; END $$";

/// How many connections a process opens to the database.
const CONNECTIONS: usize = 16;
/// How long a caller waits for one of them before it is told that the database is away.
const WAIT: Duration = Duration::from_secs(3);

/// A failure of the database, as opposed to an outcome. What is in it is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers, or not in time: it may work again later.
    #[error("the database is away: {0}")]
    Away(String),
    /// A query failed that should not have.
    #[error("a query failed: {0}")]
    Query(QueryError),
}

impl From<QueryError> for StoreError {
    fn from(error: QueryError) -> Self {
        // A connection that breaks under a statement says so in words only, whatever kind its error is of; and so does a
        // statement that had to wait too long.
        let text = error.to_string();
        let away = [
            "connection closed",
            "terminating connection",
            "the database system is",
            "canceling statement due",
        ];
        let broken = matches!(
            error,
            QueryError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)
                | QueryError::BrokenTransactionManager
        );
        if broken || away.iter().any(|words| text.contains(words)) {
            Self::Away(text)
        } else {
            Self::Query(error)
        }
    }
}

type Result<T> = std::result::Result<T, StoreError>;

/// The database; cloned freely.
#[derive(Clone)]
pub struct Store {
    pool: Pool<AsyncPgConnection>,
    url: DatabaseUrl,
}

impl Store {
    /// A store on `url`; nothing is connected to before the first question.
    ///
    /// # Errors
    /// When the pool cannot be built at all.
    pub fn new(url: DatabaseUrl) -> Result<Self> {
        let mut config = ManagerConfig::default();
        // A connection that was closed is known to be; asking each before use would double the round trips.
        config.recycling_method = RecyclingMethod::Fast;
        let connector = Connector::new();
        config.custom_setup = Box::new(move |url| connector.clone().connect(url.to_owned()).boxed());
        let manager = AsyncDieselConnectionManager::new_with_config(url.reveal(), config);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            // The one that was used last has the statements prepared and their tables at hand.
            .queue_mode(deadpool::managed::QueueMode::Lifo)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .runtime(deadpool_runtime())
            .build()
            .map_err(|error| StoreError::Away(error.to_string()))?;
        Ok(Self { pool, url })
    }

    async fn connection(&self) -> Result<Object<AsyncPgConnection>> {
        self.pool.get().await.map_err(|error| StoreError::Away(error.to_string()))
    }

    /// How many connections are in use, and how many callers wait for one.
    pub fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.waiting)
    }

    /// Brings the schema up to this version's.
    ///
    /// # Errors
    /// When the database is away or a migration fails; what was migrated before it stays.
    pub async fn migrate(&self) -> Result<()> {
        if self.is_behind().await? {
            self.connection().await?.batch_execute(DROP_HALF_MADE).await?;
        }
        self.with_migrations(|harness| harness.run_pending_migrations(MIGRATIONS).map(drop)).await
    }

    /// Takes every migration back, leaving an empty database.
    ///
    /// # Errors
    /// As [`Store::migrate`].
    pub async fn unmigrate(&self) -> Result<()> {
        self.with_migrations(|harness| harness.revert_all_migrations(MIGRATIONS).map(drop)).await
    }

    /// Whether migrations are still to be run.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn is_behind(&self) -> Result<bool> {
        self.with_migrations(|harness| harness.has_pending_migration(MIGRATIONS)).await
    }

    /// Answers when the database does.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.connection().await?.batch_execute("SELECT 1").await?)
    }

    async fn with_migrations<T: Send + 'static>(
        &self,
        work: impl FnOnce(
            &mut AsyncMigrationHarness<AsyncPgConnection>,
        ) -> std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>
        + Send
        + 'static,
    ) -> Result<T> {
        let connection = AsyncPgConnection::establish(self.url.reveal())
            .await
            .map_err(|error| StoreError::Away(error.to_string()))?;
        tokio::task::block_in_place(|| work(&mut AsyncMigrationHarness::new(connection)))
            .map_err(|error| StoreError::Query(QueryError::QueryBuilderError(error)))
    }
}

fn deadpool_runtime() -> deadpool::Runtime {
    deadpool::Runtime::Tokio1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_to_wait_too_long_may_work_again_later() {
        for (words, away) in [
            ("canceling statement due to lock timeout", true),
            ("canceling statement due to statement timeout", true),
            ("terminating connection due to administrator command", true),
            ("column \"colour\" does not exist", false),
        ] {
            let error = QueryError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(words.to_owned()));
            assert_eq!(matches!(StoreError::from(error), StoreError::Away(_)), away, "{words}");
        }
    }
}
