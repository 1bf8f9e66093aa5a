//! How PostgreSQL answers the lists of a large site, reading little more than the page, and does what is done to a few
//! of its rows: by its indexes. What is looked at are the plans of the very statements that the API sends, with their
//! parameters, as the server's own `auto_explain` writes them to its log; each is sent often enough for a prepared
//! statement's general plan to be considered.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};
use tally::ambient::Chance;
use tally::store::{Began, ChannelId, Connection, NewStream, Role, StreamId};

use crate::site::{Actor, Site};
use crate::sql::Sql;

const FILL: &str = include_str!("plans.sql");
/// Enough for every wrong plan to be dearer than the right one, and made in some seconds.
const CHANNELS: usize = 40_000;
/// After five times PostgreSQL may plan a prepared statement for all parameters alike.
const TIMES: usize = 8;

const ORDERS: [&str; 4] = ["NEWEST", "NAME", "MOST_VIEWED", "MOST_WATCHED_NOW"];

async fn filled(channels: usize) -> Site {
    let site = Site::start().await;
    let mut sql = Sql::on(&site.url).await;
    for statement in FILL.replace(":channels", &channels.to_string()).split(";\n") {
        sql.run(statement).await;
    }
    site
}

/// A question to the API and the most rows that may be read for its answer.
struct Question {
    document: String,
    variables: Value,
    most: f64,
}

/// A page and what it may look at besides: the probe, names of topics and owners, the end of the log.
const PAGE: f64 = 60.0;

fn channels(order: &str, filter: Value, page: Value, most: f64) -> Question {
    let document = "query ($page: Int, $last: Int, $after: String, $filter: ChannelFilter, $order: ChannelOrder) {
        channels(first: $page, last: $last, after: $after, filter: $filter, orderBy: $order) { nodes { name } pageInfo { endCursor } } }";
    let mut variables = json!({"filter": filter, "order": order});
    variables.as_object_mut().unwrap().extend(page.as_object().unwrap().clone());
    Question { document: document.to_owned(), variables, most }
}

fn streams(document: &str) -> Question {
    Question { document: document.to_owned(), variables: json!({}), most: PAGE }
}

/// The record of who did what, narrowed in every way.
async fn audit(admin: &Actor) -> Vec<Question> {
    let document = "query ($first: Int, $last: Int, $after: String, $actor: String, $subject: String, $kind: AuditKind) {
        auditRecords(first: $first, last: $last, after: $after, actor: $actor, subject: $subject, kind: $kind) {
            nodes { at } pageInfo { endCursor } } }";
    let middle = admin.data(document, json!({"first": 100})).await["auditRecords"]["pageInfo"].clone();
    let mut questions = Vec::new();
    for page in
        [json!({"first": 20}), json!({"last": 20}), json!({"first": 20, "after": middle["endCursor"]})]
    {
        for (filter, most) in [
            (json!({}), PAGE),
            (json!({"actor": "owner_7"}), PAGE),
            (json!({"subject": "owner_7"}), PAGE),
            (json!({"kind": "SUSPENDED"}), PAGE),
            // Those of a frequent kind are met with on the way.
            (json!({"kind": "KEY_READ"}), 4.0 * PAGE),
            (json!({"actor": "nobody_here"}), PAGE),
            // All that somebody did, if it must be.
            (json!({"actor": "owner_7", "kind": "KEY_READ"}), 2.0 * PAGE),
            (json!({"actor": "owner_7", "subject": "owner_8"}), 2.0 * PAGE),
        ] {
            let mut variables = filter;
            variables.as_object_mut().unwrap().extend(page.as_object().unwrap().clone());
            questions.push(Question { document: document.to_owned(), variables, most });
        }
    }
    questions
}

/// The users, narrowed in every way.
async fn users(admin: &Actor) -> Vec<Question> {
    let document = "query ($first: Int, $last: Int, $after: String, $search: String, $role: Role, $suspended: Boolean) {
        users(first: $first, last: $last, after: $after, search: $search, role: $role, suspended: $suspended) {
            nodes { handle } pageInfo { endCursor } } }";
    let middle = admin.data(document, json!({"first": 100})).await["users"]["pageInfo"].clone();
    let mut questions = Vec::new();
    for page in
        [json!({"first": 20}), json!({"last": 20}), json!({"first": 20, "after": middle["endCursor"]})]
    {
        for (filter, most) in [
            (json!({}), PAGE),
            (json!({"role": "VIEWER"}), PAGE),
            (json!({"role": "MODERATOR"}), PAGE),
            (json!({"suspended": true}), PAGE),
            (json!({"suspended": false}), PAGE),
            (json!({"suspended": true, "role": "VIEWER"}), PAGE),
            // All of the few that are one of the two, if it must be.
            (json!({"suspended": true, "role": "MODERATOR"}), 2.0 * PAGE),
            // Rare words are read from their index, frequent ones are met with on the way.
            (json!({"search": "zyzzyva"}), PAGE),
            (json!({"search": "龘"}), PAGE),
            (json!({"search": "qqq"}), PAGE),
            (json!({"search": "viewer"}), 1_000.0),
            (json!({"search": "o e"}), 1_000.0),
            (json!({"search": "zyzzyva", "role": "VIEWER"}), PAGE),
        ] {
            let mut variables = filter;
            variables.as_object_mut().unwrap().extend(page.as_object().unwrap().clone());
            questions.push(Question { document: document.to_owned(), variables, most });
        }
    }
    questions
}

