//! Pages with what belongs to each of their rows, in one statement: the page is cut first, then joined, so that the
//! joins cost no more than the page.

use diesel::expression::Expression;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;

use super::page::OrderBy;

/// `SELECT columns FROM before (page) after ORDER BY order`. What the text calls the page's rows is up to the text.
pub(super) struct Joined<C, P> {
    pub(super) columns: C,
    pub(super) before: &'static str,
    pub(super) page: P,
    pub(super) after: &'static str,
    pub(super) order: OrderBy,
}

impl<C: Expression, P> Query for Joined<C, P> {
    type SqlType = C::SqlType;
}

impl<C, P> QueryId for Joined<C, P> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<C: QueryFragment<Pg>, P: QueryFragment<Pg>> QueryFragment<Pg> for Joined<C, P> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        self.columns.walk_ast(out.reborrow())?;
        out.push_sql(" FROM ");
        out.push_sql(self.before);
        out.push_sql("(");
        self.page.walk_ast(out.reborrow())?;
        out.push_sql(") AS ");
        out.push_sql(self.after);
        out.push_sql(" ORDER BY ");
        self.order.walk_ast(out)
    }
}
