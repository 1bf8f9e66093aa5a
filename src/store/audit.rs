//! The record of who did what. It is written in the transaction of what it reports, never changed, and kept for a year.
//! How it is listed is in [`super::audit_lists`].
//!
//! What anybody can bring about as often as they like is put on record once in a minute or an hour, with how often it
//! happened: a flood must not fill the disk.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::schema::{audit_records, channels};
use super::{AuditKind, ChannelId, Result, Store, UserId};
use crate::ambient::{Chance, Clock};

/// Failed sign-ins of an account are one record a minute.
const FAILURES: TimeDelta = TimeDelta::minutes(1);
/// Readings of a key by the same user are one record an hour.
const READINGS: TimeDelta = TimeDelta::hours(1);

/// Who does something that is put on record, when, and from where.
#[derive(Clone)]
pub struct Deed {
    actor: Option<UserId>,
    address: Option<IpAddr>,
    at: DateTime<Utc>,
    chance: Chance,
}

impl Deed {
    /// Something that `actor` does now; nobody who has signed in, when there is none.
    pub fn new(actor: Option<UserId>, address: Option<IpAddr>, clock: &Clock, chance: &Chance) -> Self {
        Self { actor, address, at: clock.now(), chance: chance.clone() }
    }

    /// Something that the operator does now, at the command line.
    pub fn of_operator(clock: &Clock, chance: &Chance) -> Self {
        Self::new(None, None, clock, chance)
    }

    /// The same, done by that user.
    #[must_use]
    pub fn by(self, actor: UserId) -> Self {
        Self { actor: Some(actor), ..self }
    }

    /// Whether it is one of `users` who does it; the operator may be anybody.
    pub(super) fn is_of(&self, users: &[UserId]) -> bool {
        self.actor.is_none_or(|actor| users.contains(&actor))
    }

    /// When.
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }
}

/// What was done.
pub(super) struct Done<'a> {
    pub(super) kind: AuditKind,
    /// Whose account or channel it was done to.
    pub(super) subject: Option<UserId>,
    pub(super) channel: Option<ChannelId>,
    pub(super) detail: Option<&'a str>,
}

/// The time in which equal deeds are one record, and what else makes them equal.
struct Together<'a>(TimeDelta, &'a [u8]);

/// Puts a deed on record.
pub(super) async fn record(
    connection: &mut AsyncPgConnection,
    deed: &Deed,
    done: Done<'_>,
) -> QueryResult<()> {
    write(connection, &[row(deed, done, None)]).await
}

/// A record as it is kept.
#[derive(Insertable)]
#[diesel(table_name = audit_records)]
struct Row<'a> {
    id: Uuid,
    at: DateTime<Utc>,
    kind: AuditKind,
    actor_id: Option<UserId>,
    subject_id: Option<UserId>,
    channel_id: Option<ChannelId>,
    address: Option<String>,
    detail: Option<&'a str>,
    slot: Option<Vec<u8>>,
}

fn row<'a>(deed: &Deed, done: Done<'a>, together: Option<Together<'_>>) -> Row<'a> {
    Row {
        slot: together.map(|together| slot(deed, &done, &together)),
        id: deed.chance.id(deed.at),
        at: deed.at,
        kind: done.kind,
        actor_id: deed.actor,
        subject_id: done.subject,
        channel_id: done.channel,
        address: deed.address.map(|address| address.to_string()),
        detail: done.detail,
    }
}

/// Writes records, no two of one slot.
async fn write(connection: &mut AsyncPgConnection, rows: &[Row<'_>]) -> QueryResult<()> {
    diesel::insert_into(audit_records::table)
        .values(rows)
        .on_conflict(audit_records::slot)
        .do_update()
        .set(audit_records::times.eq(audit_records::times + 1))
        .execute(connection)
        .await
        .map(drop)
}

fn slot(deed: &Deed, done: &Done<'_>, Together(period, more): &Together<'_>) -> Vec<u8> {
    let id = |id: Option<Uuid>| id.unwrap_or_default().into_bytes();
    let mut digest = Sha256::new();
    digest.update(done.kind.word());
    digest.update(id(deed.actor.map(|it| it.0)));
    digest.update(id(done.subject.map(|it| it.0)));
    digest.update(id(done.channel.map(|it| it.0)));
    digest.update(deed.at.timestamp().div_euclid(period.num_seconds()).to_be_bytes());
    digest.update(more);
    digest.finalize().to_vec()
}

impl Store {
    /// Puts on record that somebody was not let in as `handle`: one record a minute for each account, and one for all
    /// handles that are nobody's, with the first handle and address of that minute.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_failed_sign_in(&self, handle: &str, user: Option<UserId>, deed: &Deed) -> Result<()> {
        let done = Done { kind: AuditKind::SignInFailed, subject: user, channel: None, detail: Some(handle) };
        // Whoever tries may be signed in as anybody; it is the account that counts.
        let deed = Deed { actor: None, ..deed.clone() };
        let together = Some(Together(FAILURES, &[]));
        Ok(write(&mut *self.connection().await?, &[row(&deed, done, together)]).await?)
    }

    /// The keys of channels, as they are kept, for somebody who reads them; those without one are left out. It is on
    /// record before they are given out, since a key that nobody knows to be read is read by nobody: one record an hour
    /// for each reader and key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read_keys(&self, ids: &[ChannelId], deed: &Deed) -> Result<Vec<(ChannelId, Vec<u8>)>> {
        let mut connection = self.connection().await?;
        let keys = channels::table
            .filter(channels::id.eq_any(ids))
            .filter(channels::key_sealed.is_not_null())
            .select((channels::id, channels::owner_id, channels::key_sealed.assume_not_null()))
            // Whoever reads the same ones at once writes the same records.
            .order(channels::id)
            .load::<(ChannelId, UserId, Vec<u8>)>(&mut connection)
            .await?;
        let rows = keys.iter().map(|(channel, owner, sealed)| {
            let (kind, subject, channel) = (AuditKind::KeyRead, Some(*owner), Some(*channel));
            let done = Done { kind, subject, channel, detail: None };
            row(deed, done, Some(Together(READINGS, sealed)))
        });
        let rows: Vec<_> = rows.collect();
        if !rows.is_empty() {
            write(&mut connection, &rows).await?;
        }
        Ok(keys.into_iter().map(|(channel, _, sealed)| (channel, sealed)).collect())
    }

    /// Forgets what was put on record before `horizon`; how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_audit(&self, horizon: DateTime<Utc>) -> Result<usize> {
        let mut connection = self.connection().await?;
        connection
            .transaction(async |connection| {
                let until = diesel::select(set_config("tally.audit_horizon", horizon.to_rfc3339(), true));
                until.execute(connection).await?;
                let old = audit_records::table.filter(audit_records::at.lt(horizon));
                Ok(diesel::delete(old).execute(connection).await?)
            })
            .await
    }
}

diesel::define_sql_function! {
    /// Sets a setting; for this transaction only, if it is to be local.
    fn set_config(name: Text, value: Text, local: Bool) -> Text;
}