/// Everything that the API's lists can be asked.
async fn questions(actor: &Actor) -> Vec<Question> {
    let mut questions = Vec::new();
    for order in ORDERS {
        let middle = channels(order, json!({}), json!({"page": 100}), 0.0);
        let page = actor.data(&middle.document, middle.variables).await;
        let middle = json!({"page": 20, "after": page["channels"]["pageInfo"]["endCursor"]});
        for page in [json!({"page": 20}), json!({"last": 20}), middle] {
            for (filter, most) in [
                (json!({}), PAGE),
                (json!({"topic": "topic-3"}), 300.0),
                (json!({"topic": "no-such-topic"}), PAGE),
                (json!({"owner": "owner_7"}), 2.0 * PAGE),
                // Each in the small table, then itself, to see that it fits and to be read.
                (json!({"live": true}), 2.0 * PAGE),
                // Those on the air may have to be passed over, and they are few.
                (json!({"live": false}), 2_100.0),
                (json!({"live": true, "topic": "topic-3"}), 2_100.0),
                (json!({"live": false, "topic": "topic-3"}), 2_100.0),
                (json!({"live": true, "owner": "owner_7"}), 2_100.0),
                (json!({"topic": "topic-3", "owner": "owner_7"}), 2.0 * PAGE),
                // Rare words are read from their index, frequent ones are met with on the way.
                (json!({"search": "zyzzyva"}), PAGE),
                (json!({"search": "龘"}), PAGE),
                (json!({"search": "zyzzyva 龘"}), PAGE),
                (json!({"search": "qqq"}), PAGE),
                (json!({"search": "medium"}), 1_000.0),
                (json!({"search": "e"}), 1_000.0),
                // In the order of names those with this word stand together, far from one of the ends.
                (json!({"search": "🎥"}), if order == "NAME" { 40_000.0 } else { 2_000.0 }),
                (json!({"search": "zyzzyva", "topic": "topic-3", "live": false}), 2.0 * PAGE),
            ] {
                questions.push(channels(order, filter, page.clone(), most));
            }
        }
    }
    for order in ["NEWEST", "MOST_WATCHED_NOW"] {
        for length in ["first: 20", "last: 20"] {
            for topic in ["", ", topic: \"topic-3\""] {
                let list =
                    format!("{{ liveStreams({length}, orderBy: {order}{topic}) {{ nodes {{ name }} }} }}");
                questions.push(streams(&list));
                // What is around each is looked up by its id, and the topics are few.
                let around = "name topic { name } channel { name owner { handle } topic { name } }";
                let list = list.replace("name", around);
                questions.push(Question { most: 8.0 * PAGE, ..streams(&list) });
            }
        }
    }
    let busy = actor.data("{ channels(filter: {owner: \"owner_1\"}) { nodes { loc } } }", json!({})).await;
    for node in busy["channels"]["nodes"].as_array().unwrap().iter().take(2) {
        for length in ["first: 20", "last: 20"] {
            questions.push(streams(&format!(
                "{{ channel(loc: {}) {{ stream {{ name }} pastStreams({length}) {{ totalCount nodes {{ name }} }} }} }}",
                node["loc"]
            )));
        }
    }
    let list = "query ($first: Int, $last: Int, $after: String) {
        recordings(first: $first, last: $last, after: $after) { nodes { name } pageInfo { endCursor } } }";
    let middle = actor.data(list, json!({"first": 100})).await["recordings"]["pageInfo"]["endCursor"].clone();
    for page in [json!({}), json!({"last": 20}), json!({"after": middle})] {
        questions.push(Question { document: list.to_owned(), variables: page, most: PAGE });
    }
    questions.extend(audit(actor).await);
    questions.extend(users(actor).await);
    questions.push(streams("{ user(handle: \"owner_7\") { channels { nodes { name } } } }"));
    questions
}

