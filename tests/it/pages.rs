//! Pages: every order in both directions, rows that come and go meanwhile, filters, and search in any script.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};
use crate::sql::Sql;

const LIST: &str = "query ($first: Int, $after: String, $last: Int, $before: String, $filter: ChannelFilter, $order: ChannelOrder) {
    channels(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $order) {
        totalCount edges { cursor node { id } } nodes { id name }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

async fn list(actor: &Actor, variables: Value) -> Value {
    let mut data = actor.data(LIST, variables).await;
    let page = data["channels"].take();
    let edges: Vec<&Value> =
        page["edges"].as_array().unwrap().iter().map(|edge| &edge["node"]["id"]).collect();
    let nodes: Vec<&Value> = page["nodes"].as_array().unwrap().iter().map(|node| &node["id"]).collect();
    assert_eq!(edges, nodes);
    assert_eq!(
        page["pageInfo"]["startCursor"],
        page["edges"].as_array().unwrap().first().map_or(Value::Null, |it| it["cursor"].clone())
    );
    assert_eq!(
        page["pageInfo"]["endCursor"],
        page["edges"].as_array().unwrap().last().map_or(Value::Null, |it| it["cursor"].clone())
    );
    page
}

fn ids(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["id"].as_str().unwrap().to_owned()).collect()
}

fn names(page: &Value) -> Vec<String> {
    let nodes = page["nodes"].as_array().unwrap().iter();
    nodes.map(|node| node["name"].as_str().unwrap().to_owned()).collect()
}

/// As readers expect them: by letter, capitals and accents aside, then the scripts one after another.
const NAMES: [&str; 7] = ["🎥 show", "alpha", "Åse", "Beta", "été", "中文", "围棋"];

