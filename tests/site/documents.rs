//! What the dearest documents cost an optimised program, on the real schema and among a hundred streams: `make cost`.

use std::fs;

use serde_json::{Value, json};

use crate::attacks::{Attack, Root, attacks, hidden};
use crate::support::{Actor, Channel, Site, descendants};

/// What a document may cost the API, in milliseconds of processor.
const MOST: f64 = 20.0;
/// The cost by the rules of the schema that most of the dear ones come close to, and none may have more of.
const DEAREST: u64 = 10_000;

const ROOT: Root = Root {
    plain: "__typename",
    other: "topics { id }",
    taking: |text| format!("channels(filter: {{search: {text}}}) {{ __typename }}"),
    given: |arguments| format!("channels({arguments}) {{ __typename }}"),
};

const CHANNEL: &str = "id loc name description imageUrl chatEnabled clipsEnabled record protected opensWithPassword
    defaultStreamName views currentViewers createdAt updatedAt topic { id slug name } owner { id handle displayName }";
const STREAM: &str =
    "id uuid name state currentViewers peakViewers totalViewers startedAt endedAt stopReason pageUrl
    playbackUrl dvrUrl thumbnailUrl previewUrl";

/// As much as the limit on cost admits.
fn dear(ids: &[String], locs: &[String]) -> Vec<Attack> {
    let query = |name, query| Attack { name, query, variables: json!({}) };
    let a_hundred = |field: &str| format!("{field}(first: 100) {{ nodes");
    vec![
        query(
            "channels",
            format!("{{ {} {{ {CHANNEL} stream {{ {STREAM} }} }} }} }}", a_hundred("channels")),
        ),
        query(
            "streams",
            format!("{{ {} {{ {STREAM} channel {{ {CHANNEL} }} }} }} }}", a_hundred("liveStreams")),
        ),
        query(
            "one field of many names",
            format!(
                "{{ {} {{ {} }} }} }}",
                a_hundred("channels"),
                (0..96).map(|n| format!("a{n}: name ")).collect::<String>()
            ),
        ),
        query(
            "many lists",
            format!(
                "{{ {} }}",
                (0..27)
                    .map(|n| format!("a{n}: channels(filter: {{live: true}}) {{ nodes {{ loc name }} }} "))
                    .collect::<String>()
            ),
        ),
        query(
            "many counts",
            format!(
                "{{ {} }}",
                (0..7)
                    .map(|n| format!("a{n}: channels(filter: {{search: \"chan\"}}) {{ totalCount }} "))
                    .collect::<String>()
            ),
        ),
        query(
            "lists in lists",
            "{ channels(first: 20) { nodes { pastStreams(first: 20) { nodes { id uuid name state startedAt
                channel { id name } } } } } }"
                .to_owned(),
        ),
        query(
            "many things one by one",
            format!(
                "{{ {} {} }}",
                (0..125)
                    .map(|n| format!("a{n}: user(handle: \"somebody_{n}\") {{ id }} "))
                    .collect::<String>(),
                locs.iter()
                    .map(|loc| format!(
                        "c{}: channel(loc: \"{loc}\") {{ name stream {{ name }} }} ",
                        loc.replace('-', "")
                    ))
                    .collect::<String>()
            ),
        ),
        query("topics over and over", format!("{{ {} }}", "topics { id } ".repeat(24))),
        query(
            "names of types over and over",
            format!("{{ {} {{ {} }} }} }}", a_hundred("channels"), "__typename ".repeat(95)),
        ),
        Attack {
            name: "ids over and over",
            query: format!("query ($ids: [ID!]!) {{ {} }}", "nodes(ids: $ids) { __typename } ".repeat(24)),
            variables: json!({"ids": ids}),
        },
        Attack {
            name: "nodes",
            query: format!(
                "query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on Channel {{ {CHANNEL} }} }} }}"
            ),
            variables: json!({"ids": ids}),
        },
    ]
}

/// Nanoseconds that all tasks of a process have been running for.
fn taken(pid: i32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let each = tasks.filter_map(|task| {
        let schedstat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        schedstat.split(' ').next()?.parse::<u64>().ok()
    });
    each.sum()
}

/// Milliseconds of processor that a document costs the API, and those it costs PostgreSQL: the median of several times,
/// since the site lives on beside. Then the answer.
async fn price(site: &Site, asker: &Actor, attack: &Attack) -> (f64, f64, Value) {
    let (pid, mut costs, mut answer) = (site.pid(), Vec::new(), Value::Null);
    let postgres = || {
        let servers = descendants(pid).into_iter().filter(|it| it.command.contains("postgres"));
        servers.map(|server| taken(server.pid)).sum::<u64>()
    };
    for _ in 0..9 {
        let before = (taken(pid), postgres());
        answer = asker.ask(&attack.query, attack.variables.clone()).await;
        costs.push((taken(pid) - before.0, postgres().saturating_sub(before.1)));
    }
    let median = |mut costs: Vec<u64>| {
        costs.sort_unstable();
        costs[costs.len() / 2] as f64 / 1_000_000.0
    };
    let (ours, theirs) = costs.into_iter().unzip();
    (median(ours), median(theirs), answer)
}

async fn goes_on_the_air(site: &Site, channel: &Channel, connection: usize) {
    let form = format!("app=live&clientid={connection}&call=publish&name={}", channel.key);
    let request = site.client.post(site.internal("/rtmp/publish")).body(form);
    let request = request.header("x-tally-node", "local").header("x-tally-secret", site.internal_secret());
    // The redirection leads to no place on the web.
    drop(request.send().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures an optimised program: make cost"]
async fn what_the_dearest_documents_cost() {
    // Nobody publishes, so the streams are interrupted at once; they stay for as long as they are waited for.
    let site = Site::start(&["--reconnect-window", "30m"]).await;
    let owner = Actor::streamer(&site, "owner").await;
    let (mut ids, mut locs) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let channel = owner.channel(&format!("Channel {number}"), false).await;
        goes_on_the_air(&site, &channel, 1_000_000 + number).await;
        ids.push(channel.id);
        locs.push(channel.loc);
    }
    let on_the_air = owner.data("{ liveStreams { totalCount } }", json!({})).await;
    assert_eq!(on_the_air["liveStreams"]["totalCount"], 100);

    let mut wrong = Vec::new();
    for (attack, is_dear) in attacks(&ROOT)
        .into_iter()
        .chain(hidden(&ids))
        .map(|it| (it, false))
        .chain(dear(&ids, &locs).into_iter().map(|it| (it, true)))
    {
        let (ours, theirs, answer) = price(&site, &owner, &attack).await;
        let cost = &answer["extensions"]["cost"];
        let code = answer["errors"][0]["extensions"]["code"].as_str().unwrap_or("answered");
        println!("{ours:>6.1} ms, PostgreSQL {theirs:>6.1} ms  {}: {code}, cost {cost}", attack.name);
        let refused = code == "DOCUMENT_REFUSED" && answer.to_string().len() < 4096;
        if ours > MOST {
            wrong.push(format!("{} took {ours} ms", attack.name));
        }
        if is_dear && (code != "answered" || cost.as_u64().is_none_or(|cost| cost > DEAREST)) {
            wrong.push(format!("{}: {answer}", attack.name));
        } else if !is_dear && code != "answered" && !refused && code != "BAD_USER_INPUT" {
            wrong.push(format!("{}: {code}", attack.name));
        }
    }
    site.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
