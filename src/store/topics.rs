//! Topics: the categories that channels and streams are browsed by.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::accounts::Created;
use super::schema::topics;
use super::{Result, Store, TopicId};

/// A category.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = topics, check_for_backend(diesel::pg::Pg))]
pub struct Topic {
    /// Its id.
    pub id: TopicId,
    /// Unique, URL-safe.
    pub slug: String,
    /// What people read.
    pub name: String,
    /// Since when it is no longer offered.
    pub retired_at: Option<DateTime<Utc>>,
}

/// A topic to be added.
#[derive(Insertable)]
#[diesel(table_name = topics)]
pub struct NewTopic<'a> {
    /// Its id.
    pub id: TopicId,
    /// Already checked for form.
    pub slug: &'a str,
    /// What people read.
    pub name: &'a str,
}

impl Store {
    /// The topics on offer, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn topics_on_offer(&self) -> Result<Vec<Topic>> {
        let found = topics::table.filter(topics::retired_at.is_null()).order((topics::name, topics::id));
        Ok(found.select(Topic::as_select()).load(&mut self.connection().await?).await?)
    }

    /// The topics of those ids, retired ones too, in no order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn topics(&self, ids: &[TopicId]) -> Result<Vec<Topic>> {
        let found = topics::table.filter(topics::id.eq_any(ids)).select(Topic::as_select());
        Ok(found.load(&mut self.connection().await?).await?)
    }

    /// The topic of that slug, retired or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn topic_by_slug(&self, slug: &str) -> Result<Option<Topic>> {
        let found = topics::table.filter(topics::slug.eq(slug)).select(Topic::as_select());
        Ok(found.first(&mut self.connection().await?).await.optional()?)
    }

    /// Adds a topic.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_topic(&self, topic: &NewTopic<'_>) -> Result<Created<Topic>> {
        let made = diesel::insert_into(topics::table)
            .values(topic)
            .returning(Topic::as_returning())
            .get_result(&mut self.connection().await?)
            .await;
        Created::from_insert(made)
    }

    /// Gives a topic another name; its slug stays, since links hold it. `None` when there is no such topic.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rename_topic(&self, id: TopicId, name: &str) -> Result<Option<Topic>> {
        let changed = diesel::update(topics::table.find(id))
            .set(topics::name.eq(name))
            .returning(Topic::as_returning())
            .get_result(&mut self.connection().await?)
            .await;
        Ok(changed.optional()?)
    }

    /// Retires a topic as of `retired_at`, or offers it again when that is `None`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retire_topic(
        &self,
        id: TopicId,
        retired_at: Option<DateTime<Utc>>,
    ) -> Result<Option<Topic>> {
        let changed = diesel::update(topics::table.find(id))
            .set(topics::retired_at.eq(retired_at))
            .returning(Topic::as_returning())
            .get_result(&mut self.connection().await?)
            .await;
        Ok(changed.optional()?)
    }
}
