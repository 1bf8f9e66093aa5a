//! The table in the docs is what the code does: each of its cells is asked of the API.

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};
use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};

const DOCS: &str = include_str!("../../docs/permissions.md");
const ACTORS: [&str; 6] = ["anonymous", "viewer", "streamer", "owner", "moderator", "admin"];

/// The rows of the table: an action, and what the docs say of each actor.
fn table() -> Vec<(String, Vec<String>)> {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let mut rows = rows.map(|row| row.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    let head = rows.next().expect("a table");
    assert_eq!(head[1..], ACTORS);
    rows.skip(1).map(|mut cells| (cells.remove(0), cells)).collect()
}

/// Everybody, and the owner's channels made to order.
struct Cast {
    site: Site,
    actors: Vec<Actor>,
    connections: u64,
}

impl Cast {
    async fn gather() -> Self {
        let site = Site::start().await;
        let mut actors = vec![site.anonymous()];
        for (handle, role) in ACTORS[1..].iter().zip([
            Role::Viewer,
            Role::Streamer,
            Role::Streamer,
            Role::Moderator,
            Role::Admin,
        ]) {
            actors.push(site.actor(handle, role).await);
        }
        Self { site, actors, connections: 0 }
    }

    fn owner(&self) -> &Actor {
        &self.actors[3]
    }

    fn admin(&self) -> &Actor {
        &self.actors[5]
    }

    /// A channel of the owner's; on the air if wanted, with the stream's id.
    async fn channel(&mut self, inputs: Value, live: bool) -> Value {
        let mut channel = self.owner().channel("One", inputs).await;
        if live {
            self.connections += 1;
            let (number, key) = (self.connections, channel["key"].as_str().unwrap());
            let form = format!("app=live&clientid={number}&call=publish&name={key}&type=live");
            assert_eq!(self.site.callback("publish", &form).await.0, 302);
            let stream = "query ($loc: UUID!) { channel(loc: $loc) { stream { id } } }";
            let found = self.owner().data(stream, json!({"loc": channel["loc"]})).await;
            channel["stream"] = found["channel"]["stream"]["id"].clone();
        }
        channel
    }

    async fn topic(&self, slug: &str) -> Value {
        let create = "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }";
        let made = self.admin().data(create, json!({"input": {"slug": slug, "name": slug}})).await;
        made["createTopic"]["topic"]["id"].clone()
    }

    /// The id of somebody whom nothing else is about.
    async fn somebody(&self, number: usize) -> Value {
        let user = self.site.actor(&format!("somebody_{number}"), Role::Viewer).await;
        user.data("{ me { id } }", json!({})).await["me"]["id"].clone()
    }

    /// The document of an action with variables that nothing but permission speaks against.
    async fn document(&mut self, action: &str, number: usize) -> (&'static str, Value) {
        let nothing = json!({});
        let input = |input: Value| json!({"input": input});
        match action {
            "read users, topics, channels, streams and their lists" => {
                let loc = self.channel(nothing, true).await["loc"].clone();
                let read = "query ($loc: UUID!) { me { id } user(handle: \"owner\") { handle role channels { totalCount } }
                    topics { name } channels { totalCount } liveStreams { totalCount nodes { name } }
                    channel(loc: $loc) { name owner { handle } stream { state } pastStreams { totalCount } } }";
                (read, json!({"loc": loc}))
            }
            "`Channel.ingest`" => {
                let loc = self.channel(nothing, false).await["loc"].clone();
                ("query ($loc: UUID!) { channel(loc: $loc) { ingest { streamKey } } }", json!({"loc": loc}))
            }
            "`signUp`" => (
                "mutation ($input: SignUpInput!) { signUp(input: $input) { user { id } } }",
                input(json!({"handle": format!("new_{number}"), "password": "a long password"})),
            ),
            "`signIn`" => (
                "mutation ($input: SignInInput!) { signIn(input: $input) { user { id } } }",
                input(json!({"handle": "viewer", "password": "password of viewer"})),
            ),
            "`startPlayback`, public channel" | "`startPlayback`, protected channel" => {
                let protected = json!({"protected": action.ends_with("protected channel")});
                let loc = self.channel(protected, false).await["loc"].clone();
                (
                    "mutation ($input: StartPlaybackInput!) { startPlayback(input: $input) { playback { url } } }",
                    input(json!({"loc": loc})),
                )
            }
            "`createChannel`" => (
                "mutation ($input: CreateChannelInput!) { createChannel(input: $input) { channel { id } } }",
                input(json!({"name": "Another"})),
            ),
            "`createTopic`" => (
                "mutation ($input: CreateTopicInput!) { createTopic(input: $input) { topic { id } } }",
                input(json!({"slug": format!("new-{number}"), "name": "New"})),
            ),
            "`renameTopic`" => (
                "mutation ($input: RenameTopicInput!) { renameTopic(input: $input) { topic { id } } }",
                input(json!({"id": self.topic(&format!("renamed-{number}")).await, "name": "New"})),
            ),
            "`retireTopic`" => (
                "mutation ($input: RetireTopicInput!) { retireTopic(input: $input) { topic { id } } }",
                input(json!({"id": self.topic(&format!("retired-{number}")).await})),
            ),
            "`auditRecords`" => ("{ auditRecords { nodes { kind } } }", json!({})),
            "`suspendUser`" => (
                "mutation ($input: SuspendUserInput!) { suspendUser(input: $input) { user { id } } }",
                input(json!({"userId": self.somebody(number).await, "reason": "Spam"})),
            ),
            "`reinstateUser`" => (
                "mutation ($input: ReinstateUserInput!) { reinstateUser(input: $input) { user { id } } }",
                input(json!({"userId": self.somebody(number).await})),
            ),
            "`setRole`" => {
                let id = self.somebody(number).await;
                (
                    "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { id } } }",
                    input(json!({"userId": id, "role": "STREAMER"})),
                )
            }
            of_channel => self.of_channel(of_channel).await,
        }
    }

    async fn of_channel(&mut self, action: &str) -> (&'static str, Value) {
        let channel = self.channel(json!({}), true).await;
        let (id, stream) = (&channel["id"], &channel["stream"]);
        let (document, input) = match action {
            "`updateChannel`" => (
                "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }",
                json!({"id": id, "name": "New"}),
            ),
            "`deleteChannel`" => (
                "mutation ($input: DeleteChannelInput!) { deleteChannel(input: $input) { deletedChannelId } }",
                json!({"id": id}),
            ),
            "`regenerateStreamKey`" => (
                "mutation ($input: RegenerateStreamKeyInput!) { regenerateStreamKey(input: $input) { channel { id } } }",
                json!({"channelId": id}),
            ),
            "`updateStream`" => (
                "mutation ($input: UpdateStreamInput!) { updateStream(input: $input) { stream { id } } }",
                json!({"id": stream, "name": "New"}),
            ),
            "`endStream`" => (
                "mutation ($input: EndStreamInput!) { endStream(input: $input) { stream { id } } }",
                json!({"channelId": id}),
            ),
            other => panic!("how is {other} asked for?"),
        };
        (document, json!({"input": input}))
    }

    /// What the API says, in the words of the table.
    async fn answer(&self, actor: usize, document: &str, variables: Value) -> String {
        let answer = self.actors[actor].ask(document, variables).await;
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("UNAUTHENTICATED") => "sign in".to_owned(),
            Some("FORBIDDEN") => "no".to_owned(),
            Some(other) => other.to_owned(),
            None if answer["data"]["channel"].get("ingest") == Some(&Value::Null) => "null".to_owned(),
            None => "yes".to_owned(),
        }
    }
}

