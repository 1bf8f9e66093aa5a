//! The scalars of the graph, and the opaque ids.

use async_graphql::{ID, InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, Utc};
use uuid::Uuid;

use super::error::{ApiError, Result};
use crate::store::{ChannelId, ClipId, Loc, StreamId, TargetId, TopicId, UserId};

/// A channel's address or a stream's uuid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UuidScalar(pub(super) Uuid);

/// A UUID in its canonical form, for instance `"018f3c1e-7d4a-7000-8000-0123456789ab"`. Upper case is accepted and
/// answered in lower case.
#[Scalar(name = "UUID", specified_by_url = "https://www.rfc-editor.org/rfc/rfc9562")]
impl ScalarType for UuidScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        Uuid::try_parse(text).map(Self).map_err(|_| {
            InputValueError::custom("write a UUID with its hyphens").with_extension("code", "BAD_USER_INPUT")
        })
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<UuidScalar> for Loc {
    fn from(uuid: UuidScalar) -> Self {
        Self(uuid.0)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteCount(pub(super) i64);

/// A number of bytes: a whole JSON number that may be greater than an `Int`, up to 9,007,199,254,740,991.
#[Scalar]
impl ScalarType for ByteCount {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::Number(number) => number.as_i64().map(Self).ok_or(InputValueError::expected_type(value)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DateTime(pub(super) chrono::DateTime<Utc>);

/// A moment as RFC 3339 writes it, always in UTC and to the millisecond, for instance
/// `"2026-11-23T12:00:00.000Z"`.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        let parsed = chrono::DateTime::parse_from_rfc3339(text);
        parsed.map(|moment| Self(moment.to_utc())).map_err(|_| {
            InputValueError::custom("write a moment as RFC 3339 does")
                .with_extension("code", "BAD_USER_INPUT")
        })
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Something with an id of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeId {
    User(UserId),
    Topic(TopicId),
    Channel(ChannelId),
    Stream(StreamId),
    Recording(StreamId),
    Clip(ClipId),
    Target(TargetId),
}

impl NodeId {
    /// The opaque form that clients see: what it is, and which.
    pub(super) fn id(self) -> ID {
        let (prefix, uuid) = match self {
            Self::User(id) => ("us", id.0),
            Self::Topic(id) => ("to", id.0),
            Self::Channel(id) => ("ch", id.0),
            Self::Stream(id) => ("st", id.0),
            Self::Recording(id) => ("re", id.0),
            Self::Clip(id) => ("cl", id.0),
            Self::Target(id) => ("si", id.0),
        };
        ID(format!("{prefix}_{}", uuid.simple()))
    }

    /// Reads an id again; `None` when it is none of ours.
    pub(super) fn read(id: &str) -> Option<Self> {
        let (prefix, uuid) = id.split_once('_')?;
        let uuid = Uuid::try_parse(uuid).ok()?;
        match prefix {
            "us" => Some(Self::User(UserId(uuid))),
            "to" => Some(Self::Topic(TopicId(uuid))),
            "ch" => Some(Self::Channel(ChannelId(uuid))),
            "st" => Some(Self::Stream(StreamId(uuid))),
            "re" => Some(Self::Recording(StreamId(uuid))),
            "cl" => Some(Self::Clip(ClipId(uuid))),
            "si" => Some(Self::Target(TargetId(uuid))),
            _ => None,
        }
    }
}

/// The channel that an argument means.
pub(super) fn channel_id(field: &'static str, id: &ID) -> Result<ChannelId> {
    match NodeId::read(id) {
        Some(NodeId::Channel(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a channel's id")),
    }
}

/// The stream that an argument means.
pub(super) fn stream_id(field: &'static str, id: &ID) -> Result<StreamId> {
    match NodeId::read(id) {
        Some(NodeId::Stream(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a stream's id")),
    }
}

/// The recording that an argument means, by its stream's id.
pub(super) fn recording_id(field: &'static str, id: &ID) -> Result<StreamId> {
    match NodeId::read(id) {
        Some(NodeId::Recording(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a recording's id")),
    }
}

/// The clip that an argument means.
pub(super) fn clip_id(field: &'static str, id: &ID) -> Result<ClipId> {
    match NodeId::read(id) {
        Some(NodeId::Clip(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a clip's id")),
    }
}

/// The simulcast target that an argument means.
pub(super) fn target_id(field: &'static str, id: &ID) -> Result<TargetId> {
    match NodeId::read(id) {
        Some(NodeId::Target(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a simulcast target's id")),
    }
}

/// The user that an argument means.
pub(super) fn user_id(field: &'static str, id: &ID) -> Result<UserId> {
    match NodeId::read(id) {
        Some(NodeId::User(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a user's id")),
    }
}

/// The topic that an argument means.
pub(super) fn topic_id(field: &'static str, id: &ID) -> Result<TopicId> {
    match NodeId::read(id) {
        Some(NodeId::Topic(id)) => Ok(id),
        _ => Err(ApiError::bad(field, "this is not a topic's id")),
    }
}

/// A count as the graph shows it. GraphQL's `Int` ends at 2,147,483,647; a larger one stands still there.
pub(super) fn int(count: i64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
