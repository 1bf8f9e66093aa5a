//! Lists of what is on record.

use chrono::{DateTime, Utc};
use diesel::dsl::sql;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Columns, Count};
use super::schema::{audit_records, users};
use super::{AuditKind, ChannelId, Page, Place, Result, Slice, Store, UserId};

/// Something that was done.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = audit_records, check_for_backend(Pg))]
pub struct AuditRecord {
    /// Its id, which sorts by time.
    pub id: Uuid,
    /// When; the first time, of what happened more than once.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: AuditKind,
    /// Who; nobody, if nobody was signed in, or if it was the operator.
    pub actor_id: Option<UserId>,
    /// Whose account or channel it was.
    pub subject_id: Option<UserId>,
    /// Which channel.
    pub channel_id: Option<ChannelId>,
    /// From where.
    pub address: Option<String>,
    /// What there is to say beyond that.
    pub detail: Option<String>,
    /// How often.
    pub times: i32,
}

impl AuditRecord {
    /// Where it stands in the list.
    pub fn place(&self) -> Place {
        Place::Id(self.id)
    }
}

/// Which records a list holds.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of what the user with that handle did.
    pub actor: Option<String>,
    /// Of what was done to the user with that handle.
    pub subject: Option<String>,
    /// Of that kind.
    pub kind: Option<AuditKind>,
}

type Listed<'a> = audit_records::BoxedQuery<'a, Pg>;

impl AuditFilter {
    fn list(&self) -> Listed<'_> {
        let mut list = audit_records::table.into_boxed();
        let user = |handle| users::table.filter(users::handle.eq(handle)).select(users::id.nullable());
        if let Some(handle) = &self.actor {
            list = list.filter(audit_records::actor_id.eq(user(handle).single_value()));
        }
        if let Some(handle) = &self.subject {
            list = list.filter(audit_records::subject_id.eq(user(handle).single_value()));
        }
        if let Some(kind) = self.kind {
            // The word itself, since some are as rare as others are common: of a parameter PostgreSQL could not know
            // which, and may go through all records for a handful.
            list = list.filter(sql::<Bool>(&format!("audit_records.kind = '{}'", kind.word())));
        }
        list
    }
}

impl Store {
    /// A page of what is on record, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_audit(&self, filter: &AuditFilter, page: &Page) -> Result<Slice<AuditRecord>> {
        let mut list = filter.list();
        let columns = Columns { key: None, id: "audit_records.id", descending: true };
        for bound in columns.bounds(page) {
            list = list.filter(bound);
        }
        let list = list.order(columns.order(page)).limit(page.probe()).select(AuditRecord::as_select());
        Ok(page.slice(list.load(&mut self.connection().await?).await?))
    }

    /// How many records the whole list holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_audit(&self, filter: &AuditFilter) -> Result<i64> {
        let counted = Count(filter.list().select(audit_records::id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }
}