/// From now on the server's log has the plan of whatever runs on the site's database, and of what that brings about by
/// itself.
async fn explained(site: &Site) -> Sql {
    let mut sql = Sql::on(&site.url).await;
    let database = sql.lines("SELECT current_database()::text AS line").await.remove(0);
    sql.run(&format!(
        "ALTER DATABASE {database} SET session_preload_libraries = 'auto_explain';
         ALTER DATABASE {database} SET auto_explain.log_min_duration = 0;
         ALTER DATABASE {database} SET auto_explain.log_analyze = on;
         ALTER DATABASE {database} SET auto_explain.log_timing = off;
         ALTER DATABASE {database} SET auto_explain.log_nested_statements = on;
         ALTER DATABASE {database} SET auto_explain.log_format = json;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = '{database}' AND pid <> pg_backend_pid()"
    ))
    .await;
    // The connections of before are gone, as each is found to be when it is used; new ones are explained.
    for _ in 0..32 {
        let _ = site.anonymous().ask("{ topics { name } }", json!({})).await;
    }
    sql
}

/// How long PostgreSQL's log is.
async fn length(sql: &mut Sql) -> usize {
    let question = "SELECT (pg_stat_file(current_setting('data_directory') || '/../log')).size::text AS line";
    sql.lines(question).await[0].parse().unwrap()
}

/// What PostgreSQL has written to its log, from `start` on.
async fn log(sql: &mut Sql, start: usize) -> String {
    // Its own log lies beside its data, as script/with-postgres puts it.
    let question = format!(
        "SELECT coalesce(pg_read_file(current_setting('data_directory') || '/../log', {start}, 200000000), '') AS line"
    );
    sql.lines(&question).await.concat()
}

/// The plans in a piece of the log. The last one may be of another connection that was still writing it.
fn plans(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    let mut parts = log.split("plan:\n").skip(1).peekable();
    while let Some(part) = parts.next() {
        let json: String =
            part.lines().take_while(|line| line.starts_with('\t')).map(|line| &line[1..]).collect();
        match serde_json::from_str(&json) {
            Ok(plan) => plans.push(plan),
            Err(_) if parts.peek().is_none() => {}
            Err(error) => panic!("{error}: {json}"),
        }
    }
    plans
}

/// Goes through a plan: the rows that it read from tables, and the large tables that it read from end to end.
fn read(node: &Value, rows: &mut f64, scanned: &mut Vec<String>) {
    let number = |name: &str| node[name].as_f64().unwrap_or(0.0);
    if let Some(table) = node["Relation Name"].as_str() {
        let each = number("Actual Rows")
            + number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck");
        *rows += each * number("Actual Loops");
        if node["Node Type"] == "Seq Scan"
            && ["channels", "streams", "recordings", "audit_records"].contains(&table)
        {
            scanned.push(table.to_owned());
        }
    }
    for inner in node["Plans"].as_array().into_iter().flatten() {
        read(inner, rows, scanned);
    }
}

/// The lists that read more than they may.
async fn dear_lists(actor: &Actor, sql: &mut Sql) -> Vec<String> {
    let mut wrong = Vec::new();
    for Question { document, variables, most } in questions(actor).await {
        let start = length(sql).await;
        for _ in 0..TIMES {
            actor.data(&document, variables.clone()).await;
        }
        let seen = plans(&log(sql, start).await);
        assert!(seen.len() >= TIMES, "{document} {variables}: {} plans", seen.len());
        for plan in seen {
            let (mut rows, mut scanned) = (0.0, Vec::new());
            read(&plan["Plan"], &mut rows, &mut scanned);
            if !scanned.is_empty() || rows > most {
                wrong.push(format!("{variables}: {rows} rows, through {scanned:?}: {}", plan["Query Text"]));
                break;
            }
        }
    }
    wrong
}

/// Some channels whose streams are numbered, with their keys' hashes, and some that were deleted long ago; none of them is
/// on the air, and each has twenty streams behind it.
const OLD: &str = "
    UPDATE channels SET default_stream_name = 'Show {number}', key_hash = decode(md5(id::text), 'hex')
    WHERE loc IN (SELECT md5('loc' || n)::uuid FROM generate_series(2, 9) AS n);
    UPDATE channels SET deleted_at = '2000-01-01'
    WHERE deleted_at IS NOT NULL AND loc IN (SELECT md5('loc' || n)::uuid FROM generate_series(1, 400) AS n);
    VACUUM ANALYZE channels";
const NUMBERED: &str =
    "SELECT id || ' ' || encode(key_hash, 'hex') AS line FROM channels WHERE key_hash IS NOT NULL";

/// What may read more rows: the channels on the air, which are few, and the log's end, which whoever listens reads.
const BESIDE: [&str; 2] = ["FROM channels_on_the_air", "FROM \"events\""];

