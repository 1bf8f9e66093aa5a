//! Simulcast: where else a channel's broadcasts go.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription};
use futures_util::stream::{self, Stream as Changes, StreamExt};
use uuid::Uuid;

use super::channel::Channel;
use super::channels::editable;
use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::load::found;
use super::scalar::{DateTime, NodeId, UuidScalar, target_id};
use super::{input, source};
use crate::auth::{Action, Viewer};
use crate::media::{Address, NoAddress, Reason, Standing};
use crate::store::{self, Loc, Target, TargetChange, TargetId};

/// How many targets a channel may have.
const MOST: i64 = 8;
/// The longest key: those of the services that are known are a third of it.
const LONGEST_KEY: usize = 512;

/// How it stands with a simulcast target.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(super) enum SimulcastState {
    /// There is nothing to pass on, or the target is switched off.
    Idle,
    /// The broadcast is on its way: its first segment is waited for, or the other server's answer.
    Connecting,
    /// The other server takes the broadcast.
    Live,
    /// It did not work; `failureReason` says why. It is tried again, after a second at first and after a minute at last.
    Failed,
}

/// Why a broadcast is not passed on to a simulcast target.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Reason")]
pub(super) enum SimulcastFailureReason {
    /// No server of that name can be found: the address is wrong.
    NoSuchServer,
    /// The address leads to this site or into a private network, and the operator does not allow that.
    NotAllowed,
    /// Nobody answers at that address.
    Unreachable,
    /// The server has no valid certificate for its name.
    NotTrusted,
    /// The server answers and does not take the broadcast: the key is wrong, or in use.
    Refused,
    /// The server took the broadcast, and then the connection broke.
    Broken,
    /// The key cannot be read any more, since the site's own key was lost: it is to be given again.
    KeyLost,
    /// This site is not able to; its operator finds more in the log.
    Unable,
}

/// Why a broadcast is not passed on, and what to do about it.
fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::NoSuchServer => "No server of that name can be found: look at the address",
        Reason::NotAllowed => "The address leads to this site or into a private network, which it must not",
        Reason::Unreachable => {
            "Nobody answers at that address: look at it, or wait until the service is back"
        }
        Reason::NotTrusted => "The server has no valid certificate for its name: look at the address",
        Reason::Refused => {
            "The server does not take the broadcast: look at the key, and whether it is in use"
        }
        Reason::Broken => "The connection to the server broke",
        Reason::KeyLost => "The key cannot be read any more: give it again",
        Reason::Unable => "This site cannot pass it on now: its operator finds more in the log",
    }
}

/// A place that a channel's broadcasts are passed on to.
#[derive(Clone)]
pub(super) struct SimulcastTarget(pub(super) Target);

/// Another server that a channel's broadcasts are passed on to as they are sent, for instance YouTube or Twitch: same picture,
/// same sound, some seconds later. Whatever becomes of it, the broadcast itself goes on. For the channel's owner and admins.
#[Object]
impl SimulcastTarget {
    /// The target's opaque, globally unique id.
    pub(super) async fn id(&self) -> ID {
        NodeId::Target(self.0.id).id()
    }

    /// The channel whose broadcasts go there.
    async fn channel(&self, ctx: &Context<'_>) -> Result<Channel> {
        found(ctx.loader().load_one(self.0.channel_id).await?).map(Channel::from)
    }

    /// The server's address, as the service gives it: `rtmp://HOST/APP` or `rtmps://HOST/APP`. The key to it is never shown.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// Whether broadcasts are passed on to it.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// How it stands with it now.
    async fn state(&self, ctx: &Context<'_>) -> SimulcastState {
        match ctx.parts().simulcast.standing(self.0.id) {
            None => SimulcastState::Idle,
            Some(Standing::Connecting(_)) => SimulcastState::Connecting,
            Some(Standing::Live(_)) => SimulcastState::Live,
            Some(Standing::Failed(..)) => SimulcastState::Failed,
        }
    }

