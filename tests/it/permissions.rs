//! What depends on who asks, as the docs have it: each cell of the table is asked of the API.

use std::time::Duration;

use serde_json::{Value, json};
use tally::store::Role;

use crate::site::{Actor, Site};
use crate::socket::Socket;
use crate::sql::Sql;
use crate::table::{ACTORS, actions, schema, selection};

/// Everybody, and the owner's channels made to order.
pub(crate) struct Cast {
    pub(crate) site: Site,
    pub(crate) actors: Vec<Actor>,
    connections: u64,
}

/// Something to ask: the document, its variables, and what is null for those for whom it is not there.
struct Question {
    document: String,
    variables: Value,
    null: &'static str,
}

impl Cast {
    pub(crate) async fn gather() -> Self {
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

    pub(crate) fn owner(&self) -> &Actor {
        &self.actors[3]
    }

    pub(crate) fn admin(&self) -> &Actor {
        &self.actors[5]
    }

    /// A channel of the owner's; on the air if wanted, with the stream's id.
    pub(crate) async fn channel(&mut self, inputs: Value, live: bool) -> Value {
        let mut channel = self.owner().channel("One", inputs).await;
        if live {
            self.publisher_says("publish", &channel).await;
            let stream = "query ($loc: UUID!) { channel(loc: $loc) { stream { id } } }";
            let found = self.owner().data(stream, json!({"loc": channel["loc"]})).await;
            channel["stream"] = found["channel"]["stream"]["id"].clone();
        }
        channel
    }

    /// A publisher of a channel comes, or the one that came last goes.
    pub(crate) async fn publisher_says(&mut self, call: &str, channel: &Value) {
        self.connections += u64::from(call == "publish");
        let (number, key) = (self.connections, channel["key"].as_str().unwrap());
        let form = format!("app=live&clientid={number}&call={call}&name={key}&type=live");
        let (status, _) = self.site.callback(call, &form).await;
        assert!(matches!(status, 204 | 302), "{call}: {status}");
    }

    /// Has all recordings made.
    pub(crate) async fn make_ready(&self) {
        let ready = "UPDATE recordings
            SET state = 'ready', duration_ms = 60000, bytes = 5000000000, width = 1280, height = 720";
        Sql::on(&self.site.url).await.run(ready).await;
    }

    /// A recording that can be played, by its id.
    async fn recording(&mut self) -> Value {
        let channel = self.channel(json!({"record": true}), true).await;
        self.make_ready().await;
        json!(channel["stream"].as_str().unwrap().replace("st_", "re_"))
    }

    /// Renames a recording again and again, as long as this test lasts.
    fn keep_changing(&self, recording: String) {
        let owner = self.owner().clone();
        self.site.lifecycle.tasks().pass("changes", async move {
            let update = "mutation ($input: UpdateRecordingInput!) { updateRecording(input: $input) { recording { id } } }";
            for number in 0..1000 {
                owner.ask(update, json!({"input": {"id": recording, "name": format!("No. {number}")}})).await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
    }

    /// A broadcast of which nothing has arrived, and a clip of it that the owner has made.
    async fn clip(&mut self, mutation: &str) -> Value {
        let channel = self.channel(json!({}), true).await;
        let stream = channel["stream"].as_str().unwrap().to_owned();
        if mutation == "createClip" {
            return json!({"streamId": stream, "lastSeconds": 5, "title": "Goal"});
        }
        let made = format!(
            "INSERT INTO clips (id, stream_id, channel_id, creator_id, title, duration_ms, bytes)
            SELECT gen_random_uuid(), streams.id, channel_id, owner_id, 'Goal', 5000, 1000
            FROM streams JOIN channels ON channels.id = channel_id WHERE streams.id = '{}'
            RETURNING 'cl_' || replace(id::text, '-', '') AS line",
            stream.trim_start_matches("st_")
        );
        json!({"id": Sql::on(&self.site.url).await.lines(&made).await.remove(0)})
    }

    /// A simulcast target of a new channel of the owner's.
    async fn target(&mut self) -> Value {
        let channel = self.channel(json!({}), false).await;
        let add = "mutation ($input: AddSimulcastTargetInput!) {
            addSimulcastTarget(input: $input) { target { id channel { loc } } } }";
        let input = json!({"channelId": channel["id"], "url": "rtmp://live.example/app", "key": "a-key"});
        let added = self.admin().data(add, json!({"input": input})).await;
        added["addSimulcastTarget"]["target"].clone()
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

    /// How an action is asked for, such that nothing but permission speaks against it.
    async fn question(&mut self, action: &str, number: usize) -> Question {
        let all = |document: &str, of: &str| document.replace('*', &selection(of));
        let (document, variables, null) = match action {
            "me" => (all("{ me { * } }", "User"), json!({}), "/me"),
            "Channel.ingest" => {
                let loc = self.channel(json!({}), false).await["loc"].clone();
                let document = all("query ($loc: UUID!) { channel(loc: $loc) { ingest { * } } }", "Ingest");
                (document, json!({"loc": loc}), "/channel/ingest")
            }
            "Channel.simulcastTargets" => {
                let loc = self.channel(json!({}), false).await["loc"].clone();
                let document = "query ($loc: UUID!) { channel(loc: $loc) { simulcastTargets { * } } }";
                (all(document, "SimulcastTarget"), json!({"loc": loc}), "/channel/simulcastTargets")
            }
            "simulcastChanged" => {
                let target = self.target().await;
                let document = "subscription ($loc: UUID!) { simulcastChanged(loc: $loc) { * } }";
                (
                    all(document, "SimulcastTarget"),
                    json!({"loc": target["channel"]["loc"]}),
                    "/simulcastChanged",
                )
            }
            "Channel.invitedViewers" => {
                let loc = self.channel(json!({}), false).await["loc"].clone();
                let document = "query ($loc: UUID!) { channel(loc: $loc) { invitedViewers { * } } }";
                (all(document, "UserConnection"), json!({"loc": loc}), "/channel/invitedViewers")
            }
            "Channel.recordings" | "Stream.recording, that can be played" | "Stream.recording, in work" => {
                let channel = self.channel(json!({"record": true}), true).await;
                if !action.ends_with("in work") {
                    self.make_ready().await;
                }
                let (document, of, null) = match action {
                    "Channel.recordings" => ("recordings { * }", "RecordingConnection", "/none"),
                    _ => ("stream { recording { * } }", "Recording", "/channel/stream/recording"),
                };
                let document = format!("query ($loc: UUID!) {{ channel(loc: $loc) {{ {document} }} }}");
                (all(&document, of), json!({"loc": channel["loc"]}), null)
            }
            "User.suspension" => {
                let id = self.somebody(number).await;
                let suspend =
                    "mutation ($input: SuspendUserInput!) { suspendUser(input: $input) { user { id } } }";
                let input = json!({"input": {"userId": id, "reason": "Spam"}});
                self.admin().data(suspend, input).await;
                let document = "query ($handle: String!) { user(handle: $handle) { suspension { * } } }";
                let handle = json!({"handle": format!("somebody_{number}")});
                (all(document, "Suspension"), handle, "/user/suspension")
            }
            "User.sessions, of the viewer" => {
                let document = "{ user(handle: \"viewer\") { sessions { * } } }";
                (all(document, "Session"), json!({}), "/user/sessions")
            }
            "auditRecords" => (all("{ auditRecords { * } }", "AuditRecordConnection"), json!({}), "/none"),
            "users" => (all("{ users { * } }", "UserConnection"), json!({}), "/none"),
            "siteStatus" => (all("{ siteStatus { * } }", "SiteStatus"), json!({}), "/none"),
            "streamEvents" => {
                let query = "{ liveStreams { eventCursor } }";
                let after = self.owner().data(query, json!({})).await["liveStreams"]["eventCursor"].clone();
                self.channel(json!({}), true).await;
                let document = "subscription ($after: String) { streamEvents(after: $after) { * } }";
                (all(document, "StreamEvent"), json!({"after": after}), "/none")
            }
            "recordingChanged" => {
                let channel = self.channel(json!({"record": true}), true).await;
                self.make_ready().await;
                // What is told of is what changes: so it does, until somebody hears of it.
                let recording = channel["stream"].as_str().unwrap().replace("st_", "re_");
                self.keep_changing(recording);
                let document = "subscription ($loc: UUID!) { recordingChanged(loc: $loc) { * } }";
                (all(document, "Recording"), json!({"loc": channel["loc"]}), "/none")
            }
            "streamHealth, asked for" | "streamHealth, followed" => {
                let loc = self.channel(json!({}), true).await["loc"].clone();
                let kind = if action.ends_with("followed") { "subscription" } else { "query" };
                let document = format!("{kind} ($loc: UUID!) {{ streamHealth(loc: $loc) {{ * }} }}");
                (all(&document, "StreamHealth"), json!({"loc": loc}), "/streamHealth")
            }
            "viewerCountChanged" => {
                let loc = self.channel(json!({}), true).await["loc"].clone();
                let document = "subscription ($locs: [UUID!]!) { viewerCountChanged(locs: $locs) { * } }";
                (all(document, "ViewerCount"), json!({"locs": [loc]}), "/none")
            }
            "signOut" => ("mutation { signOut }".to_owned(), json!({}), "/none"),
            mutation => {
                let (name, _) = mutation.split_once(',').unwrap_or((mutation, ""));
                let (_, payload) =
                    schema()["Mutation"].iter().find(|(field, _)| field == name).unwrap().clone();
                let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
                let document = format!("mutation ($input: {kind}!) {{ {name}(input: $input) {{ * }} }}");
                (all(&document, &payload), json!({"input": self.input(mutation, number).await}), "/none")
            }
        };
        Question { document, variables, null }
    }

    async fn input(&mut self, mutation: &str, number: usize) -> Value {
        match mutation {
            "signUp" => json!({"handle": format!("new_{number}"), "password": "a long password"}),
            "signIn" => json!({"handle": "viewer", "password": "password of viewer"}),
            // What everybody has of their own, [`Cast::own`] puts in.
            "changePassword" => json!({"current": "", "new": "a long password"}),
            "revokeSession" => json!({"sessionId": ""}),
            "startPlayback, public channel" => {
                json!({"loc": self.channel(json!({}), false).await["loc"]})
            }
            "startPlayback, protected channel" => {
                json!({"loc": self.channel(json!({"protected": true}), false).await["loc"]})
            }
            "createChannel" => json!({"name": "Another"}),
            "updateRecording" => json!({"id": self.recording().await, "name": "Another"}),
            "deleteRecording" => json!({"id": self.recording().await}),
            "createClip" | "deleteClip" => self.clip(mutation).await,
            "updateSimulcastTarget" => json!({"id": self.target().await["id"], "enabled": false}),
            "removeSimulcastTarget" => json!({"id": self.target().await["id"]}),
            "createTopic" => json!({"slug": format!("new-{number}"), "name": "New"}),
            "renameTopic" => json!({"id": self.topic(&format!("renamed-{number}")).await, "name": "New"}),
            "retireTopic" => json!({"id": self.topic(&format!("retired-{number}")).await}),
            "setRole" => json!({"userId": self.somebody(number).await, "role": "STREAMER"}),
            "suspendUser" => json!({"userId": self.somebody(number).await, "reason": "Spam"}),
            "reinstateUser" => json!({"userId": self.somebody(number).await}),
            of_channel => {
                let channel = self.channel(json!({}), true).await;
                match of_channel {
                    "addSimulcastTarget" => {
                        json!({"channelId": channel["id"], "url": "rtmp://live.example/app", "key": "a-key"})
                    }
                    "inviteViewer" => json!({"channelId": channel["id"], "handle": "viewer"}),
                    "uninviteViewer" => {
                        let invite = "mutation ($input: InviteViewerInput!) { inviteViewer(input: $input) { user { id } } }";
                        let input = json!({"input": {"channelId": channel["id"], "handle": "viewer"}});
                        let invited = self.owner().data(invite, input).await["inviteViewer"]["user"].take();
                        json!({"channelId": channel["id"], "userId": invited["id"]})
                    }
                    "updateChannel" => json!({"id": channel["id"], "name": "New"}),
                    "deleteChannel" => json!({"id": channel["id"]}),
                    "regenerateStreamKey" | "endStream" => json!({"channelId": channel["id"]}),
                    "updateStream" => json!({"id": channel["stream"], "name": "New"}),
                    other => panic!("how is {other} asked for?"),
                }
            }
        }
    }

    /// Whoever asks, with what they must have of their own to be answered.
    async fn own(&self, actor: usize, action: &str, question: &Question) -> (Actor, Value) {
        let (mut actor, mut variables) = (self.actors[actor].clone(), question.variables.clone());
        if matches!(action, "changePassword" | "revokeSession") {
            // So many passwords of the same few are looked at here that they would be held off.
            self.site.clock.advance(Duration::from_secs(61));
        }
        if action == "signOut" && actor.token.is_some() {
            actor = actor.again(&self.site).await;
        }
        if action == "changePassword" {
            // To the same one: others sign in with it later.
            let password = json!(format!("password of {}", actor.handle));
            variables["input"] = json!({"current": password, "new": password});
        }
        if action == "revokeSession" && actor.token.is_some() {
            let spare = actor.again(&self.site).await;
            let sessions = spare.data("{ me { sessions { id current } } }", json!({})).await;
            let sessions = sessions["me"]["sessions"].as_array().unwrap();
            let spare = sessions.iter().find(|session| session["current"] == true).unwrap();
            variables["input"]["sessionId"] = spare["id"].clone();
        }
        (actor, variables)
    }

    /// What the API says to a question, in the words of the table.
    async fn answer(&self, actor: usize, action: &str, question: &Question) -> String {
        let (actor, variables) = self.own(actor, action, question).await;
        let answer = if question.document.starts_with("subscription") {
            let mut socket = match &actor.token {
                Some(_) => Socket::of(self.site.public, &actor).await,
                None => Socket::open(self.site.public).await,
            };
            socket.start("1", &question.document, variables).await;
            let heard = socket.hear("1").await;
            if heard["type"] == "error" {
                json!({"errors": heard["payload"]})
            } else {
                heard["payload"].clone()
            }
        } else {
            actor.ask(&question.document, variables).await
        };
        match answer["errors"][0]["extensions"]["code"].as_str() {
            Some("UNAUTHENTICATED") => "sign in".to_owned(),
            Some("FORBIDDEN") => "no".to_owned(),
            // Whoever may cut a clip is told that nothing has arrived.
            Some("NOT_FOUND") if action == "createClip" => "yes".to_owned(),
            Some("NOT_FOUND") => "not there".to_owned(),
            Some(other) => other.to_owned(),
            None if answer["data"].pointer(question.null) == Some(&Value::Null) => "null".to_owned(),
            None if answer["data"].is_object() => "yes".to_owned(),
            None => answer.to_string(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_in_the_docs_is_what_the_code_does() {
    let mut cast = Cast::gather().await;
    let mut number = 0;
    for (row, cells) in actions() {
        let action = row.replace('`', "");
        let mut answers = Vec::new();
        for actor in 0..ACTORS.len() {
            number += 1;
            let question = cast.question(&action, number).await;
            answers.push(cast.answer(actor, &action, &question).await);
        }
        assert_eq!(answers, cells, "{row}");
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
