//! Changes to channels: made, edited, deleted, given another key, taken off the air.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use secrecy::SecretString;

use super::channel::Channel;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::scalar::{NodeId, channel_id};
use super::stream::Stream;
use super::{input, once, topic};
use crate::auth::Action;
use crate::store::{self, ChannelChange, ChannelId, Loc, Mutation, NewChannel, Once, StopReason};

/// A channel to be made.
#[derive(InputObject)]
pub(super) struct CreateChannelInput {
    /// Its name: one line of 1 to 100 characters in any script.
    name: String,
    /// What to say of it: up to 5,000 characters; empty when left out.
    description: Option<String>,
    /// A topic's slug; no topic when left out.
    topic: Option<String>,
    /// Whether broadcasts are to be recorded; false when left out.
    record: Option<bool>,
    /// Whether viewers may chat; true when left out.
    chat_enabled: Option<bool>,
    /// Whether viewers may cut clips; true when left out.
    clips_enabled: Option<bool>,
    /// Whether playback needs a signed URL; false when left out.
    protected: Option<bool>,
    /// What broadcasts are called when they are not named, 1 to 100 characters; the channel's name when left out. In it
    /// `{date}` stands for the day (in UTC, `2026-11-23`) and `{number}` for its place among the channel's
    /// broadcasts, from 1.
    default_stream_name: Option<String>,
    /// Makes a retry safe: 1 to 100 visible ASCII characters of your choice, such as a UUID. The same input under
    /// the same key within 24 hours makes no second channel, it answers with the first; another input under it is
    /// a `CONFLICT`.
    idempotency_key: Option<String>,
}

/// What is to be different about a channel. What is left out stays as it is.
#[derive(InputObject)]
pub(super) struct UpdateChannelInput {
    /// The channel's id.
    id: ID,
    /// Its name: one line of 1 to 100 characters in any script.
    name: MaybeUndefined<String>,
    /// What to say of it: up to 5,000 characters; null clears.
    description: MaybeUndefined<String>,
    /// A topic's slug; null clears.
    topic: MaybeUndefined<String>,
    /// Whether broadcasts are to be recorded. It holds for the next broadcast.
    record: MaybeUndefined<bool>,
    /// Whether viewers may chat.
    chat_enabled: MaybeUndefined<bool>,
    /// Whether viewers may cut clips.
    clips_enabled: MaybeUndefined<bool>,
    /// Whether playback needs a signed URL. It holds for the next broadcast, and for all recordings at once.
    protected: MaybeUndefined<bool>,
    /// What opens the channel, while it is protected, to whoever knows it: 8 to 200 characters; null clears. It is kept as
    /// a hash, so nobody can read it again. With another one, or none, what is played by the last one ends within 10
    /// seconds.
    password: MaybeUndefined<String>,
    /// What broadcasts are called when they are not named, 1 to 100 characters, as in `createChannel`.
    default_stream_name: MaybeUndefined<String>,
    /// The address of a picture: `https://…`, `http://…`, or a path on this site; null clears. A picture that was uploaded
    /// is removed with it: `PUT /channels/LOC/cover` uploads one.
    image_url: MaybeUndefined<String>,
}

/// Which channel to delete.
#[derive(InputObject)]
pub(super) struct DeleteChannelInput {
    /// The channel's id.
    id: ID,
}

/// Which channel is to have another key.
#[derive(InputObject)]
pub(super) struct RegenerateStreamKeyInput {
    /// The `id` of the channel, not its `loc`.
    channel_id: ID,
    /// Makes a retry safe, as in `createChannel`: within 24 hours the same key for the same channel replaces
    /// nothing again, it answers with the channel and the key that it has.
    idempotency_key: Option<String>,
}

/// Which channel to take off the air.
#[derive(InputObject)]
pub(super) struct EndStreamInput {
    /// The `id` of the channel, not its `loc`.
    channel_id: ID,
}

/// What `createChannel` did.
#[derive(SimpleObject)]
pub(super) struct CreateChannelPayload {
    /// The new channel; its key is at `ingest.streamKey`.
    channel: Channel,
}

/// What `updateChannel` did.
#[derive(SimpleObject)]
pub(super) struct UpdateChannelPayload {
    /// The channel as it is now.
    channel: Channel,
}

/// What `deleteChannel` did.
#[derive(SimpleObject)]
pub(super) struct DeleteChannelPayload {
    /// The id that no longer means anything, for removing it from caches.
    deleted_channel_id: ID,
}