/// Three dozen channels with many ties: `(id, rank of the name, views, viewers)`.
async fn three_dozen(site: &Site, mia: &Actor) -> Vec<(String, usize, i64, i64)> {
    let mut rows = Vec::new();
    let mut sql = Sql::on(&site.url).await;
    for number in 0..36_usize {
        let rank = (number * 5) % NAMES.len();
        let id = mia.channel(NAMES[rank], json!({})).await["id"].as_str().unwrap().to_owned();
        let (views, viewers) = ((number * 7 % 4) as i64, (number * 3 % 5) as i64);
        let uuid = id.strip_prefix("ch_").unwrap();
        sql.run(&format!(
            "UPDATE channels SET views = {views}, current_viewers = {viewers} WHERE id = '{uuid}'"
        ))
        .await;
        rows.push((id, rank, views, viewers));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_reads_the_same_list_from_both_ends_at_any_size() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let rows = three_dozen(&site, &mia).await;
    type Row = (String, usize, i64, i64);
    type Rule = fn(&Row, &Row) -> Ordering;
    let orders: [(&str, Rule); 4] = [
        ("NEWEST", |a, b| b.0.cmp(&a.0)),
        ("NAME", |a, b| (a.1, &a.0).cmp(&(b.1, &b.0))),
        ("MOST_VIEWED", |a, b| (b.2, &b.0).cmp(&(a.2, &a.0))),
        ("MOST_WATCHED_NOW", |a, b| (b.3, &b.0).cmp(&(a.3, &a.0))),
    ];
    for (order, rule) in orders {
        let mut expected = rows.clone();
        expected.sort_by(rule);
        let expected: Vec<String> = expected.into_iter().map(|row| row.0).collect();
        for size in [1, 5, 12, 100] {
            let (mut forward, mut after) = (Vec::new(), Value::Null);
            loop {
                let page = list(&mia, json!({"first": size, "after": after, "order": order})).await;
                assert_eq!(page["totalCount"], 36);
                assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null(), "{order} {size}");
                forward.extend(ids(&page));
                after = page["pageInfo"]["endCursor"].clone();
                assert_eq!(page["pageInfo"]["hasNextPage"], forward.len() < 36, "{order} {size}");
                if forward.len() >= 36 {
                    break;
                }
            }
            assert_eq!(forward, expected, "{order} by {size}");

            let (mut backward, mut before): (Vec<String>, Value) = (Vec::new(), Value::Null);
            loop {
                let page = list(&mia, json!({"last": size, "before": before, "order": order})).await;
                assert_eq!(page["pageInfo"]["hasNextPage"], !before.is_null(), "{order} {size}");
                backward.splice(0..0, ids(&page));
                before = page["pageInfo"]["startCursor"].clone();
                assert_eq!(page["pageInfo"]["hasPreviousPage"], backward.len() < 36, "{order} {size}");
                if backward.len() >= 36 {
                    break;
                }
            }
            assert_eq!(backward, expected, "{order} by {size} from the end");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_between_two_cursors_holds_what_stands_between_them() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    three_dozen(&site, &mia).await;
    let all = list(&mia, json!({"first": 100, "order": "NAME"})).await;
    let (cursor, all) = (|at: usize| all["edges"][at]["cursor"].clone(), ids(&all));
    let between = |more: Value| {
        let mut variables = json!({"after": cursor(9), "before": cursor(20), "order": "NAME"});
        variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        variables
    };
    assert_eq!(ids(&list(&mia, between(json!({"first": 100}))).await), all[10..20]);
    assert_eq!(ids(&list(&mia, between(json!({"first": 3}))).await), all[10..13]);
    assert_eq!(ids(&list(&mia, between(json!({"last": 3}))).await), all[17..20]);
    assert_eq!(ids(&list(&mia, json!({"order": "NAME"})).await).len(), 20, "when nothing is said");
    let empty = list(&mia, json!({"after": cursor(20), "before": cursor(9), "order": "NAME"})).await;
    assert_eq!(empty["nodes"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_are_neither_repeated_nor_skipped() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    let rows = three_dozen(&site, &mia).await;
    let delete =
        "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }";
    for order in ["NEWEST", "NAME", "MOST_VIEWED", "MOST_WATCHED_NOW"] {
        let before = ids(&list(&mia, json!({"first": 100, "order": order})).await);
        let (mut seen, mut after, mut deleted) = (Vec::new(), Value::Null, Vec::new());
        loop {
            let page = list(&mia, json!({"first": 5, "after": after, "order": order})).await;
            seen.extend(ids(&page));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
            mia.channel(NAMES[seen.len() % NAMES.len()], json!({})).await;
            // The very row that the cursor stands on goes, and one that is still to come.
            for gone in
                [seen.last(), before.iter().rev().find(|id| !seen.contains(id) && !deleted.contains(*id))]
            {
                let Some(gone) = gone.cloned().filter(|_| deleted.len() < 4) else { continue };
                mia.data(delete, json!({"input": {"id": gone}})).await;
                deleted.push(gone);
            }
        }
        let mut unique = seen.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), seen.len(), "{order}: something came twice");
        let missing: Vec<_> =
            before.iter().filter(|id| !seen.contains(id) && !deleted.contains(id)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "{order}: something was skipped");
    }
    assert_eq!(rows.len(), 36);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_page_is_refused_with_its_field() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    for name in ["One", "Two"] {
        mia.channel(name, json!({})).await;
    }
    let mut cursors = Vec::new();
    for order in ["NEWEST", "NAME", "MOST_VIEWED", "MOST_WATCHED_NOW"] {
        cursors.push((order, list(&mia, json!({"order": order})).await["pageInfo"]["startCursor"].clone()));
    }
    let mut refused = vec![
        (json!({"first": 0}), "first"),
        (json!({"first": -1}), "first"),
        (json!({"first": 101}), "first"),
        (json!({"last": 0}), "last"),
        (json!({"last": 101}), "last"),
        (json!({"first": 1, "last": 1}), "last"),
        (json!({"after": "nonsense"}), "after"),
        (json!({"after": ""}), "after"),
        (json!({"before": "%00"}), "before"),
    ];
    for (of, cursor) in &cursors {
        for (order, _) in &cursors {
            if of != order {
                refused.push((json!({"after": cursor, "order": order}), "after"));
                refused.push((json!({"before": cursor, "order": order}), "before"));
            }
        }
    }
    for (variables, field) in refused {
        let expected = ("BAD_USER_INPUT".to_owned(), Some(field.to_owned()));
        assert_eq!(mia.error(LIST, variables.clone()).await, expected, "{variables}");
    }
    let streams = "query ($after: String) { liveStreams(after: $after) { nodes { id } } }";
    let mine =
        "query ($after: String) { user(handle: \"mia\") { channels(after: $after) { nodes { id } } } }";
    let expected = ("BAD_USER_INPUT".to_owned(), Some("after".to_owned()));
    assert_eq!(mia.error(streams, json!({"after": cursors[0].1})).await, expected);
    assert_eq!(mia.error(mine, json!({"after": cursors[1].1})).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_narrow_alone_and_together() {
    let site = Site::start().await;
    let (mia, tom) = (site.actor("mia", Role::Admin).await, site.actor("tom", Role::Streamer).await);
    let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }";
    for slug in ["go", "chess"] {
        mia.data(create, json!({"input": {"slug": slug, "name": slug}})).await;
    }
    let mut number = 0;
    for (owner, name, topic, live) in [
        (&mia, "a go live", Some("go"), true),
        (&mia, "b chess", Some("chess"), false),
        (&mia, "c none", None, false),
        (&tom, "d go", Some("go"), false),
        (&tom, "e chess live", Some("chess"), true),
        (&tom, "f none live", None, true),
    ] {
        let channel = owner.channel(name, json!({"topic": topic})).await;
        if live {
            number += 1;
            let key = channel["key"].as_str().unwrap();
            let form = format!("app=live&clientid={number}&call=publish&name={key}&type=live");
            assert_eq!(site.callback("publish", &form).await.0, 302);
        }
    }
    for (filter, expected) in [
        (json!({}), "abcdef"),
        (json!({"topic": "go"}), "ad"),
        (json!({"topic": "nothing"}), ""),
        (json!({"topic": ""}), ""),
        (json!({"topic": "g\u{0}"}), ""),
        (json!({"owner": "mia"}), "abc"),
        (json!({"owner": "MIA"}), ""),
        (json!({"owner": "nobody\u{0}"}), ""),
        (json!({"live": true}), "aef"),
        (json!({"live": false}), "bcd"),
        (json!({"search": "none"}), "cf"),
        (json!({"topic": "go", "owner": "tom"}), "d"),
        (json!({"topic": "go", "live": true}), "a"),
        (json!({"owner": "tom", "live": true}), "ef"),
        (json!({"owner": "tom", "live": false, "search": "go"}), "d"),
        (json!({"owner": "tom", "live": true, "topic": "chess", "search": "live e"}), "e"),
        (json!({"owner": "mia", "live": true, "topic": "chess"}), ""),
        (json!({"topic": null, "owner": null, "live": null, "search": null}), "abcdef"),
    ] {
        for order in ["NAME", "NEWEST", "MOST_VIEWED", "MOST_WATCHED_NOW"] {
            let page = list(&mia, json!({"filter": filter, "order": order})).await;
            let mut first: Vec<char> = names(&page).iter().filter_map(|name| name.chars().next()).collect();
            first.sort_unstable();
            assert_eq!(first.iter().collect::<String>(), expected, "{filter} {order}");
            assert_eq!(page["totalCount"], expected.len(), "{filter} {order}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_any_part_of_a_name_or_description_in_any_script() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Streamer).await;
    for (name, description) in [
        ("1 Rust 直播", "Programming on Air\nevery day"),
        ("2 围棋直播间", "職業棋士"),
        ("3 日本語の配信", ""),
        ("4 emoji 🎥👩‍🚀 show", ""),
        ("5 ＦＵＬＬ　ＷＩＤＴＨ", "ｶﾀｶﾅ"),
        ("6 50% off_the\\wall", ""),
        ("7 500 offXthe wall", "café"),
        ("8 ÉTÉ İstanbul", "cafe\u{301} ﬁne"),
    ] {
        mia.channel(name, json!({"description": description})).await;
    }
    for (search, expected) in [
        ("", "12345678"),
        ("   ", "12345678"),
        ("直", "12"),
        ("直播", "12"),
        ("围棋直", "2"),
        ("围棋直播间", "2"),
        ("棋 直播", "2"),
        ("棋士", "2"),
        ("の", "3"),
        ("🎥", "4"),
        ("👩‍🚀", "4"),
        ("EMOJI", "4"),
        ("r", "14567"),
        ("ru", "1"),
        ("RUST", "1"),
        ("ｒｕｓｔ", "1"),
        ("ust 播 air", "1"),
        ("air programming", "1"),
        ("full width", "5"),
        ("カタカナ", "5"),
        ("50%", "6"),
        ("%", "6"),
        ("_", "6"),
        ("\\", "6"),
        ("off_the", "6"),
        ("50", "67"),
        ("'", ""),
        ("été", "8"),
        ("café", "78"),
        ("fine", "8"),
        ("ﬁn", "8"),
        ("show show", "4"),
        ("nothing", ""),
        ("1 围", ""),
        ("airevery", ""),
    ] {
        let page = list(&mia, json!({"filter": {"search": search}, "order": "NAME"})).await;
        let found: String = names(&page).iter().filter_map(|name| name.chars().next()).collect();
        if search != "r" {
            assert_eq!(found, expected, "{search:?}");
            assert_eq!(page["totalCount"], expected.len(), "{search:?}");
        }
    }
    for bad in ["a\u{0}b", "a\nb", "\u{202E}a", &"x".repeat(101)] {
        let refused = mia.error(LIST, json!({"filter": {"search": bad}})).await;
        assert_eq!(refused, ("BAD_USER_INPUT".to_owned(), Some("filter.search".to_owned())), "{bad:?}");
    }
    list(&mia, json!({"filter": {"search": "x".repeat(100)}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broadcasts_on_the_air_and_over_are_pages_too() {
    let site = Site::start().await;
    let mia = site.actor("mia", Role::Admin).await;
    let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }";
    mia.data(create, json!({"input": {"slug": "go", "name": "go"}})).await;
    let end = "mutation ($input: EndStreamInput!) { endStream(input: $input) { stream { uuid } } }";
    let mut sql = Sql::on(&site.url).await;
    let busy = mia.channel("busy", json!({"topic": "go"})).await;
    let publish = async |channel: &Value, number: u32| {
        let form = format!(
            "app=live&clientid={number}&call=publish&name={}&type=live",
            channel["key"].as_str().unwrap()
        );
        assert_eq!(site.callback("publish", &form).await.0, 302);
    };
    let mut past = Vec::new();
    for number in 0..7 {
        publish(&busy, number).await;
        let ended = mia.data(end, json!({"input": {"channelId": busy["id"]}})).await;
        past.insert(0, ended["endStream"]["stream"]["uuid"].clone());
        site.clock.advance(std::time::Duration::from_secs(60));
    }
    let mut live = Vec::new();
    for number in 10..17 {
        let topic = json!({"topic": if number % 2 == 0 { Some("go") } else { None }});
        let channel = mia.channel("one", topic).await;
        publish(&channel, number).await;
        site.clock.advance(std::time::Duration::from_millis(1));
        let loc = channel["loc"].as_str().unwrap();
        let viewers = number % 3;
        sql.run(&format!("UPDATE streams SET current_viewers = {viewers}, peak_viewers = 9, total_viewers = 9 WHERE loc = '{loc}'")).await;
        live.push((viewers, number, loc.to_owned()));
    }

    let of_channel = "query ($loc: UUID!, $first: Int, $after: String, $last: Int, $before: String) { channel(loc: $loc) {
        pastStreams(first: $first, after: $after, last: $last, before: $before) {
            totalCount nodes { uuid state } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let page = async |more: Value| {
        let mut variables = json!({"loc": busy["loc"]});
        variables.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mia.data(of_channel, variables).await["channel"]["pastStreams"].take()
    };
    let uuids = |page: &Value| -> Vec<Value> {
        page["nodes"].as_array().unwrap().iter().map(|node| node["uuid"].clone()).collect()
    };
    let first = page(json!({"first": 3})).await;
    assert_eq!((uuids(&first), &first["totalCount"]), (past[..3].to_vec(), &json!(7)));
    let second = page(json!({"first": 10, "after": first["pageInfo"]["endCursor"]})).await;
    assert_eq!(uuids(&second), past[3..]);
    assert_eq!(uuids(&page(json!({"last": 2})).await), past[5..]);
    assert_eq!(
        uuids(&page(json!({"last": 2, "before": second["pageInfo"]["startCursor"]})).await),
        past[1..3]
    );

    let on_the_air = "query ($first: Int, $after: String, $topic: String, $order: StreamOrder) {
        liveStreams(first: $first, after: $after, topic: $topic, orderBy: $order) {
            totalCount nodes { channel { loc } } pageInfo { hasNextPage endCursor } } }";
    for (order, topic) in [
        ("NEWEST", None),
        ("NEWEST", Some("go")),
        ("MOST_WATCHED_NOW", None),
        ("MOST_WATCHED_NOW", Some("go")),
    ] {
        let mut expected: Vec<_> =
            live.iter().filter(|(_, number, _)| topic.is_none() || number % 2 == 0).collect();
        expected.sort_by_key(|(viewers, number, _)| {
            std::cmp::Reverse((if order == "NEWEST" { 0 } else { *viewers }, *number))
        });
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let variables = json!({"first": 2, "after": after, "topic": topic, "order": order});
            let page = mia.data(on_the_air, variables).await["liveStreams"].take();
            assert_eq!(page["totalCount"], expected.len());
            let locs = page["nodes"].as_array().unwrap().iter();
            seen.extend(locs.map(|node| node["channel"]["loc"].as_str().unwrap().to_owned()));
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(seen, expected.iter().map(|row| row.2.clone()).collect::<Vec<_>>(), "{order} {topic:?}");
    }
    for topic in ["nothing", "", "g\u{0}"] {
        let none = mia.data(on_the_air, json!({"topic": topic})).await;
        assert_eq!(
            (&none["liveStreams"]["nodes"], &none["liveStreams"]["totalCount"]),
            (&json!([]), &json!(0))
        );
    }
}
