//! Covers of channels, uploaded: what goes beside the graph, since GraphQL has no way to send a file. `http` has the door.

use async_graphql::ServerError;
use bytes::Bytes;

use super::error::{ApiError, Result};
use super::{Graph, Requester, server_error};
use crate::auth::{Action, Denied};
use crate::media::{Uncovered, Unreadable};
use crate::store::{Channel, ChannelChange, Loc};

const NO_CHANNEL: ApiError = ApiError::NotFound { what: "channel" };

/// What came of a picture that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covered {
    /// It is the channel's, and is there: a path on this site.
    By(String),
    /// Nothing can be made of it.
    Not(Unreadable),
}

impl Graph {
    /// Whether the requester may upload a cover of the channel at `loc`, once more; it is counted.
    ///
    /// # Errors
    /// A ready answer: why not. What is somebody else's is not there.
    pub async fn may_cover(&self, loc: Loc, requester: &Requester) -> std::result::Result<(), ServerError> {
        self.coverable(loc, requester).await.map_err(server_error)?;
        let id = requester.viewer.id().map(|id| *id.0.as_bytes()).unwrap_or_default();
        self.parts.cover_limit.count(&id).map(drop).map_err(|wait| server_error(wait.into()))
    }

    /// Makes what was sent the cover of the channel at `loc`.
    ///
    /// # Errors
    /// As [`Graph::may_cover`]; or when it cannot be done now.
    pub async fn cover(
        &self,
        loc: Loc,
        sent: Bytes,
        requester: &Requester,
    ) -> std::result::Result<Covered, ServerError> {
        self.paint(loc, sent, requester).await.map_err(server_error)
    }

    async fn paint(&self, loc: Loc, sent: Bytes, requester: &Requester) -> Result<Covered> {
        let before = self.coverable(loc, requester).await?;
        let (covers, name) = (&self.parts.covers, self.parts.chance.opaque_id());
        let url = match covers.make(loc, name, sent).await {
            Ok(url) => url,
            Err(Uncovered::Unreadable(why)) => return Ok(Covered::Not(why)),
            Err(error) => return Err(error.into()),
        };
        let change = ChannelChange {
            image_url: Some(Some(url.clone())),
            updated_at: Some(self.parts.clock.now()),
            ..ChannelChange::default()
        };
        // Left over if the channel went meanwhile; swept later.
        self.parts.store.update_channel(before.id, &change).await?.ok_or(NO_CHANNEL)?;
        if let Some(last) = before.image_url {
            covers.forget(loc, &last).await;
        }
        Ok(Covered::By(url))
    }

    async fn coverable(&self, loc: Loc, Requester { viewer, .. }: &Requester) -> Result<Channel> {
        viewer.id().ok_or(ApiError::Unauthenticated("sign in first"))?;
        let channel = self.parts.store.channel_by_loc(loc).await?.ok_or(NO_CHANNEL)?;
        match viewer.may(Action::EditChannel(&channel)) {
            Ok(()) => Ok(channel),
            Err(Denied::Forbidden) => Err(NO_CHANNEL),
            Err(denied) => Err(denied.into()),
        }
    }
}