/// What `regenerateStreamKey` did.
#[derive(SimpleObject)]
pub(super) struct RegenerateStreamKeyPayload {
    /// The channel; its new key is at `ingest.streamKey`.
    channel: Channel,
}

/// What `endStream` did.
#[derive(SimpleObject)]
pub(super) struct EndStreamPayload {
    /// The stream that ended.
    stream: Stream,
}

/// Changes to channels.
#[derive(Default)]
pub(super) struct ChannelMutation;

#[Object]
impl ChannelMutation {
    /// Makes a channel of one's own. The key comes with it, as `channel.ingest.streamKey`. For streamers and up.
    async fn create_channel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel to make.")] input: CreateChannelInput,
    ) -> Result<CreateChannelPayload> {
        ctx.viewer().may(Action::CreateChannel)?;
        let owner_id = ctx.viewer().id().ok_or(ApiError::Unauthenticated("sign in first"))?;
        let parts = ctx.parts();
        let attempt = once::attempt(ctx, Mutation::CreateChannel, &input, input.idempotency_key.as_deref())?;
        let name = input::line("input.name", &input.name, 1, 100)?;
        let default_stream_name = match &input.default_stream_name {
            Some(text) => input::line("input.defaultStreamName", text, 1, 100)?,
            None => name.clone(),
        };
        let description =
            input::text("input.description", input.description.as_deref().unwrap_or_default(), 5000)?;
        let topic_id = match &input.topic {
            Some(slug) => Some(topic::on_offer(ctx, "input.topic", slug).await?),
            None => None,
        };
        let now = parts.clock.now();
        let id = ChannelId(parts.chance.id(now));
        let (_, key) = parts.ingest.new_key(id);
        let new = NewChannel {
            id,
            loc: Loc(parts.chance.opaque_id()),
            owner_id,
            topic_id,
            name: &name,
            description: &description,
            default_stream_name: &default_stream_name,
            chat_enabled: input.chat_enabled.unwrap_or(true),
            clips_enabled: input.clips_enabled.unwrap_or(true),
            record: input.record.unwrap_or(false),
            protected: input.protected.unwrap_or(false),
            key_hash: &key.hash,
            key_sealed: &key.sealed,
            created_at: now,
            updated_at: now,
        };
        let channel = match parts.store.create_channel(&new, attempt.as_ref()).await? {
            Once::Now(channel) => channel,
            Once::Before(id) => parts.store.channel(id).await?.ok_or(NO_CHANNEL)?,
            Once::Other => return Err(once::other_input()),
        };
        Ok(CreateChannelPayload { channel: channel.into() })
    }

    /// Changes a channel. For its owner and admins.
    async fn update_channel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which channel, and what is to be different.")] input: UpdateChannelInput,
    ) -> Result<UpdateChannelPayload> {
        let channel = editable(ctx, "input.id", &input.id).await?;
        let change = input.read(ctx).await?;
        let parts = ctx.parts();
        let changed = parts.store.update_channel(channel.id, &change).await?.ok_or(NO_CHANNEL)?;
        if let Some(last) = channel.image_url.filter(|last| changed.image_url.as_ref() != Some(last)) {
            parts.covers.forget(channel.loc, &last).await;
        }
        if changed.protected != channel.protected {
            parts.shelf.settle(channel.loc).await?;
        }
        Ok(UpdateChannelPayload { channel: changed.into() })
    }

    /// Deletes a channel for good: its stream ends with the reason `CHANNEL_DELETED`, its publisher is cut off,
    /// its address and key mean nothing any more. For its owner and admins.
    async fn delete_channel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which channel.")] input: DeleteChannelInput,
    ) -> Result<DeleteChannelPayload> {
        let channel = editable(ctx, "input.id", &input.id).await?;
        ctx.parts().ingest.delete_channel(&channel, &ctx.deed()).await?.ok_or(NO_CHANNEL)?;
        ctx.parts().shelf.settle(channel.loc).await?;
        if let Some(last) = &channel.image_url {
            ctx.parts().covers.forget(channel.loc, last).await;
        }
        Ok(DeleteChannelPayload { deleted_channel_id: NodeId::Channel(channel.id).id() })
    }

    /// Gives a channel another key. The old key stops working at once, and whoever is broadcasting with it is cut
    /// off: the stream ends with the reason `KEY_REGENERATED`. For the owner and admins.
    async fn regenerate_stream_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which channel.")] input: RegenerateStreamKeyInput,
    ) -> Result<RegenerateStreamKeyPayload> {
        let channel = editable(ctx, "input.channelId", &input.channel_id).await?;
        let key = input.idempotency_key.as_deref();
        let attempt = once::attempt(ctx, Mutation::RegenerateStreamKey, &input, key)?;
        let channel = match ctx.parts().ingest.regenerate_key(&channel, attempt.as_ref(), &ctx.deed()).await?
        {
            Once::Now(renewed) => renewed.ok_or(NO_CHANNEL)?.channel,
            Once::Before(_) => channel,
            Once::Other => return Err(once::other_input()),
        };
        Ok(RegenerateStreamKeyPayload { channel: channel.into() })
    }

    /// Takes the channel off the air and disconnects its publisher. Broadcasting software comes back by itself
    /// within seconds, so the channel then refuses publishers for the reconnect window, and for 10 seconds at
    /// least; a new key lifts that at once. For the owner, moderators and admins. `NOT_FOUND` when the channel is
    /// off the air.
    async fn end_stream(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which channel.")] input: EndStreamInput,
    ) -> Result<EndStreamPayload> {
        let channel = find(ctx, "input.channelId", &input.channel_id).await?;
        ctx.viewer().may(Action::EndStream(&channel))?;
        let own = ctx.viewer().id() == Some(channel.owner_id);
        let reason = if own { StopReason::EndedByOwner } else { StopReason::EndedByModerator };
        let parts = ctx.parts();
        let removed = parts.ingest.end_stream(&channel, reason, &ctx.deed()).await?.ok_or(NO_CHANNEL)?;
        let ended = removed.ended.ok_or(ApiError::NotFound { what: "stream on the air" })?;
        let stream = parts.store.streams(&[ended.stream]).await?.pop();
        Ok(EndStreamPayload { stream: super::load::found(stream)?.into() })
    }
}

