//! Recordings in a bucket of an object store: S3, or anything that speaks as it does.
//!
//! This is all that Tally asks of such a store: take a recording's files, give one of them out, forget them. The files of a
//! recording lie under its id, which no other recording ever has, and never change.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, BackoffConfig, ClientOptions, GetOptions, GetResult, ObjectStore, RetryConfig,
};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::files;
use super::joining::{JOINED, MP4, PLAYLIST, POSTER};
use crate::ambient;
use crate::config::BucketUrl;
use crate::lifecycle::Failure;
use crate::store::StreamId;

/// How much is sent at once, and held in memory meanwhile: S3 takes parts of 5 MiB and more, and 10,000 of them.
const PART: usize = 8 * 1024 * 1024;
const PARTS: u64 = 9_000;
/// How long the store may say nothing; a part has to reach it over whatever line there is.
const SILENCE: Duration = Duration::from_secs(120);
const CONNECT: Duration = Duration::from_secs(5);
/// Whoever plays waits, and whoever moves tries again anyway.
const RETRIES: usize = 2;

/// A bucket; cloned freely. Not shown: the store knows the keys.
#[derive(Clone)]
pub struct Bucket {
    objects: Arc<dyn ObjectStore>,
    prefix: Key,
}

impl Bucket {
    /// The bucket at `url`. Where its store is, and the keys to it, come from the variables that S3's own tools know:
    /// `AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`.
    ///
    /// # Errors
    /// When these cannot be right.
    pub fn open(url: &BucketUrl) -> Result<Self, Failure> {
        ambient::cryptography();
        let client = ClientOptions::new().with_timeout_disabled().with_read_timeout(SILENCE);
        let client = client.with_connect_timeout(CONNECT).with_allow_http(true);
        let backoff = BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, max_retries: RETRIES, ..RetryConfig::default() };
        // Last what is ours: the environment may set anything.
        let store = AmazonS3Builder::from_env().with_client_options(client).with_retry(retry);
        let store = store.with_bucket_name(url.name()).build()?;
        Ok(Self { objects: Arc::new(store), prefix: Key::parse(url.prefix())? })
    }

    /// Takes the files in `directory` as a recording's. It may be broken off and begun again.
    ///
    /// # Errors
    /// When a file cannot be read or the store does not take it.
    pub async fn put(&self, id: StreamId, directory: &Path) -> io::Result<()> {
        let names = files::names(directory).await?;
        // A directory that is not there lists nothing: it may have been moved just now, and what was not sent must not pass
        // for sent.
        if !names.iter().any(|name| name == PLAYLIST) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the recording is not in its place"));
        }
        for name in names {
            // What is left of the work, if it was broken off at its very end, is nobody's to play.
            let Some(kind) = content_type(&name) else { continue };
            let mut file = File::open(directory.join(&name)).await?;
            let size = file.metadata().await?.len();
            let part = PART.max(usize::try_from(size / PARTS).unwrap_or(usize::MAX));
            let sent = BufWriter::with_capacity(Arc::clone(&self.objects), self.key(id, &name), part);
            let kind = Attributes::from_iter([(Attribute::ContentType, kind)]);
            let mut sent = sent.with_max_concurrency(1).with_attributes(kind);
            if let Err(error) = tokio::io::copy(&mut file, &mut sent).await {
                // What was sent of it would lie there unseen, and be paid for.
                let _ = sent.abort().await;
                return Err(error);
            }
            sent.shutdown().await?;
        }
        Ok(())
    }

    /// A file of a recording, or a part of it.
    ///
    /// # Errors
    /// When there is none, the store is away, or nothing of it is wanted.
    pub async fn get(&self, id: StreamId, name: &str, wanted: GetOptions) -> object_store::Result<GetResult> {
        self.objects.get_opts(&self.key(id, name), wanted).await
    }

    /// Removes all that there is of a recording.
    ///
    /// # Errors
    /// When the store does not.
    pub async fn remove(&self, id: StreamId) -> object_store::Result<()> {
        let found = self.objects.list(Some(&self.prefix.clone().join(id.to_string())));
        let keys = found.map_ok(|object| object.location).boxed();
        self.objects.delete_stream(keys).try_for_each(async |_| Ok(())).await
    }

    fn key(&self, id: StreamId, name: &str) -> Key {
        self.prefix.clone().join(id.to_string()).join(name)
    }
}

/// What a file of a recording is; None for what is none.
pub fn content_type(name: &str) -> Option<&'static str> {
    match name {
        PLAYLIST => Some("application/vnd.apple.mpegurl"),
        JOINED => Some("video/mp2t"),
        MP4 => Some("video/mp4"),
        POSTER => Some("image/jpeg"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{Error, GetRange};
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn a_recording_goes_in_comes_out_in_parts_and_leaves_nothing() {
        let objects = Arc::new(InMemory::new());
        let bucket = Bucket { objects: objects.clone(), prefix: Key::from("recordings") };
        let dir = tempfile::tempdir().unwrap();
        let long: Vec<u8> = (0..2 * PART + 7).map(|place| place as u8).collect();
        std::fs::write(dir.path().join("video.ts"), &long).unwrap();
        std::fs::write(dir.path().join("index.m3u8"), "#EXTM3U\n").unwrap();
        let (this, other) = (StreamId(Uuid::from_u128(1)), StreamId(Uuid::from_u128(2)));
        let nowhere = bucket.put(this, &dir.path().join("nowhere")).await;
        assert_eq!(nowhere.map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
        for id in [this, this, other] {
            bucket.put(id, dir.path()).await.unwrap();
        }
        let wanted = |range| GetOptions { range: Some(range), ..GetOptions::default() };
        let part = bucket.get(this, "video.ts", wanted(GetRange::Bounded(256..259))).await.unwrap();
        assert_eq!((part.meta.size, part.range.clone()), (long.len() as u64, 256..259));
        assert_eq!(part.attributes.get(&Attribute::ContentType).map(AsRef::as_ref), Some("video/mp2t"));
        assert_eq!(part.bytes().await.unwrap().as_ref(), [0, 1, 2]);
        let whole = bucket.get(this, "video.ts", GetOptions::default()).await.unwrap();
        assert_eq!(whole.bytes().await.unwrap(), long);
        bucket.remove(this).await.unwrap();
        bucket.remove(this).await.unwrap();
        let gone = bucket.get(this, "index.m3u8", GetOptions::default()).await;
        assert!(matches!(gone, Err(Error::NotFound { .. })));
        let left: Vec<_> =
            objects.list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
        assert_eq!(left, [format!("recordings/{other}/index.m3u8"), format!("recordings/{other}/video.ts")]);
    }
}
