//! The schema of the database: there and back again, and the same as the store believes it to be.

use std::collections::BTreeSet;

use tally::config::DatabaseUrl;
use tally::store::Store;

use crate::site::empty_database;
use crate::sql::Sql;

/// Everything that the migrations can make, in a form to compare: columns, indexes, constraints, functions.
const MADE: &str = "
    SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        || coalesce(' default ' || column_default, '') || coalesce(' generated ' || generation_expression, '')
        || coalesce(' collate ' || collation_name, '') AS line
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'statistics ' || pg_get_statisticsobjdef(oid) FROM pg_statistic_ext
    UNION ALL SELECT 'type ' || typname FROM pg_type
        WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL SELECT 'sequence ' || sequencename FROM pg_sequences WHERE schemaname = 'public'
    ORDER BY line";

async fn made(url: &DatabaseUrl) -> Vec<String> {
    let lines = Sql::on(url).await.lines(MADE).await;
    // diesel's own note of what has been run stays, empty.
    lines.into_iter().filter(|line| !line.contains("__diesel_schema_migrations")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_and_up_again() {
    let url = empty_database().await;
    let store = Store::new(url.clone()).unwrap();
    assert!(store.is_behind().await.unwrap());
    store.migrate().await.unwrap();
    assert!(!store.is_behind().await.unwrap());
    let first = made(&url).await;
    assert!(first.len() > 50, "{first:#?}");

    store.unmigrate().await.unwrap();
    assert_eq!(made(&url).await, Vec::<String>::new(), "nothing of ours is left");
    assert!(store.is_behind().await.unwrap());

    store.migrate().await.unwrap();
    assert_eq!(made(&url).await, first);
    store.migrate().await.expect("a second time there is nothing to do");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_beside_the_running_site_that_was_broken_off_is_run_again() {
    let url = empty_database().await;
    let store = Store::new(url.clone()).unwrap();
    store.migrate().await.unwrap();
    let first = made(&url).await;
    let mut sql = Sql::on(&url).await;
    // One was made, and that is not on record; another was not made to its end.
    sql.run(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'streams_of_channel'::regclass;
         DELETE FROM __diesel_schema_migrations WHERE version >= '20261129000022'",
    )
    .await;
    assert!(store.is_behind().await.unwrap());
    store.migrate().await.expect("it goes on where it was");
    assert_eq!(made(&url).await, first);
    let useless = "SELECT indexrelid::regclass::text AS line FROM pg_index WHERE NOT indisvalid";
    assert_eq!(sql.lines(useless).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_with_another_row_is_found_by_an_index() {
    let url = empty_database().await;
    Store::new(url.clone()).unwrap().migrate().await.unwrap();
    let mut sql = Sql::on(&url).await;
    let going = "SELECT conrelid::regclass || '.' || attname AS line
        FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
        WHERE contype = 'f' AND confdeltype = 'c'";
    let all = sql.lines(going).await;
    assert!(all.contains(&"streams.channel_id".to_owned()) && all.len() > 8, "{all:?}");
    // One of some rows only does not help: PostgreSQL looks for whichever refer to the row.
    let unfound = format!(
        "{going} AND NOT EXISTS (SELECT FROM pg_index
            WHERE indrelid = conrelid AND indkey[0] = conkey[1] AND indpred IS NULL AND indisvalid)"
    );
    assert_eq!(sql.lines(&unfound).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_here_is_the_table_there() {
    let url = empty_database().await;
    Store::new(url.clone()).unwrap().migrate().await.unwrap();
    let there = Sql::on(&url)
        .await
        .lines(
            "SELECT table_name || '.' || column_name || ' ' || data_type
                || CASE is_nullable WHEN 'YES' THEN ' or null' ELSE '' END AS line
             FROM information_schema.columns
             WHERE table_schema = 'public'
             -- But for the first these are kept by triggers, and diesel never reads a row of them.
             AND table_name NOT IN ('__diesel_schema_migrations', 'channel_search', 'channels_on_the_air')",
        )
        .await;
    let here = columns_here(include_str!("../../src/store/schema.rs"));
    assert_eq!(here, there.into_iter().collect::<BTreeSet<_>>());
}

/// The columns in diesel's words, put into those of the database.
fn columns_here(source: &str) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    let mut table = "";
    for line in source.lines().map(str::trim) {
        if let Some((name, _)) = line.strip_suffix(" {").and_then(|head| head.split_once(" (")) {
            table = name;
        }
        let Some((column, diesel)) = line.trim_end_matches(',').split_once(" -> ") else { continue };
        if line.starts_with("joinable") {
            continue;
        }
        let (diesel, null) = match diesel.strip_prefix("Nullable<").and_then(|it| it.strip_suffix('>')) {
            Some(inner) => (inner, " or null"),
            None => (diesel, ""),
        };
        let there = match diesel {
            "Uuid" => "uuid",
            "Text" => "text",
            "Bytea" => "bytea",
            "Bool" => "boolean",
            "Int4" => "integer",
            "Int8" => "bigint",
            "Jsonb" => "jsonb",
            "Array<Nullable<Int4>>" => "ARRAY",
            "Timestamptz" => "timestamp with time zone",
            other => panic!("which type is {other} in the database?"),
        };
        columns.insert(format!("{table}.{column} {there}{null}"));
    }
    columns
}