const NO_CHANNEL: ApiError = ApiError::NotFound { what: "channel" };

async fn find(ctx: &Context<'_>, field: &'static str, id: &ID) -> Result<store::Channel> {
    ctx.parts().store.channel(channel_id(field, id)?).await?.ok_or(NO_CHANNEL)
}

/// The channel of that id, for somebody who may change it.
pub(super) async fn editable(ctx: &Context<'_>, field: &'static str, id: &ID) -> Result<store::Channel> {
    let channel = find(ctx, field, id).await?;
    ctx.viewer().may(Action::EditChannel(&channel))?;
    Ok(channel)
}

impl UpdateChannelInput {
    async fn read(self, ctx: &Context<'_>) -> Result<ChannelChange> {
        let name = input::kept("input.name", self.name)?;
        let default_stream_name = input::kept("input.defaultStreamName", self.default_stream_name)?;
        let description = match self.description {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(String::new()),
            MaybeUndefined::Value(text) => Some(input::text("input.description", &text, 5000)?),
        };
        let topic_id = match self.topic {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(slug) => Some(Some(topic::on_offer(ctx, "input.topic", &slug).await?)),
        };
        let image_url = match self.image_url {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(url) => Some(Some(input::image_url("input.imageUrl", &url)?)),
        };
        let (password_id, password_hash) = match self.password {
            MaybeUndefined::Undefined => (None, None),
            MaybeUndefined::Null => (Some(None), Some(None)),
            MaybeUndefined::Value(password) => {
                input::password("input.password", &password)?;
                let hash = ctx.parts().passwords.hash(SecretString::from(password)).await?;
                (Some(Some(ctx.parts().chance.opaque_id())), Some(Some(hash)))
            }
        };
        Ok(ChannelChange {
            name: name.map(|name| input::line("input.name", &name, 1, 100)).transpose()?,
            description,
            topic_id,
            image_url,
            default_stream_name: default_stream_name
                .map(|name| input::line("input.defaultStreamName", &name, 1, 100))
                .transpose()?,
            chat_enabled: input::kept("input.chatEnabled", self.chat_enabled)?,
            clips_enabled: input::kept("input.clipsEnabled", self.clips_enabled)?,
            record: input::kept("input.record", self.record)?,
            protected: input::kept("input.protected", self.protected)?,
            password_id,
            password_hash,
            updated_at: Some(ctx.parts().clock.now()),
        })
    }
}