    /// Why it does not work and what to do about it, in an English sentence for people; null unless it has failed.
    async fn failure(&self, ctx: &Context<'_>) -> Option<&'static str> {
        self.reason(ctx).map(words)
    }

    /// Why it does not work, for whoever has words of their own; null unless it has failed.
    async fn failure_reason(&self, ctx: &Context<'_>) -> Option<SimulcastFailureReason> {
        self.reason(ctx).map(Into::into)
    }

    /// Since when it stands like that; null while it is idle.
    async fn since(&self, ctx: &Context<'_>) -> Option<DateTime> {
        ctx.parts().simulcast.standing(self.0.id).map(|standing| match standing {
            Standing::Connecting(at) | Standing::Live(at) | Standing::Failed(at, _) => DateTime(at),
        })
    }
}

impl SimulcastTarget {
    fn reason(&self, ctx: &Context<'_>) -> Option<Reason> {
        match ctx.parts().simulcast.standing(self.0.id) {
            Some(Standing::Failed(_, reason)) => Some(reason),
            _ => None,
        }
    }
}

/// Where else a channel's broadcasts are to go.
#[derive(InputObject)]
pub(super) struct AddSimulcastTargetInput {
    /// The `id` of the channel, not its `loc`.
    channel_id: ID,
    /// The server's address, as the service gives it: `rtmp://HOST/APP` or `rtmps://HOST/APP`, without the key.
    url: String,
    /// The key that the service gives, 1 to 512 visible characters of ASCII. It is kept sealed and never shown again.
    key: String,
    /// Whether broadcasts are passed on to it from now on, also the one that is on the air.
    #[graphql(default = true)]
    enabled: bool,
}

/// What is to be different about a simulcast target. What is left out stays.
#[derive(InputObject)]
pub(super) struct UpdateSimulcastTargetInput {
    /// The target's id.
    id: ID,
    /// Another address. While a broadcast is passed on, it goes there instead.
    url: MaybeUndefined<String>,
    /// Another key.
    key: MaybeUndefined<String>,
    /// Whether broadcasts are passed on to it. It may be switched on and off while one is on the air.
    enabled: MaybeUndefined<bool>,
}

/// Which simulcast target to remove.
#[derive(InputObject)]
pub(super) struct RemoveSimulcastTargetInput {
    /// The target's id.
    id: ID,
}

/// What `addSimulcastTarget` did.
#[derive(SimpleObject)]
pub(super) struct AddSimulcastTargetPayload {
    /// The new target.
    target: SimulcastTarget,
}

/// What `updateSimulcastTarget` did.
#[derive(SimpleObject)]
pub(super) struct UpdateSimulcastTargetPayload {
    /// The target as it is now.
    target: SimulcastTarget,
}

/// What `removeSimulcastTarget` did.
#[derive(SimpleObject)]
pub(super) struct RemoveSimulcastTargetPayload {
    /// The id that no longer means anything, for removing it from caches.
    removed_target_id: ID,
    /// The channel, without it.
    channel: Channel,
}

const NO_TARGET: ApiError = ApiError::NotFound { what: "simulcast target" };

fn address(url: &str) -> Result<String> {
    let address: std::result::Result<Address, NoAddress> = url.trim().parse();
    address.map(|address| address.to_string()).map_err(|error| ApiError::bad("input.url", error.to_string()))
}

fn key(key: &str) -> Result<&str> {
    let key = key.trim();
    if (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(key)
    } else {
        Err(ApiError::bad("input.key", "1 to 512 visible characters of ASCII"))
    }
}

/// Changes to where broadcasts go.
#[derive(Default)]
pub(super) struct SimulcastMutation;

#[Object]
impl SimulcastMutation {
    /// Has a channel's broadcasts passed on to another server as well. For the channel's owner and admins. `CONFLICT` when the
    /// channel has 8 targets already. The server must be reached over the internet: one that is this site's own, or in a
    /// private network, fails, unless the operator allows it.
    async fn add_simulcast_target(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to, and the key to it.")] input: AddSimulcastTargetInput,
    ) -> Result<AddSimulcastTargetPayload> {
        let channel = editable(ctx, "input.channelId", &input.channel_id).await?;
        let (url, key) = (address(&input.url)?, key(&input.key)?);
        let parts = ctx.parts();
        let id = TargetId(parts.chance.id(parts.clock.now()));
        let key_sealed = parts.keyring.seal_target(key, id);
        let target = Target { id, channel_id: channel.id, url, key_sealed, enabled: input.enabled };
        if !parts.store.add_target(&target, MOST).await? {
            let why = format!("a channel has at most {MOST} simulcast targets; remove one first");
            return Err(ApiError::Conflict { field: "input.channelId", why });
        }
        parts.simulcast.changed(channel.loc, id);
        Ok(AddSimulcastTargetPayload { target: SimulcastTarget(target) })
    }

