//! The values that columns hold: ids and closed sets, each a type of its own.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::{Pg, PgValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Text, Uuid as SqlUuid};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
        #[diesel(sql_type = SqlUuid)]
        pub struct $name(pub Uuid);

        impl ToSql<SqlUuid, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <Uuid as ToSql<SqlUuid, Pg>>::to_sql(&self.0, out)
            }
        }

        impl FromSql<SqlUuid, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                <Uuid as FromSql<SqlUuid, Pg>>::from_sql(value).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A user's id.
    UserId
}
id! {
    /// A topic's id.
    TopicId
}
id! {
    /// A channel's id, known to its owner's tools only; viewers know its [`Loc`].
    ChannelId
}
id! {
    /// A channel's public address: random, fixed at creation, in every viewer's URL.
    Loc
}
id! {
    /// A stream's id, which is also its public uuid.
    StreamId
}

impl Loc {
    /// The name of a channel's stream inside nginx, and of the directory of its files. Those of a protected stream
    /// lie apart, so that a URL without a token cannot reach them even when nobody is asked.
    pub fn stream_name(self, protected: bool) -> String {
        if protected { format!("p-{self}") } else { self.to_string() }
    }
}

id! {
    /// A clip's id, made from the time.
    ClipId
}
id! {
    /// The id of a server that a channel's broadcasts are passed on to, made from the time.
    TargetId
}

impl ClipId {
    /// When it was made, to the millisecond: the first 48 bits of a version 7 UUID (RFC 9562, section 5.7).
    pub fn made_at(self) -> DateTime<Utc> {
        let millis = self.0.as_u128() >> 80;
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis as i64)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow)]
        #[diesel(sql_type = Text)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word that stands for it in tables and logs.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl ToSql<Text, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <str as ToSql<Text, Pg>>::to_sql(self.word(), out)
            }
        }

        impl FromSql<Text, Pg> for $name {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                match value.as_bytes() {
                    $(word if word == $word.as_bytes() => Ok(Self::$variant),)+
                    other => Err(format!("no {}: {}", stringify!($name), String::from_utf8_lossy(other)).into()),
                }
            }
        }
    };
}

words! {
    /// What a user is to this site; each role may all that the one before it may.
    Role {
        /// Watches.
        Viewer = "viewer",
        /// Has channels and broadcasts.
        Streamer = "streamer",
        /// Ends streams that must not be.
        Moderator = "moderator",
        /// May everything.
        Admin = "admin",
    }
}
words! {
    /// Where a stream is in its life.
    StreamState {
        /// Its publisher is sending.
        Live = "live",
        /// Its publisher is gone; it has until the deadline to come back.
        Interrupted = "interrupted",
        /// Over, for good.
        Ended = "ended",
    }
}
words! {
    /// Why a stream ended.
    StopReason {
        /// The publisher went and did not come back in time.
        PublisherGone = "publisher_gone",
        /// The owner ended it through the API.
        EndedByOwner = "ended_by_owner",
        /// A moderator or admin ended it.
        EndedByModerator = "ended_by_moderator",
        /// The key that it was sent with was replaced.
        KeyRegenerated = "key_regenerated",
        /// Its channel was deleted.
        ChannelDeleted = "channel_deleted",
    }
}
words! {
    /// What an event reports.
    EventKind {
        /// A stream went on the air.
        Started = "started",
        /// Its publisher's connection broke.
        Interrupted = "interrupted",
        /// The publisher came back in time.
        Resumed = "resumed",
        /// Its name or topic changed.
        Updated = "updated",
        /// It went off the air.
        Stopped = "stopped",
    }
}
words! {
    /// How far a recording is.
    RecordingState {
        /// Its stream is on the air.
        Recording = "recording",
        /// It is being made into something that can be played.
        Processing = "processing",
        /// It can be played.
        Ready = "ready",
        /// Nothing could be made of it.
        Failed = "failed",
    }
}
words! {
    /// Why nothing could be made of a recording. The words are what the column has always held.
    RecordingFailure {
        /// Its broadcast had not one whole segment.
        Empty = "nothing that could be recorded was sent",
        /// Its segments make no video.
        Unusable = "what was recorded could not be made into a video",
    }
}
words! {
    /// Where the files of a recording lie.
    RecordingPlace {
        /// On the disk where they were made.
        Disk = "disk",
        /// There, and some of them in the bucket already.
        Moving = "moving",
        /// In the bucket.
        Bucket = "bucket",
    }
}
words! {
    /// What is put on record.
    AuditKind {
        /// An account was made.
        SignedUp = "signed_up",
        /// A session was opened.
        SignedIn = "signed_in",
        /// Somebody was not let in.
        SignInFailed = "sign_in_failed",
        /// A session was ended by whoever had it.
        SignedOut = "signed_out",
        /// A stream key was shown.
        KeyRead = "key_read",
        /// A channel was given another stream key.
        KeyRegenerated = "key_regenerated",
        /// A user was given another role.
        RoleChanged = "role_changed",
        /// A user was shut out.
        Suspended = "suspended",
        /// A user was let in again.
        Reinstated = "reinstated",
        /// A stream was ended by somebody else than the channel's owner.
        StreamEnded = "stream_ended",
        /// A channel was deleted.
        ChannelDeleted = "channel_deleted",
        /// A user has another password, of their own making or the operator's.
        PasswordSet = "password_set",
    }
}
words! {
    /// What is done once under an idempotency key.
    Mutation {
        /// A channel is made.
        CreateChannel = "create_channel",
        /// A channel is given another key.
        RegenerateStreamKey = "regenerate_stream_key",
    }
}
