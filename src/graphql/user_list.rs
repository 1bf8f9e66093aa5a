//! Lists of users: all of them, for admins; those who were let into a channel.

use async_graphql::{Context, Object, SimpleObject};
use tokio::sync::OnceCell;

use super::context::Ask;
use super::error::Result;
use super::page::{PageArguments, PageInfo, lay_out, same_order};
use super::scalar::int;
use super::user::{Role, User};
use super::{input, page};
use crate::auth::Action;
use crate::store::{self, ChannelId, Invited, Page, Place, UserFilter};

/// Somebody in a list of users.
#[derive(SimpleObject, Clone)]
pub(super) struct UserEdge {
    /// Where this edge stands: pass it as `after` or `before`. It stays good when users come or go.
    cursor: String,
    /// The user.
    node: User,
}

/// Which users a list holds.
enum Who {
    /// Those who were let into that channel.
    Invited(ChannelId),
    /// Those of the whole site that fit.
    Fit(UserFilter),
}

/// A list of users; it reads what the document asks for, once.
pub(super) struct UserConnection {
    who: Who,
    page: Page,
    read: OnceCell<(Vec<UserEdge>, PageInfo)>,
}

impl UserConnection {
    /// Those who were invited to `channel`.
    pub(super) fn invited(channel: ChannelId, page: PageArguments) -> Result<Self> {
        Self::new(Who::Invited(channel), page)
    }

    fn new(who: Who, page: PageArguments) -> Result<Self> {
        let page = page.page()?;
        same_order(&page, &Place::Id(uuid::Uuid::nil()))?;
        Ok(Self { who, page, read: OnceCell::new() })
    }

    async fn read(&self, ctx: &Context<'_>) -> Result<&(Vec<UserEdge>, PageInfo)> {
        let read = async || {
            let (store, page) = (&ctx.parts().store, &self.page);
            let edge = |cursor, user| UserEdge { cursor, node: User(user) };
            Ok(match &self.who {
                Who::Invited(channel) => {
                    let (rows, info) = lay_out(store.list_invited(*channel, page).await?, Invited::place);
                    (rows.into_iter().map(|(cursor, row)| edge(cursor, row.user)).collect(), info)
                }
                Who::Fit(filter) => {
                    let (rows, info) = lay_out(store.list_users(filter, page).await?, store::User::place);
                    (rows.into_iter().map(|(cursor, user)| edge(cursor, user)).collect(), info)
                }
            })
        };
        self.read.get_or_try_init(read).await
    }
}

/// A page of a list of users.
#[Object]
impl UserConnection {
    /// The users of this page with their cursors.
    async fn edges(&self, ctx: &Context<'_>) -> Result<&[UserEdge]> {
        Ok(&self.read(ctx).await?.0)
    }

    /// The users of this page, for those who need no cursors.
    async fn nodes(&self, ctx: &Context<'_>) -> Result<Vec<&User>> {
        Ok(self.read(ctx).await?.0.iter().map(|edge| &edge.node).collect())
    }

    /// Where this page stands in its list.
    async fn page_info(&self, ctx: &Context<'_>) -> Result<PageInfo> {
        Ok(self.read(ctx).await?.1.clone())
    }

    /// How many users the whole list holds, up to 10,000; of a search up to 500. They are counted when asked for, so ask
    /// only when you show it.
    #[graphql(complexity = 50)]
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let store = &ctx.parts().store;
        let count = match &self.who {
            Who::Invited(channel) => store.count_invited(*channel).await?,
            Who::Fit(filter) => store.count_users(filter).await?,
        };
        Ok(int(count))
    }
}

/// Questions about all users.
#[derive(Default)]
pub(super) struct UserListQuery;

#[Object]
impl UserListQuery {
    #[expect(clippy::too_many_arguments, reason = "they are the field's arguments")]
    /// All users, the newest first. For admins only. What is given narrows the list; all of it must hold.
    #[graphql(complexity = "page::cost(first, last, child_complexity)")]
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the start, 1 to 100; 20 when neither `first` nor `last` is said.")]
        first: Option<i32>,
        #[graphql(desc = "Only those behind this edge's cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end, 1 to 100. Not together with `first`.")] last: Option<i32>,
        #[graphql(desc = "Only those before this edge's cursor.")] before: Option<String>,
        #[graphql(
            desc = "With each of these words, up to 8, anywhere in handle or display name: any part of a word in any script."
        )]
        search: Option<String>,
        #[graphql(desc = "Only those of this role, and of none above it.")] role: Option<Role>,
        #[graphql(desc = "True for those who are suspended, false for those who are not.")] suspended: Option<
            bool,
        >,
    ) -> Option<Result<UserConnection>> {
        let list = || {
            ctx.viewer().may(Action::ListUsers)?;
            let words = search.map(|search| input::words("search", &search)).transpose()?.unwrap_or_default();
            let filter = UserFilter { words, role: role.map(Into::into), suspended };
            let page = PageArguments { first, after, last, before };
            UserConnection::new(Who::Fit(filter), page)
        };
        Some(list())
    }
}