/// A publisher that comes with the key of one of those channels.
fn publisher(row: &str, number: i64, site: &Site) -> NewStream {
    let (id, hash) = row.split_once(' ').unwrap();
    let now = site.clock.now();
    NewStream {
        id: StreamId(Chance::system().id(now)),
        channel: ChannelId(id.parse().unwrap()),
        connection: Connection { node: "local".to_owned(), number: -number },
        worker: None,
        key_hash: (0..16).map(|at| u8::from_str_radix(&hash[at * 2..at * 2 + 2], 16).unwrap()).collect(),
        now,
        lease_until: now,
        longest_hold: now,
    }
}

/// The statements of what is done to a few channels and streams that read more than those; what PostgreSQL does by itself
/// when a channel is gone is among them.
async fn dear_deeds(site: &Site, sql: &mut Sql) -> BTreeMap<String, String> {
    let store = &site.store;
    for statement in OLD.split(';') {
        sql.run(statement).await;
    }
    let start = length(sql).await;
    for (round, row) in (1..).zip(&sql.lines(NUMBERED).await) {
        // All channels of every twentieth owner are on the air.
        let owner = store.user_by_handle(&format!("owner_{}", 20 * round + 1)).await.unwrap().unwrap();
        assert_eq!(store.locs_on_the_air(owner.id).await.unwrap().len(), CHANNELS / 1000);
        let (_, ended) = store.suspend(owner.id, "Spam", &site.deed()).await.unwrap();
        assert_eq!(ended.len(), CHANNELS / 1000);
        let new = publisher(row, round, site);
        let began = store.begin_streams(std::slice::from_ref(&new)).await.unwrap();
        assert!(matches!(began[..], [Began::Started(_)]), "{began:?}");
        store.next_start(new.channel, new.id).await.unwrap();
    }
    let purged = store.purge_channels("2001-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    assert_eq!(purged, TIMES);
    let seen = plans(&log(sql, start).await);
    for words in ["DELETE FROM ONLY \"public\".\"streams\"", "COUNT(*)"] {
        let meant = seen.iter().filter(|plan| plan["Query Text"].as_str().unwrap().contains(words));
        assert!(meant.count() >= TIMES, "{words}");
    }
    let mut wrong = BTreeMap::new();
    for plan in seen {
        let (mut rows, mut scanned) = (0.0, Vec::new());
        read(&plan["Plan"], &mut rows, &mut scanned);
        let statement = plan["Query Text"].as_str().unwrap();
        let beside = BESIDE.iter().any(|words| statement.contains(words));
        if !scanned.is_empty() || (rows > PAGE && !beside) {
            wrong.insert(statement.to_owned(), format!("{rows} rows, through {scanned:?}"));
        }
    }
    wrong
}

/// One test, since the server has one log.
#[tokio::test(flavor = "multi_thread")]
async fn no_list_reads_more_than_its_page_and_no_deed_more_than_it_is_about() {
    let site = filled(CHANNELS).await;
    let actor = site.actor("root", Role::Admin).await;
    let mut sql = explained(&site).await;
    let wrong = dear_lists(&actor, &mut sql).await;
    assert!(wrong.is_empty(), "{} questions: {:#?}", wrong.len(), &wrong[..wrong.len().min(8)]);
    assert_eq!(dear_deeds(&site, &mut sql).await, BTreeMap::new());
}

/// By hand: `script/with-postgres cargo test --release --test it a_million -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it fills a database with a million channels, which takes minutes"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn no_list_of_a_million_channels_comes_near_the_time_limit() {
    let site = filled(1_000_000).await;
    let actor = site.actor("root", Role::Admin).await;
    let mut slow = Vec::new();
    for Question { document, variables, .. } in questions(&actor).await {
        // The store gives a statement up after five seconds; this is the one list that is known to come near that.
        let far = variables["filter"]["search"] == "🎥" && variables["order"] == "NAME";
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let started = Instant::now();
            let answer = actor.ask(&document, variables.clone()).await;
            times.push(started.elapsed());
            assert!(far || answer["errors"].is_null(), "{variables}: {answer}");
        }
        times.sort();
        let (middle, worst) = (times[TIMES / 2], times[TIMES - 1]);
        println!(
            "{:>8.1} ms, at worst {:>8.1} ms  {variables} {}",
            middle.as_secs_f64() * 1e3,
            worst.as_secs_f64() * 1e3,
            if variables == json!({}) { document.as_str() } else { "" }
        );
        if middle.as_secs() >= 1 && !far {
            slow.push(variables);
        }
    }
    assert_eq!(slow, Vec::<Value>::new());
}
