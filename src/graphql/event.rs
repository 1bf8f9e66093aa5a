//! Events: what happened to broadcasts, as it happens and again from a cursor.

use async_graphql::{Context, Enum, Interface, Object, Subscription};
use futures_util::StreamExt;
use futures_util::stream::Stream as Events;
use uuid::Uuid;

use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::input;
use super::load::found;
use super::page::{event_cursor, event_position};
use super::scalar::{DateTime, UuidScalar};
use super::source;
use super::stream::Stream;
use crate::realtime::{Filter, Followed};
use crate::store::{self, EventKind};

/// Why a broadcast ended.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "store::StopReason")]
pub(super) enum StopReason {
    /// The publisher stopped, or its connection broke, and it did not come back within the reconnect window.
    PublisherGone,
    /// Its owner took it off the air with `endStream`.
    EndedByOwner,
    /// A moderator or an admin took it off the air with `endStream`.
    EndedByModerator,
    /// The key that it was sent with was replaced.
    KeyRegenerated,
    /// Its channel was deleted.
    ChannelDeleted,
}

/// Something that happened to a broadcast. Events arrive in order, each once per subscription.
#[derive(Interface)]
#[graphql(
    field(
        name = "cursor",
        ty = "String",
        desc = "Pass the last one seen as `after` to continue where a broken connection left off."
    ),
    field(name = "at", ty = "DateTime", desc = "When it happened."),
    field(
        name = "stream",
        ty = "Result<Stream>",
        desc = "The broadcast as it is now, which may be further on."
    )
)]
pub(super) enum StreamEvent {
    Started(StreamStarted),
    Interrupted(StreamInterrupted),
    Resumed(StreamResumed),
    Updated(StreamUpdated),
    Stopped(StreamStopped),
}

macro_rules! event {
    ($(#[$doc:meta])* $name:ident $(, $(#[$extra_doc:meta])* $extra:ident -> $type:ty: |$event:ident| $value:expr)?) => {
        $(#[$doc])*
        pub(super) struct $name(Followed);

        $(#[$doc])*
        #[Object]
        impl $name {
            /// Pass the last one seen as `after` to continue where a broken connection left off.
            async fn cursor(&self) -> String {
                event_cursor(self.0.position)
            }

            /// When it happened.
            async fn at(&self) -> DateTime {
                DateTime(self.0.event.at)
            }

            /// The broadcast as it is now, which may be further on than this event.
            async fn stream(&self, ctx: &Context<'_>) -> Result<Stream> {
                found(ctx.loader().load_one(self.0.event.stream_id).await?).map(Stream::from)
            }

            $(
                $(#[$extra_doc])*
                async fn $extra(&self) -> $type {
                    let $event = &self.0.event;
                    $value
                }
            )?
        }
    };
}

event! {
    /// A broadcast went on the air. Its playlist follows within seconds.
    StreamStarted
}
event! {
    /// A broadcast's publisher lost its connection. The broadcast waits for it for the reconnect window.
    StreamInterrupted
}
event! {
    /// The publisher came back in time: the same broadcast goes on.
    StreamResumed
}
event! {
    /// A broadcast got another name or topic.
    StreamUpdated
}
event! {
    /// A broadcast went off the air, for good.
    StreamStopped,
    /// Why it ended.
    reason -> StopReason: |event| event.reason.unwrap_or(store::StopReason::PublisherGone).into()
}

impl From<Followed> for StreamEvent {
    fn from(followed: Followed) -> Self {
        match followed.event.kind {
            EventKind::Started => Self::Started(StreamStarted(followed)),
            EventKind::Interrupted => Self::Interrupted(StreamInterrupted(followed)),
            EventKind::Resumed => Self::Resumed(StreamResumed(followed)),
            EventKind::Updated => Self::Updated(StreamUpdated(followed)),
            EventKind::Stopped => Self::Stopped(StreamStopped(followed)),
        }
    }
}

/// Subscriptions to events.
#[derive(Default)]
pub(super) struct EventSubscription;

#[Subscription]
impl EventSubscription {
    /// Starts, stops and changes of broadcasts: of one channel, of a topic, or of all. With `after`, first every
    /// event since that cursor, none missing and none twice; then live. Events are kept for 7 days: an older or
    /// unknown cursor is refused with `BAD_USER_INPUT` on `after`; then load the list again and go on from its
    /// `eventCursor`.
    async fn stream_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only those of the channel at this address. `NOT_FOUND` when there is none.")]
        loc: Option<UuidScalar>,
        #[graphql(
            desc = "Only those of broadcasts that carried this topic when it happened. `NOT_FOUND` when there is no \
                    such topic."
        )]
        topic: Option<String>,
        #[graphql(desc = "The cursor of the last event seen, or a list's `eventCursor`.")] after: Option<
            String,
        >,
    ) -> Result<impl Events<Item = StreamEvent> + use<>> {
        let events = source::follow(ctx, events(ctx.parts(), loc, topic, after)).await?;
        Ok(events.map(StreamEvent::from))
    }
}

/// The events of a channel, of a topic, or all, each of its own.
async fn events(
    parts: &Parts,
    loc: Option<UuidScalar>,
    topic: Option<String>,
    after: Option<String>,
) -> Result<impl Events<Item = (Option<Uuid>, Followed)> + use<>> {
    let after = after.as_deref().map(event_position).transpose()?;
    let loc = loc.map(store::Loc::from);
    // A cursor may be of the time before the channel was deleted; without one, somebody mistyped.
    if let (Some(loc), None) = (loc, after)
        && parts.store.channel_by_loc(loc).await?.is_none()
    {
        return Err(ApiError::NotFound { what: "channel" });
    }
    let topic = match topic {
        Some(slug) => match parts.store.topic_by_slug(&input::known_slug(slug)).await? {
            Some(topic) => Some(topic.id),
            None => return Err(ApiError::NotFound { what: "topic" }),
        },
        None => None,
    };
    let followed = parts.log.subscribe(after, Filter { loc, topic }).await?;
    Ok(followed.map(|followed| (None, followed)))
}
