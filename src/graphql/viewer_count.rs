//! The audience of channels, as it changes.

use async_graphql::{Context, Object, Subscription};
use futures_util::stream::{self, Stream as Counts, StreamExt, select_all};
use tokio::sync::watch;
use uuid::Uuid;

use super::channel::Channel;
use super::context::{Ask, Parts};
use super::error::{ApiError, Result};
use super::load::found;
use super::scalar::{DateTime, UuidScalar, int};
use super::source;
use crate::realtime::Audience;
use crate::store::{ChannelId, Loc};

/// The audience of a channel at a moment.
#[derive(Clone)]
pub(super) struct ViewerCount {
    loc: Loc,
    channel: ChannelId,
    audience: Audience,
}

/// The audience of a channel at a moment.
#[Object]
impl ViewerCount {
    /// The channel's address, as it was asked for.
    async fn loc(&self) -> UuidScalar {
        UuidScalar(self.loc.0)
    }

    /// The channel at that address, as it is now.
    async fn channel(&self, ctx: &Context<'_>) -> Result<Channel> {
        found(ctx.loader().load_one(self.channel).await?).map(Channel::from)
    }

    /// Viewer sessions now; 0 when off the air.
    async fn current_viewers(&self) -> i32 {
        self.audience.current
    }

    /// Distinct viewer sessions of the present broadcast so far; off the air, those of the last one, or 0.
    async fn total_viewers(&self) -> i32 {
        int(self.audience.total)
    }

    /// As of when.
    async fn at(&self) -> DateTime {
        DateTime(self.audience.at)
    }
}

/// Subscriptions to audiences.
#[derive(Default)]
pub(super) struct ViewerCountSubscription;

#[Subscription]
impl ViewerCountSubscription {
    /// The audience of each channel named (1 to 100): its present size at once, then each change, at most four a
    /// second per channel; a slow reader gets the newest figure, not a backlog. `NOT_FOUND` when there is no channel
    /// at one of the addresses.
    async fn viewer_count_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The addresses of 1 to 100 channels.")] locs: Vec<UuidScalar>,
    ) -> Result<impl Counts<Item = ViewerCount> + use<>> {
        source::follow(ctx, audiences(ctx.parts(), locs)).await
    }
}

/// The audiences of channels, each under its address.
async fn audiences(
    parts: &Parts,
    locs: Vec<UuidScalar>,
) -> Result<impl Counts<Item = (Option<Uuid>, ViewerCount)> + use<>> {
    if !(1..=100).contains(&locs.len()) {
        return Err(ApiError::bad("locs", "1 to 100 channels"));
    }
    let mut locs: Vec<Loc> = locs.into_iter().map(Loc::from).collect();
    locs.sort_unstable();
    locs.dedup();
    let channels = parts.store.channels_by_loc(&locs).await?;
    if channels.len() < locs.len() {
        return Err(ApiError::NotFound { what: "channel" });
    }
    let mut watched = channels.into_iter().map(|channel| {
        let count = move |audience| ViewerCount { loc: channel.loc, channel: channel.id, audience };
        changes(parts.presence.watch(channel.loc))
            .map(move |audience| (Some(channel.loc.0), count(audience)))
            .boxed()
    });
    Ok(match (watched.next(), watched.len()) {
        (Some(only), 0) => only,
        (first, _) => select_all(first.into_iter().chain(watched)).boxed(),
    })
}

/// The newest value whenever there is one; what was missed in between is of no interest.
fn changes(audience: watch::Receiver<Audience>) -> impl Counts<Item = Audience> {
    stream::unfold(audience, |mut audience| async move {
        audience.changed().await.ok()?;
        let newest = *audience.borrow_and_update();
        Some((newest, audience))
    })
}
