//! Anything with an id, by its id.

use async_graphql::{Context, ID, Interface, Object};

use super::channel::Channel;
use super::clip::Clip;
use super::context::Ask;
use super::error::{ApiError, Result};
use super::page;
use super::recording::{self, Recording};
use super::scalar::NodeId;
use super::simulcast::{self, SimulcastTarget};
use super::stream::Stream;
use super::topic::Topic;
use super::user::User;

/// An object with an opaque, globally unique id; clients never parse it.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "The object's opaque, globally unique id."))]
pub(super) enum Node {
    User(User),
    Topic(Topic),
    Channel(Channel),
    Stream(Stream),
    Recording(Recording),
    Clip(Clip),
    SimulcastTarget(SimulcastTarget),
}

/// Questions by id.
#[derive(Default)]
pub(super) struct NodeQuery;

#[Object]
impl NodeQuery {
    /// The object of that id, or null when there is none.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "An id that an earlier answer held.")] id: ID,
    ) -> Option<Result<Node>> {
        load(ctx, &id).await.transpose()
    }

    /// The objects of those ids (1 to 100), in the order asked for, with null for ids of nothing.
    #[graphql(complexity = "page::LIST + ids.len() * child_complexity")]
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Ids that earlier answers held.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        if !(1..=100).contains(&ids.len()) {
            return Err(ApiError::bad("ids", "1 to 100 ids"));
        }
        futures_util::future::try_join_all(ids.iter().map(|id| load(ctx, id))).await
    }
}

async fn load(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>> {
    let Some(id) = NodeId::read(id) else { return Ok(None) };
    let loader = ctx.loader();
    Ok(match id {
        NodeId::User(id) => loader.load_one(id).await?.map(|row| Node::User(User(row))),
        NodeId::Topic(id) => loader.load_one(id).await?.map(|row| Node::Topic(Topic(row))),
        // By address a deleted channel is gone, and so it is by id, with its streams.
        NodeId::Channel(id) => {
            let there = loader.load_one(id).await?.filter(|row| row.deleted_at.is_none());
            there.map(|row| Node::Channel(row.into()))
        }
        NodeId::Stream(id) => match loader.load_one(id).await? {
            Some(row) => {
                let channel = loader.load_one(row.channel_id).await?;
                let there = channel.is_some_and(|channel| channel.deleted_at.is_none());
                there.then(|| Node::Stream(row.into()))
            }
            None => None,
        },
        NodeId::Clip(id) => loader.load_one(id).await?.map(|row| Node::Clip(row.into())),
        NodeId::Target(id) => simulcast::node(ctx, id).await?.map(Node::SimulcastTarget),
        NodeId::Recording(id) => recording::of_stream(ctx, id).await?.map(Node::Recording),
    })
}
