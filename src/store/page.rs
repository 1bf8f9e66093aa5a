//! Pages of lists by keyset: a page begins where another row stands, not at an offset, so that rows which come
//! or go meanwhile make it neither repeat nor skip.

use diesel::backend::Backend;
use diesel::expression::{AppearsOnTable, Expression, NonAggregate, SelectableExpression, ValidGrouping};
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
use uuid::Uuid;

/// Where a row stands in an order: its sort key, then its id, which makes the place unique.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In an order by id alone, which is by time of creation.
    Id(Uuid),
    /// In an order by name.
    Text(String, Uuid),
    /// In an order by views of all time.
    Views(i64, Uuid),
    /// In an order by present viewers.
    Viewers(i64, Uuid),
}

/// Which rows of a list are wanted.
#[derive(Clone, Debug)]
pub struct Page {
    /// How many at the most.
    pub limit: i64,
    /// The last ones instead of the first.
    pub from_end: bool,
    /// Only rows behind this place.
    pub after: Option<Place>,
    /// Only rows before this place.
    pub before: Option<Place>,
}

impl Page {
    /// The first `limit` rows.
    pub fn first(limit: i64) -> Self {
        Self { limit, from_end: false, after: None, before: None }
    }

    /// The `LIMIT` to ask for: one row more than wanted tells whether there are more.
    pub(super) fn probe(&self) -> i64 {
        self.limit + 1
    }

    /// Makes the answer of what was read with [`Page::probe`], in reading order.
    pub(super) fn slice<T>(&self, mut rows: Vec<T>) -> Slice<T> {
        let more = i64::try_from(rows.len()).is_ok_and(|read| read > self.limit);
        if more {
            rows.pop();
        }
        if self.from_end {
            rows.reverse();
            Slice { rows, has_previous: more, has_next: self.before.is_some() }
        } else {
            Slice { rows, has_previous: self.after.is_some(), has_next: more }
        }
    }
}

/// A page that was read.
#[derive(Clone, Debug)]
pub struct Slice<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// Whether rows stand before them.
    pub has_previous: bool,
    /// Whether rows stand behind them.
    pub has_next: bool,
}

/// The columns that a list is ordered by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Columns {
    /// The sort key, when it is not the id.
    pub(super) key: Option<&'static str>,
    /// What makes a place unique.
    pub(super) id: &'static str,
    /// From the greatest on.
    pub(super) descending: bool,
}

impl Columns {
    /// What is between the bounds of `page`.
    pub(super) fn bounds(self, page: &Page) -> impl Iterator<Item = Beyond> {
        let (behind, ahead) = if self.descending { (" < ", " > ") } else { (" > ", " < ") };
        let after = page.after.clone().map(|place| Beyond { columns: self, operator: behind, place });
        let before = page.before.clone().map(|place| Beyond { columns: self, operator: ahead, place });
        after.into_iter().chain(before)
    }

    /// The order in which `page` is read, which is against the list's own for one from its end.
    pub(super) fn order(self, page: &Page) -> OrderBy {
        OrderBy(Self { descending: self.descending != page.from_end, ..self })
    }
}

/// How many rows are counted at the most: a list may have millions, and counting is asked for by anybody.
const COUNTED: i64 = 10_000;

/// `SELECT count(*)` of the rows of a query, up to [`COUNTED`].
#[derive(Debug)]
pub(super) struct Count<Q>(pub(super) Q);

impl<Q> Query for Count<Q> {
    type SqlType = BigInt;
}

impl<Q> QueryId for Count<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Count<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT count(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(&format!(" LIMIT {COUNTED}) AS counted"));
        Ok(())
    }
}

/// What stands behind `ORDER BY`. Unlike diesel's own, it lets a statement stay prepared.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderBy(Columns);

/// `(key, id) < (…, …)` or `>`: a comparison of whole rows, the only form for which PostgreSQL goes straight to
/// the place in an index over both, however many rows share one key.
#[derive(Debug, Clone)]
pub(super) struct Beyond {
    columns: Columns,
    operator: &'static str,
    place: Place,
}

impl Expression for Beyond {
    type SqlType = Bool;
}

impl QueryId for Beyond {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> AppearsOnTable<T> for Beyond {}
impl<T> SelectableExpression<T> for Beyond {}
impl<G> ValidGrouping<G> for Beyond {
    type IsAggregate = diesel::expression::is_aggregate::No;
}
const _: fn() = || {
    fn not_an_aggregate<T: NonAggregate>() {}
    not_an_aggregate::<Beyond>();
};

impl QueryFragment<Pg> for Beyond
where
    Pg: Backend,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self.columns {
            Columns { key: Some(key), id, .. } => out.push_sql(&format!("({key}, {id})")),
            Columns { key: None, id, .. } => out.push_sql(id),
        }
        out.push_sql(self.operator);
        match &self.place {
            Place::Id(id) => out.push_bind_param::<SqlUuid, _>(id)?,
            Place::Text(key, id) => {
                out.push_sql("(");
                out.push_bind_param::<Text, _>(key)?;
                out.push_sql(", ");
                out.push_bind_param::<SqlUuid, _>(id)?;
                out.push_sql(")");
            }
            Place::Views(key, id) | Place::Viewers(key, id) => {
                out.push_sql("(");
                out.push_bind_param::<BigInt, _>(key)?;
                out.push_sql(", ");
                out.push_bind_param::<SqlUuid, _>(id)?;
                out.push_sql(")");
            }
        }
        Ok(())
    }
}

impl Expression for OrderBy {
    type SqlType = Bool;
}

impl QueryId for OrderBy {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> AppearsOnTable<T> for OrderBy {}
impl<T> SelectableExpression<T> for OrderBy {}
impl<G> ValidGrouping<G> for OrderBy {
    type IsAggregate = diesel::expression::is_aggregate::No;
}

impl QueryFragment<Pg> for OrderBy {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let Columns { key, id, descending } = self.0;
        let direction = if descending { " DESC" } else { "" };
        if let Some(key) = key {
            out.push_sql(&format!("{key}{direction}, "));
        }
        out.push_sql(&format!("{id}{direction}"));
        Ok(())
    }
}

/// A condition as it stands here. Unlike diesel's own, it lets a statement stay prepared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verbatim(pub(super) &'static str);

impl Expression for Verbatim {
    type SqlType = Bool;
}

impl QueryId for Verbatim {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> AppearsOnTable<T> for Verbatim {}
impl<T> SelectableExpression<T> for Verbatim {}
impl<G> ValidGrouping<G> for Verbatim {
    type IsAggregate = diesel::expression::is_aggregate::No;
}

impl QueryFragment<Pg> for Verbatim {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_from_the_end_reads_forward() {
        let page = Page { from_end: true, ..Page::first(2) };
        let slice = page.slice(vec![3, 2, 1]);
        assert_eq!((slice.rows, slice.has_previous, slice.has_next), (vec![2, 3], true, false));
    }
}
