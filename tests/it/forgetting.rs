//! What is kept for a time and then forgotten, also when something of it cannot be.

use std::time::Duration;

use serde_json::json;
use tally::command::sweep::forget;

use crate::nginx::Stage;
use crate::sql::Sql;

/// The tables that still have rows.
const KEPT: &str = "SELECT 'attempts' AS line WHERE EXISTS (SELECT FROM attempts)
    UNION ALL SELECT 'audit_records' WHERE EXISTS (SELECT FROM audit_records)
    UNION ALL SELECT 'channels' WHERE EXISTS (SELECT FROM channels)
    UNION ALL SELECT 'events' WHERE EXISTS (SELECT FROM events)
    ORDER BY line";

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_forgotten_keeps_nothing_but_what_must_outlive_it() {
    for (refused, kept) in [
        // A channel's events go with it, which a reader who comes from before them must be told.
        ("UPDATE ON event_log", &["channels", "events"][..]),
        ("DELETE ON channels", &["channels"]),
        ("DELETE ON attempts", &["attempts"]),
        ("DELETE ON audit_records", &["audit_records"]),
    ] {
        let stage = Stage::with(&[], json!({"idempotencyKey": "k"})).await;
        stage.on_the_air(1).await;
        stage.change(&stage.owner, "deleteChannel", "id", "deletedChannelId").await;
        let mut sql = Sql::on(&stage.site.url).await;
        assert_eq!(sql.lines(KEPT).await, ["attempts", "audit_records", "channels", "events"]);
        sql.run(&format!(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
             CREATE TRIGGER refuse BEFORE {refused} FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
        ))
        .await;
        stage.site.clock.advance(Duration::from_secs(366 * 24 * 3600));
        let error = forget(&stage.site.store, &stage.site.clock).await.expect_err(refused);
        assert!(error.to_string().contains("refused"), "{error}");
        assert_eq!(sql.lines(KEPT).await, kept, "{refused}");
        sql.run("DROP FUNCTION refuse CASCADE").await;
        forget(&stage.site.store, &stage.site.clock).await.unwrap();
        assert_eq!(sql.lines(KEPT).await, Vec::<String>::new(), "{refused}");
    }
}
