//! The list that everybody is asked for, in each one's words, and what the answers say.

use serde_json::{Value, json};

/// The names that a server has for the same things.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    pub(crate) list: &'static str,
    pub(crate) arguments: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) owner: &'static str,
    pub(crate) topic: &'static str,
}

/// Tally's own, which most peers take over.
pub(crate) const PLAIN: Words =
    Words { list: "liveStreams", arguments: "first: 50", channel: "channel", owner: "owner", topic: "topic" };

/// Those that are made of the tables' names.
pub(crate) const OF_TABLES: Words = Words {
    list: "allStreams",
    arguments: r#"first: 50, condition: {state: "interrupted"}, orderBy: [CURRENT_VIEWERS_DESC, ROW_ID_DESC]"#,
    channel: "channelByChannelId",
    owner: "userByOwnerId",
    topic: "topicByTopicId",
};

impl Words {
    /// A request's body. `tag` is asked about as well, by a variable, so that requests with different ones are different
    /// questions, and whoever answers must have looked at it. No type has such a name, and no table is asked.
    pub(crate) fn body(self, tag: u64) -> String {
        let Self { list, arguments, channel, owner, topic } = self;
        let document = format!(
            "query ($tag: String!) {{ {list}({arguments}) {{ nodes {{ name startedAt currentViewers \
                {channel} {{ loc name {owner} {{ handle displayName }} }} {topic} {{ slug name }} }} }} \
                __type(name: $tag) {{ name }} }}"
        );
        json!({"query": document, "variables": {"tag": format!("T{tag}")}}).to_string()
    }

    /// What an answer says, whatever its words; `None` when it is not an answer to the question.
    pub(crate) fn content(self, answer: &[u8]) -> Option<Vec<Value>> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let nodes = answer["data"][self.list]["nodes"].as_array()?;
        nodes.iter().map(|node| self.stream(node)).collect()
    }

    fn stream(self, node: &Value) -> Option<Value> {
        let (channel, topic) = (&node[self.channel], &node[self.topic]);
        let started = chrono::DateTime::parse_from_rfc3339(node["startedAt"].as_str()?).ok()?;
        Some(json!([
            node["name"],
            started.timestamp_millis(),
            node["currentViewers"],
            [channel["loc"], channel["name"]],
            [channel[self.owner]["handle"], channel[self.owner]["displayName"]],
            [topic["slug"], topic["name"]],
        ]))
    }
}
