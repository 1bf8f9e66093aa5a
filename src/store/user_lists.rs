//! Lists of users. Each way to narrow one has its index in the migrations; `plans.rs` in the suite holds the two together.

use diesel::dsl::sql;
use diesel::expression::{AppearsOnTable, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Text, Uuid as SqlUuid};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::page::{Columns, Count, Verbatim};
use super::schema::users;
use super::{Page, Place, Result, Role, Slice, Store, User, UserId};

/// Users that hold the words of a search are gathered by their index when they are so many at the most; of more than
/// that enough are met with soon on a walk through the list.
const FEW: usize = 500;

/// Which users a list holds.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// With each of these words somewhere in handle or display name.
    pub words: Vec<String>,
    /// Of that role.
    pub role: Option<Role>,
    /// Shut out, or not.
    pub suspended: Option<bool>,
}

type Listed<'a> = users::BoxedQuery<'a, Pg>;

impl User {
    /// Where they stand in a list.
    pub fn place(&self) -> Place {
        Place::Id(self.id.0)
    }
}

impl UserFilter {
    fn list(&self) -> Listed<'_> {
        let mut list = users::table.into_boxed();
        if let Some(role) = self.role {
            // The word itself, since some are as rare as others are common.
            list = list.filter(sql::<Bool>(&format!("users.role = '{}'", role.word())));
        }
        match self.suspended {
            Some(true) => list = list.filter(Verbatim("users.suspended_at IS NOT NULL")),
            Some(false) => list = list.filter(Verbatim("users.suspended_at IS NULL")),
            None => {}
        }
        match &*self.words {
            [] => list,
            words => list.filter(Holds(words)),
        }
    }

    /// The list, of those whom the index knows when they are few; whether they are.
    async fn narrow(&self, connection: &mut AsyncPgConnection) -> QueryResult<(Listed<'_>, bool)> {
        if self.words.is_empty() {
            return Ok((self.list(), false));
        }
        let mut query = diesel::sql_query("SELECT id FROM users WHERE TRUE").into_boxed();
        for (word, place) in self.words.iter().zip(1..) {
            query = query.sql(format!(
                " AND search_grams(search_fold(handle || E'\\n' || display_name)) @> \
                 search_query(search_fold(${place}))"
            ));
            query = query.bind::<Text, _>(word);
        }
        let found: Vec<Found> = query.sql(format!(" LIMIT {}", FEW + 1)).load(connection).await?;
        if found.len() > FEW {
            return Ok((self.list(), false));
        }
        let ids: Vec<UserId> = found.into_iter().map(|found| found.id).collect();
        Ok((self.list().filter(users::id.eq_any(ids)), true))
    }
}

impl Store {
    /// A page of users, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_users(&self, filter: &UserFilter, page: &Page) -> Result<Slice<User>> {
        let mut connection = self.connection().await?;
        let (mut list, _) = filter.narrow(&mut connection).await?;
        let columns = Columns { key: None, id: "users.id", descending: true };
        for bound in columns.bounds(page) {
            list = list.filter(bound);
        }
        let list = list.order(columns.order(page)).limit(page.probe()).select(User::as_select());
        Ok(page.slice(list.load(&mut connection).await?))
    }

    /// How many users the whole list holds: up to 10,000, or up to 500 when words are searched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_users(&self, filter: &UserFilter) -> Result<i64> {
        let mut connection = self.connection().await?;
        let (list, is_few) = filter.narrow(&mut connection).await?;
        if filter.words.is_empty() || is_few {
            return Ok(Count(list.select(users::id)).get_result(&mut connection).await?);
        }
        let found = list.limit(FEW as i64).select(users::id).load::<UserId>(&mut connection).await?;
        Ok(found.len() as i64)
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = SqlUuid)]
    id: UserId,
}

/// Each of these words is in handle or display name.
#[derive(Debug, Clone, Copy)]
struct Holds<'a>(&'a [String]);

impl Expression for Holds<'_> {
    type SqlType = Bool;
}

impl QueryId for Holds<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl AppearsOnTable<users::table> for Holds<'_> {}
impl SelectableExpression<users::table> for Holds<'_> {}
impl<G> ValidGrouping<G> for Holds<'_> {
    type IsAggregate = is_aggregate::No;
}

impl QueryFragment<Pg> for Holds<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // Planned afresh each time: which way is best depends on how frequent the words are.
        out.unsafe_to_cache_prepared();
        out.push_sql("TRUE");
        for word in self.0 {
            out.push_sql(
                " AND strpos(search_fold(users.handle || E'\\n' || users.display_name), search_fold(",
            );
            out.push_bind_param::<Text, _>(word)?;
            out.push_sql(")) > 0");
        }
        Ok(())
    }
}
