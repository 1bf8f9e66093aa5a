//! Statements of a test's own, for what no actor can do: arranging many rows, and looking behind the API.

use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use tally::config::DatabaseUrl;

/// A connection beside the store's.
pub(crate) struct Sql(AsyncPgConnection);

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Sql {
    pub(crate) async fn on(url: &DatabaseUrl) -> Self {
        Self(AsyncPgConnection::establish(url.reveal()).await.expect("PostgreSQL answers"))
    }

    /// Runs statements.
    pub(crate) async fn run(&mut self, statements: &str) {
        self.attempt(statements).await.unwrap_or_else(|error| panic!("{error}: {statements}"));
    }

    /// Runs statements that may be refused; then, why.
    pub(crate) async fn attempt(&mut self, statements: &str) -> Result<(), String> {
        self.0.batch_execute(statements).await.map_err(|error| error.to_string())
    }

    /// The answer to a question that selects one text, called `line`, of each row.
    pub(crate) async fn lines(&mut self, question: &str) -> Vec<String> {
        let rows: Vec<Line> = diesel::sql_query(question)
            .load(&mut self.0)
            .await
            .unwrap_or_else(|error| panic!("{error}: {question}"));
        rows.into_iter().map(|row| row.line).collect()
    }
}
