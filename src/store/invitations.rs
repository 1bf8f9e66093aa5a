//! Who may watch a protected channel besides its owner: whom the owner has invited, and who has the channel's password.

use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::page::{Columns, Count};
use super::schema::{channels, invitations, users};
use super::{ChannelId, Page, Place, Result, Slice, Store, User, UserId};

/// A user who may watch a channel.
#[derive(Clone, Debug)]
pub struct Invited {
    /// Who.
    pub user: User,
    id: Uuid,
}

impl Invited {
    /// Where it stands in the list.
    pub fn place(&self) -> Place {
        Place::Id(self.id)
    }
}

type Listed<'a> = diesel::dsl::IntoBoxed<'a, diesel::dsl::InnerJoin<invitations::table, users::table>, Pg>;

impl Store {
    /// Lets a user watch a channel; one who may already stays where they are in the list.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invite(&self, id: Uuid, channel: ChannelId, user: UserId) -> Result<()> {
        let invitation =
            (invitations::id.eq(id), invitations::channel_id.eq(channel), invitations::user_id.eq(user));
        let made = diesel::insert_into(invitations::table).values(invitation).on_conflict_do_nothing();
        made.execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// Lets a user watch no longer; false when there was no invitation.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn uninvite(&self, channel: ChannelId, user: UserId) -> Result<bool> {
        let invitation = invitations::table
            .filter(invitations::channel_id.eq(channel))
            .filter(invitations::user_id.eq(user));
        Ok(diesel::delete(invitation).execute(&mut self.connection().await?).await? > 0)
    }

    /// Whether a user was invited to a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_invited(&self, channel: ChannelId, user: UserId) -> Result<bool> {
        let invitation = invitations::table
            .filter(invitations::channel_id.eq(channel))
            .filter(invitations::user_id.eq(user));
        Ok(diesel::select(diesel::dsl::exists(invitation)).get_result(&mut self.connection().await?).await?)
    }

    /// A page of those who were invited to a channel, the last one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_invited(&self, channel: ChannelId, page: &Page) -> Result<Slice<Invited>> {
        let columns = Columns { key: None, id: "invitations.id", descending: true };
        let mut list = invited(channel);
        for bound in columns.bounds(page) {
            list = list.filter(bound);
        }
        let list = list.order(columns.order(page)).limit(page.probe());
        let rows = list
            .select((User::as_select(), invitations::id))
            .load::<(User, Uuid)>(&mut self.connection().await?)
            .await?;
        Ok(page.slice(rows.into_iter().map(|(user, id)| Invited { user, id }).collect()))
    }

    /// How many were invited to a channel.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_invited(&self, channel: ChannelId) -> Result<i64> {
        let counted = Count(invited(channel).select(invitations::id));
        Ok(counted.get_result(&mut self.connection().await?).await?)
    }

    /// The hash of a channel's password, and which password it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel_password(&self, channel: ChannelId) -> Result<Option<(Uuid, String)>> {
        let found = channels::table
            .find(channel)
            .filter(channels::password_id.is_not_null())
            .select((channels::password_id.assume_not_null(), channels::password_hash.assume_not_null()));
        Ok(found.first(&mut self.connection().await?).await.optional()?)
    }
}

fn invited(channel: ChannelId) -> Listed<'static> {
    invitations::table.inner_join(users::table).filter(invitations::channel_id.eq(channel)).into_boxed()
}
