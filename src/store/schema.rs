//! The tables, as diesel knows them; `a_table_here_is_the_table_there` in the suite holds them to the migrations.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    users (id) {
        id -> Uuid,
        handle -> Text,
        display_name -> Text,
        role -> Text,
        password_hash -> Text,
        created_at -> Timestamptz,
        suspended_at -> Nullable<Timestamptz>,
        suspension_reason -> Nullable<Text>,
    }
}

table! {
    sessions (token_hash) {
        token_hash -> Bytea,
        user_id -> Uuid,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

table! {
    attempts (user_id, mutation, key) {
        user_id -> Uuid,
        mutation -> Text,
        key -> Text,
        input_hash -> Bytea,
        channel_id -> Uuid,
        at -> Timestamptz,
    }
}

table! {
    topics (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        retired_at -> Nullable<Timestamptz>,
    }
}

table! {
    channels (id) {
        id -> Uuid,
        loc -> Uuid,
        owner_id -> Uuid,
        topic_id -> Nullable<Uuid>,
        name -> Text,
        description -> Text,
        image_url -> Nullable<Text>,
        default_stream_name -> Text,
        chat_enabled -> Bool,
        clips_enabled -> Bool,
        record -> Bool,
        protected -> Bool,
        key_hash -> Nullable<Bytea>,
        key_sealed -> Nullable<Bytea>,
        password_hash -> Nullable<Text>,
        password_id -> Nullable<Uuid>,
        held_until -> Nullable<Timestamptz>,
        live -> Bool,
        current_viewers -> Int4,
        views -> Int8,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        search -> Text,
    }
}

table! {
    invitations (id) {
        id -> Uuid,
        channel_id -> Uuid,
        user_id -> Uuid,
    }
}

table! {
    streams (id) {
        id -> Uuid,
        channel_id -> Uuid,
        loc -> Uuid,
        protected -> Bool,
        topic_id -> Nullable<Uuid>,
        name -> Text,
        state -> Text,
        node -> Text,
        connection -> Int8,
        worker -> Nullable<Int4>,
        deadline -> Nullable<Timestamptz>,
        media_time -> Int8,
        stalls -> Int4,
        media -> Nullable<Jsonb>,
        started_at -> Timestamptz,
        ended_at -> Nullable<Timestamptz>,
        reason -> Nullable<Text>,
        current_viewers -> Int4,
        peak_viewers -> Int4,
        total_viewers -> Int8,
    }
}

table! {
    stream_audiences (stream_id) {
        stream_id -> Uuid,
        minutes -> Int4,
        viewers -> Array<Nullable<Int4>>,
    }
}

table! {
    recordings (stream_id) {
        stream_id -> Uuid,
        channel_id -> Uuid,
        name -> Nullable<Text>,
        state -> Text,
        failure -> Nullable<Text>,
        published -> Bool,
        duration_ms -> Nullable<Int8>,
        bytes -> Int8,
        width -> Nullable<Int4>,
        height -> Nullable<Int4>,
        views -> Int8,
        open -> Bool,
        place -> Text,
    }
}

table! {
    discarded_recordings (stream_id) {
        stream_id -> Uuid,
    }
}

table! {
    clips (id) {
        id -> Uuid,
        stream_id -> Uuid,
        channel_id -> Uuid,
        creator_id -> Uuid,
        title -> Text,
        duration_ms -> Int8,
        bytes -> Int8,
        width -> Nullable<Int4>,
        height -> Nullable<Int4>,
    }
}

table! {
    simulcast_targets (id) {
        id -> Uuid,
        channel_id -> Uuid,
        url -> Text,
        key_sealed -> Bytea,
        enabled -> Bool,
    }
}

table! {
    event_log (one) {
        one -> Bool,
        epoch -> Uuid,
        last -> Int8,
        trimmed -> Int8,
    }
}

table! {
    events (number) {
        number -> Int8,
        at -> Timestamptz,
        kind -> Text,
        stream_id -> Uuid,
        channel_id -> Uuid,
        loc -> Uuid,
        topic_id -> Nullable<Uuid>,
        protected -> Bool,
        reason -> Nullable<Text>,
    }
}

table! {
    audit_records (id) {
        id -> Uuid,
        at -> Timestamptz,
        kind -> Text,
        actor_id -> Nullable<Uuid>,
        subject_id -> Nullable<Uuid>,
        channel_id -> Nullable<Uuid>,
        address -> Nullable<Text>,
        detail -> Nullable<Text>,
        times -> Int4,
        slot -> Nullable<Bytea>,
    }
}

joinable!(sessions -> users (user_id));
joinable!(channels -> users (owner_id));
joinable!(channels -> topics (topic_id));
joinable!(invitations -> users (user_id));
joinable!(streams -> channels (channel_id));
joinable!(recordings -> streams (stream_id));
joinable!(recordings -> channels (channel_id));
joinable!(clips -> channels (channel_id));
joinable!(simulcast_targets -> channels (channel_id));
joinable!(events -> streams (stream_id));
allow_tables_to_appear_in_same_query!(
    users,
    sessions,
    topics,
    channels,
    invitations,
    streams,
    recordings,
    clips,
    simulcast_targets,
    event_log,
    events,
    audit_records
);
