//! Recordings that lie in the bucket. nginx asks for a file when it has none on the disk, after whoever wants it was let in;
//! what comes out of the bucket goes on to the viewer as it comes, at the viewer's pace.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use object_store::{Error, GetOptions, GetRange, GetResult};

use super::internal::Internal;
use crate::media::{Bucket, content_type};
use crate::store::{Loc, StreamId};

/// What is asked for.
struct Asked<'a> {
    loc: Loc,
    id: StreamId,
    /// Whether it must be one that everybody may watch.
    by_everybody: bool,
    file: &'a str,
    kind: &'static str,
    range: Option<GetRange>,
    /// The range is wanted only of what has this tag.
    of_tag: Option<String>,
    unless_tag: Option<String>,
}

/// A file of a recording, whole or in part (RFC 9110, sections 13 and 14); 404 when it is not in the bucket, 503 when that
/// cannot be said now.
pub(super) async fn recording(State(state): State<Arc<Internal>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let (Some(bucket), Some(asked)) = (&state.bucket, Asked::read(&parts)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match state.store.is_in_bucket(asked.id, asked.loc, asked.by_everybody).await {
        Ok(true) => {}
        Ok(false) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, "nobody can say whether a recording may be played");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    match asked.get(bucket, parts.method == Method::HEAD).await {
        Ok(response) => response,
        Err(Error::NotModified { .. }) => StatusCode::NOT_MODIFIED.into_response(),
        Err(error) => {
            tracing::error!(stream = %asked.id, %error, "a recording cannot be read from the bucket");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

impl<'a> Asked<'a> {
    fn read(parts: &'a Parts) -> Option<Self> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let directory = text("x-tally-dir")?;
        let id = directory.strip_prefix("p-").unwrap_or(directory);
        let file = text("x-tally-file").filter(|_| text("x-tally-kept") == Some("recordings"))?;
        Some(Self {
            loc: Loc(text("x-tally-loc")?.parse().ok()?),
            id: StreamId(id.parse().ok()?),
            by_everybody: id == directory,
            file,
            kind: content_type(file)?,
            range: text("range").and_then(range),
            of_tag: text("if-range").map(str::to_owned),
            unless_tag: text("if-none-match").map(str::to_owned),
        })
    }

    async fn get(&self, bucket: &Bucket, head: bool) -> object_store::Result<Response> {
        let whole = GetOptions { if_none_match: self.unless_tag.clone(), head, ..GetOptions::default() };
        let range = match &self.range {
            None => return self.answer(bucket, whole).await,
            // Not every store knows ranges from the end.
            Some(GetRange::Suffix(last)) => {
                let size = self.size(bucket).await?;
                GetRange::Bounded(size.saturating_sub(*last)..size)
            }
            Some(range) => range.clone(),
        };
        let part = GetOptions { range: Some(range.clone()), if_match: self.of_tag.clone(), ..whole.clone() };
        match self.answer(bucket, part).await {
            Err(Error::Precondition { .. }) => self.answer(bucket, whole).await,
            answered @ (Ok(_) | Err(Error::NotModified { .. })) => answered,
            // Stores differ in what they say of a range that begins beyond the end.
            Err(error) => {
                let size = self.size(bucket).await?;
                let is_beyond = match range {
                    GetRange::Bounded(it) => it.start >= size,
                    GetRange::Offset(start) => start >= size,
                    GetRange::Suffix(_) => false,
                };
                if is_beyond {
                    let whole = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
                    return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
                }
                Err(error)
            }
        }
    }

    async fn size(&self, bucket: &Bucket) -> object_store::Result<u64> {
        let head = GetOptions { head: true, ..GetOptions::default() };
        Ok(bucket.get(self.id, self.file, head).await?.meta.size)
    }

    async fn answer(&self, bucket: &Bucket, wanted: GetOptions) -> object_store::Result<Response> {
        let (head, is_part) = (wanted.head, wanted.range.is_some());
        let found = bucket.get(self.id, self.file, wanted).await?;
        let (range, size) = (found.range.clone(), found.meta.size);
        let mut headers: Vec<(HeaderName, String)> = vec![
            (header::CONTENT_TYPE, self.kind.to_owned()),
            (header::CONTENT_LENGTH, (range.end - range.start).to_string()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
        ];
        headers.extend(found.meta.e_tag.clone().map(|tag| (header::ETAG, tag)));
        let mut status = StatusCode::OK;
        if is_part && !head {
            status = StatusCode::PARTIAL_CONTENT;
            let part = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            headers.push((header::CONTENT_RANGE, part));
        }
        let mut response = (status, body(found, head)).into_response();
        for (name, value) in headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

fn body(found: GetResult, head: bool) -> Body {
    if head { Body::empty() } else { Body::from_stream(found.into_stream()) }
}

/// The range that a header asks for; None for several at once, and for what is none: the whole is an answer to both.
fn range(header: &str) -> Option<GetRange> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(GetRange::Suffix),
        (first, "") => number(first).map(GetRange::Offset),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| GetRange::Bounded(first..last.saturating_add(1)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_browsers_write_it() {
        let read = |header: &str| range(header).map(|range| range.to_string());
        assert_eq!(read("bytes=0-").as_deref(), Some("bytes=0-"));
        assert_eq!(read("bytes=5-9").as_deref(), Some("bytes=5-9"));
        assert_eq!(read("bytes=-500").as_deref(), Some("bytes=-500"));
        for none in ["", "bytes=", "bytes=-", "bytes=9-5", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
