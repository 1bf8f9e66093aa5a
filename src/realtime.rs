//! What happens as it happens: the event log's tail and the presence of viewers. Both are fed from below and
//! listened to from above; they know nothing of sockets or of GraphQL.

mod log;
mod presence;
mod reports;

pub use log::{Filter, Followed, Log, LogError};
pub use presence::{Audience, Presence, Session};
pub use reports::listen;