/// Rows that other tests ask for: a session that is ended is of no use for the next row, and sockets are a story of
/// their own.
const ELSEWHERE: [&str; 2] = ["`signOut`", "subscribe to events and audiences"];

#[tokio::test(flavor = "multi_thread")]
async fn the_table_in_the_docs_is_what_the_code_does() {
    let mut cast = Cast::gather().await;
    let mut number = 0;
    for (action, cells) in table().into_iter().filter(|(action, _)| !ELSEWHERE.contains(&action.as_str())) {
        let mut answers = Vec::new();
        for actor in 0..ACTORS.len() {
            number += 1;
            let (document, variables) = cast.document(&action, number).await;
            answers.push(cast.answer(actor, document, variables).await);
        }
        assert_eq!(answers, cells, "{action}");
    }
}

#[test]
fn every_mutation_is_in_the_table() {
    let parsed = parse_schema(tally::graphql::sdl()).unwrap();
    let mutation = parsed.definitions.iter().find_map(|definition| match definition {
        TypeSystemDefinition::Type(definition) if definition.node.name.node == "Mutation" => {
            Some(&definition.node.kind)
        }
        _ => None,
    });
    let Some(TypeKind::Object(mutation)) = mutation else { panic!("there are no mutations") };
    let rows = table();
    for field in &mutation.fields {
        let name = format!("`{}`", field.node.name.node);
        assert!(
            rows.iter().any(|(action, _)| action.starts_with(&name)),
            "{name} is not in docs/permissions.md"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_no_longer_broadcast_keeps_the_channel_but_not_the_air() {
    let mut cast = Cast::gather().await;
    let channel = cast.channel(json!({}), false).await;
    let set_role = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";
    let id = cast.owner().data("{ me { id } }", json!({})).await["me"]["id"].clone();
    cast.admin().data(set_role, json!({"input": {"userId": id, "role": "VIEWER"}})).await;
    let key = channel["key"].as_str().unwrap();
    let form = format!("app=live&clientid=7&call=publish&name={key}&type=live");
    assert_eq!(cast.site.callback("publish", &form).await.0, 403);
    let update = "mutation ($input: UpdateChannelInput!) { updateChannel(input: $input) { channel { id } } }";
    cast.owner().data(update, json!({"input": {"id": channel["id"], "name": "Mine"}})).await;
    cast.admin().data(set_role, json!({"input": {"userId": id, "role": "STREAMER"}})).await;
    assert_eq!(cast.site.callback("publish", &form).await.0, 302);
}
