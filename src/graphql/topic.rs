//! Topics: the categories for browsing, and their care.

use std::borrow::Cow;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::context::Ask;
use super::error::{ApiError, Result};
use super::input;
use super::page;
use super::scalar::{NodeId, topic_id};
use crate::auth::Action;
use crate::store::{self, Created, NewTopic, TopicId};

/// A category.
#[derive(Clone)]
pub(super) struct Topic(pub(super) store::Topic);

/// A category, for browsing.
#[Object]
impl Topic {
    /// The topic's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Topic(self.0.id).id()
    }

    /// The topic in addresses and arguments: unique, URL-safe, and never changed.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// The topic's name for people. An admin may change it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the topic is no longer offered. Channels and streams that carry it keep it.
    async fn retired(&self) -> bool {
        self.0.retired_at.is_some()
    }
}

/// The topic that something carries: the one `read_along` with it, or else loaded.
pub(super) async fn of<'a>(
    ctx: &Context<'_>,
    id: Option<TopicId>,
    read_along: Option<&'a Topic>,
) -> Option<Result<Cow<'a, Topic>>> {
    match read_along {
        Some(topic) => Some(Ok(Cow::Borrowed(topic))),
        None => match ctx.loader().load_one(id?).await {
            Ok(topic) => Some(Ok(Cow::Owned(Topic(topic?)))),
            Err(error) => Some(Err(error.into())),
        },
    }
}

/// A topic to be added.
#[derive(InputObject)]
pub(super) struct CreateTopicInput {
    /// Its slug for good: a-z 0-9 and single hyphens, up to 50 characters. `CONFLICT` when it is taken.
    slug: String,
    /// Its name, 1 to 50 characters.
    name: String,
}

/// A topic to be renamed.
#[derive(InputObject)]
pub(super) struct RenameTopicInput {
    /// The topic's id.
    id: ID,
    /// Its new name, 1 to 50 characters.
    name: String,
}

/// A topic to be retired, or offered again.
#[derive(InputObject)]
pub(super) struct RetireTopicInput {
    /// The topic's id.
    id: ID,
    /// True to retire it, false to offer it again.
    #[graphql(default = true)]
    retired: bool,
}

/// What `createTopic` did.
#[derive(SimpleObject)]
pub(super) struct CreateTopicPayload {
    /// The new topic.
    topic: Topic,
}

/// What `renameTopic` did.
#[derive(SimpleObject)]
pub(super) struct RenameTopicPayload {
    /// The topic under its new name.
    topic: Topic,
}

/// What `retireTopic` did.
#[derive(SimpleObject)]
pub(super) struct RetireTopicPayload {
    /// The topic as it is now.
    topic: Topic,
}

/// Questions about topics.
#[derive(Default)]
pub(super) struct TopicQuery;

#[Object]
impl TopicQuery {
    /// The topics on offer, by name; retired ones are left out.
    #[graphql(complexity = "page::LIST + 100 * child_complexity")]
    async fn topics(&self, ctx: &Context<'_>) -> Result<Vec<Topic>> {
        Ok(ctx.parts().store.topics_on_offer().await?.into_iter().map(Topic).collect())
    }
}

/// Changes to topics.
#[derive(Default)]
pub(super) struct TopicMutation;

#[Object]
impl TopicMutation {
    /// Adds a topic. For admins only.
    async fn create_topic(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The topic to add.")] input: CreateTopicInput,
    ) -> Result<CreateTopicPayload> {
        ctx.viewer().may(Action::ManageTopics)?;
        let parts = ctx.parts();
        let slug = input::slug("input.slug", &input.slug)?;
        let name = input::line("input.name", &input.name, 1, 50)?;
        let id = TopicId(parts.chance.id(parts.clock.now()));
        match parts.store.create_topic(&NewTopic { id, slug: &slug, name: &name }).await? {
            Created::Made(topic) => Ok(CreateTopicPayload { topic: Topic(topic) }),
            Created::Taken => {
                Err(ApiError::Conflict { field: "input.slug", why: "this slug is taken".to_owned() })
            }
        }
    }

    /// Gives a topic another name; its slug stays. For admins only.
    async fn rename_topic(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which topic, and its name.")] input: RenameTopicInput,
    ) -> Result<RenameTopicPayload> {
        ctx.viewer().may(Action::ManageTopics)?;
        let id = topic_id("input.id", &input.id)?;
        let name = input::line("input.name", &input.name, 1, 50)?;
        let renamed = ctx.parts().store.rename_topic(id, &name).await?;
        Ok(RenameTopicPayload { topic: Topic(renamed.ok_or(ApiError::NotFound { what: "topic" })?) })
    }

    /// Takes a topic off the offer, or puts it back. Nothing that carries it changes. For admins only.
    async fn retire_topic(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which topic, and whether it is retired.")] input: RetireTopicInput,
    ) -> Result<RetireTopicPayload> {
        ctx.viewer().may(Action::ManageTopics)?;
        let parts = ctx.parts();
        let retired_at = input.retired.then(|| parts.clock.now());
        let retired = parts.store.retire_topic(topic_id("input.id", &input.id)?, retired_at).await?;
        Ok(RetireTopicPayload { topic: Topic(retired.ok_or(ApiError::NotFound { what: "topic" })?) })
    }
}

/// The topic on offer that a slug in an input means.
pub(super) async fn on_offer(ctx: &Context<'_>, field: &'static str, slug: &str) -> Result<TopicId> {
    match ctx.parts().store.topic_by_slug(&input::known_slug(slug.to_owned())).await? {
        Some(topic) if topic.retired_at.is_none() => Ok(topic.id),
        _ => Err(ApiError::bad(field, "no topic on offer has this slug")),
    }
}