    /// Changes a simulcast target, also while a broadcast is passed on to it: it goes on the new way within seconds. For the
    /// channel's owner and admins.
    async fn update_simulcast_target(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which target, and what is to be different.")] input: UpdateSimulcastTargetInput,
    ) -> Result<UpdateSimulcastTargetPayload> {
        let (target, channel) = owned(ctx, &input.id).await?;
        let parts = ctx.parts();
        let url = input::kept("input.url", input.url)?.map(|url| address(&url)).transpose()?;
        let given = input::kept("input.key", input.key)?;
        let given = given.as_deref().map(key).transpose()?;
        let change = TargetChange {
            url,
            key_sealed: given.map(|key| parts.keyring.seal_target(key, target.id)),
            enabled: input::kept("input.enabled", input.enabled)?,
        };
        let target = parts.store.update_target(target.id, change).await?.ok_or(NO_TARGET)?;
        parts.simulcast.changed(channel.loc, target.id);
        Ok(UpdateSimulcastTargetPayload { target: SimulcastTarget(target) })
    }

    /// Removes a simulcast target and its key for good; what is passed on to it ends within seconds. For the channel's owner
    /// and admins.
    async fn remove_simulcast_target(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which target.")] input: RemoveSimulcastTargetInput,
    ) -> Result<RemoveSimulcastTargetPayload> {
        let (target, channel) = owned(ctx, &input.id).await?;
        ctx.parts().store.remove_target(target.id).await?;
        ctx.parts().simulcast.changed(channel.loc, target.id);
        Ok(RemoveSimulcastTargetPayload {
            removed_target_id: NodeId::Target(target.id).id(),
            channel: channel.into(),
        })
    }
}

/// A target and its channel, for somebody who may change them; for others there is none.
async fn owned(ctx: &Context<'_>, id: &ID) -> Result<(Target, store::Channel)> {
    let found = seen(ctx, target_id("input.id", id)?).await?;
    found.ok_or(NO_TARGET)
}

/// A target and its channel, if whoever asks may see it.
async fn seen(ctx: &Context<'_>, id: TargetId) -> Result<Option<(Target, store::Channel)>> {
    let loader = ctx.loader();
    let Some(target) = loader.load_one(id).await? else { return Ok(None) };
    let channel = loader.load_one(target.channel_id).await?.filter(|channel| channel.deleted_at.is_none());
    Ok(channel.filter(|channel| is_shown(ctx.viewer(), channel)).map(|channel| (target, channel)))
}

/// The target of that id, for whoever may see it.
pub(super) async fn node(ctx: &Context<'_>, id: TargetId) -> Result<Option<SimulcastTarget>> {
    Ok(seen(ctx, id).await?.map(|(target, _)| SimulcastTarget(target)))
}

/// Whether a channel's targets are there for a viewer.
pub(super) fn is_shown(viewer: &Viewer, channel: &store::Channel) -> bool {
    viewer.may(Action::ReadKey(channel)).is_ok()
}

/// Subscriptions to where broadcasts go.
#[derive(Default)]
pub(super) struct SimulcastSubscription;

#[Subscription]
impl SimulcastSubscription {
    /// A channel's simulcast targets: first all of them as they are, then each that changes, in what is said of it or in how it
    /// stands. Of one that is removed nothing is told. For the channel's owner and admins; `FORBIDDEN`, or `UNAUTHENTICATED`,
    /// for others.
    async fn simulcast_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The channel's address. `NOT_FOUND` when there is none.")] loc: UuidScalar,
    ) -> Result<impl Changes<Item = SimulcastTarget> + use<>> {
        let changed = source::follow(ctx, changes(ctx.parts(), ctx.viewer(), loc.into())).await?;
        Ok(changed.map(SimulcastTarget))
    }
}

/// The targets of the channel at `loc` as they change.
async fn changes(
    parts: &Parts,
    viewer: &Viewer,
    loc: Loc,
) -> Result<impl Changes<Item = (Option<Uuid>, Target)> + use<>> {
    // First listen, then look.
    let changes = parts.simulcast.watch();
    let channel = parts.store.channel_by_loc(loc).await?.ok_or(ApiError::NotFound { what: "channel" })?;
    viewer.may(Action::ReadKey(&channel))?;
    let told = |target: Target| (Some(target.id.0), target);
    let present = parts.store.targets_of(&[channel.id]).await?;
    let store = parts.store.clone();
    let later = source::at(loc, changes, move |id| {
        let store = store.clone();
        async move {
            match id {
                Some(id) => store.targets(&[id]).await,
                None => store.targets_of(&[channel.id]).await,
            }
        }
    });
    Ok(stream::iter(present).chain(later).map(told))
}
