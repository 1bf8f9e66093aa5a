//! Loading by key: whatever a document asks of many objects of a kind becomes one statement. Nothing is cached, so
//! every event of a subscription is answered from the database as it is then.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::runtime::{TokioSpawner, TokioTimer};
use futures_util::task::{FutureObj, Spawn, SpawnError};

use super::audience::AudienceOf;
use super::error::{ApiError, Result};
use super::recording::RecordingOf;
use crate::store::{
    Channel, ChannelId, Clip, ClipId, Deed, Recording, Store, StoreError, Stream, StreamAudience, StreamId,
    Target, TargetId, Topic, TopicId, User, UserId,
};
use crate::telemetry::Queries;

/// The loader of all keys.
pub(super) struct Loads(Store);

/// A loader for one request, or for events that are answered together.
pub(super) fn loader(store: &Store) -> Arc<DataLoader<Loads>> {
    let spawner = Counted(TokioSpawner::current());
    Arc::new(DataLoader::new(Loads(store.clone()), spawner, TokioTimer::default()))
}

/// Spawns what loads so that its queries count for the request that it loads for.
struct Counted(TokioSpawner);

impl Spawn for Counted {
    fn spawn_obj(&self, load: FutureObj<'static, ()>) -> std::result::Result<(), SpawnError> {
        match Queries::here() {
            Some(queries) => {
                self.0.spawn_obj(FutureObj::new(Box::pin(async move { queries.of(load).await })))
            }
            None => self.0.spawn_obj(load),
        }
    }
}

/// The stream on the air of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OnTheAir(pub(super) ChannelId);

/// The stream key of a channel, as it is kept, for its reader.
#[derive(Clone)]
pub(super) struct KeyOf {
    pub(super) channel: ChannelId,
    pub(super) reader: Deed,
}

/// A loader serves one requester, so that its channel tells one key from another.
impl PartialEq for KeyOf {
    fn eq(&self, other: &Self) -> bool {
        self.channel == other.channel
    }
}

impl Eq for KeyOf {}

impl Hash for KeyOf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.channel.hash(state);
    }
}

impl Loader<KeyOf> for Loads {
    type Value = Vec<u8>;
    type Error = Arc<StoreError>;

    async fn load(&self, keys: &[KeyOf]) -> std::result::Result<HashMap<KeyOf, Vec<u8>>, Self::Error> {
        let Some(KeyOf { reader, .. }) = keys.first() else { return Ok(HashMap::new()) };
        let channels: Vec<ChannelId> = keys.iter().map(|key| key.channel).collect();
        let sealed = self.0.read_keys(&channels, reader).await.map_err(Arc::new)?;
        let of = |channel| KeyOf { channel, reader: reader.clone() };
        Ok(sealed.into_iter().map(|(channel, sealed)| (of(channel), sealed)).collect())
    }
}

/// The simulcast targets of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TargetsOf(pub(super) ChannelId);

impl Loader<TargetsOf> for Loads {
    type Value = Vec<Target>;
    type Error = Arc<StoreError>;

    async fn load(
        &self,
        keys: &[TargetsOf],
    ) -> std::result::Result<HashMap<TargetsOf, Vec<Target>>, Self::Error> {
        let channels: Vec<ChannelId> = keys.iter().map(|key| key.0).collect();
        let mut targets: HashMap<TargetsOf, Vec<Target>> = HashMap::new();
        for target in self.0.targets_of(&channels).await.map_err(Arc::new)? {
            targets.entry(TargetsOf(target.channel_id)).or_default().push(target);
        }
        Ok(targets)
    }
}

macro_rules! loads {
    ($key:ty => $value:ty, |$store:ident, $keys:ident| $read:expr, |$row:ident| $key_of:expr) => {
        impl Loader<$key> for Loads {
            type Value = $value;
            type Error = Arc<StoreError>;

            async fn load(&self, $keys: &[$key]) -> std::result::Result<HashMap<$key, $value>, Self::Error> {
                let $store = &self.0;
                Ok($read.await.map_err(Arc::new)?.into_iter().map(|$row| ($key_of, $row)).collect())
            }
        }
    };
}

loads!(UserId => User, |store, keys| store.users(keys), |user| user.id);
loads!(TopicId => Topic, |store, keys| store.topics(keys), |topic| topic.id);
loads!(ChannelId => Channel, |store, keys| store.channels(keys), |channel| channel.id);
loads!(ClipId => Clip, |store, keys| store.clips(keys), |clip| clip.id);
loads!(TargetId => Target, |store, keys| store.targets(keys), |target| target.id);
loads!(StreamId => Stream, |store, keys| store.streams(keys), |stream| stream.id);
loads!(
    RecordingOf => Recording,
    |store, keys| {
        let streams: Vec<StreamId> = keys.iter().map(|key| key.0).collect();
        async move { store.recordings(&streams).await }
    },
    |recording| RecordingOf(recording.row.stream_id)
);
loads!(
    AudienceOf => StreamAudience,
    |store, keys| {
        let streams: Vec<StreamId> = keys.iter().map(|key| key.0).collect();
        async move { store.stream_audiences(&streams).await }
    },
    |audience| AudienceOf(audience.stream_id)
);
loads!(
    OnTheAir => Stream,
    |store, keys| {
        let channels: Vec<ChannelId> = keys.iter().map(|key| key.0).collect();
        async move { store.streams_on_the_air(&channels).await }
    },
    |stream| OnTheAir(stream.channel_id)
);

/// What a table constraint says must be there.
pub(super) fn found<T>(row: Option<T>) -> Result<T> {
    row.ok_or_else(|| {
        tracing::error!("a row that another refers to is not there");
        ApiError::Internal
    })
}
