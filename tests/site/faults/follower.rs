//! A client that follows the log as the guide tells it to: whenever its connection is gone it comes back and goes on
//! from the last cursor that it has seen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::history::Event;
use crate::support::{Actor, Site, Subscription};

/// How soon it comes back.
const PAUSE: Duration = Duration::from_millis(300);
const DOCUMENT: &str = "subscription ($after: String) { streamEvents(after: $after) {
    __typename cursor stream { uuid channel { loc } } } }";

pub(super) struct Follower {
    seen: Arc<Mutex<Vec<Event>>>,
    /// What it was told that no client should be.
    complaints: Arc<Mutex<Vec<String>>>,
    _following: AbortOnDropHandle<()>,
}

impl Follower {
    /// One that follows from where the list ends.
    pub(super) async fn begin(site: &Site) -> Self {
        let listed = Actor::anonymous(site).data("{ liveStreams { eventCursor } }", json!({})).await;
        let cursor = listed["liveStreams"]["eventCursor"].as_str().expect("a cursor").to_owned();
        let (seen, complaints) = (Arc::default(), Arc::default());
        let following = follow(site.websocket(), cursor, Arc::clone(&seen), Arc::clone(&complaints));
        Self { seen, complaints, _following: AbortOnDropHandle::new(tokio::spawn(following)) }
    }

    pub(super) fn seen(&self) -> Vec<Event> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn follow(
    url: String,
    mut cursor: String,
    seen: Arc<Mutex<Vec<Event>>>,
    complaints: Arc<Mutex<Vec<String>>>,
) {
    loop {
        let open = Subscription::try_open(&url, None, DOCUMENT, json!({"after": cursor}));
        if let Some(mut subscription) = open.await {
            while let Some(message) = subscription.message().await {
                match read(&message) {
                    Ok((event, behind)) => {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                        cursor = behind;
                    }
                    // That is promised, and so is that it may come back.
                    Err(code) if code == "UNAVAILABLE" => break,
                    Err(_) => {
                        complaints.lock().unwrap_or_else(PoisonError::into_inner).push(message.to_string());
                        break;
                    }
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// An event and its cursor, or the code of an error.
fn read(message: &Value) -> Result<(Event, String), String> {
    let event = &message["payload"]["data"]["streamEvents"];
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let read = || {
        let kind = word(&event["__typename"])?.trim_start_matches("Stream").to_lowercase();
        let (stream, loc) = (word(&event["stream"]["uuid"])?, word(&event["stream"]["channel"]["loc"])?);
        Some((Event { kind, stream, loc }, word(&event["cursor"])?))
    };
    let errors = [&message["payload"]["errors"][0], &message["payload"][0]];
    let code = errors.iter().find_map(|error| word(&error["extensions"]["code"]));
    read().ok_or_else(|| code.unwrap_or_default())
}
