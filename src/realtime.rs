//! What happens as it happens: the event log's tail, the presence of viewers, and the groups of equal subscribers that
//! are told of it. They are fed from below and listened to from above, and know nothing of sockets or of GraphQL.

mod group;
mod log;
mod presence;
mod reports;

pub use group::{
    Batch, Delivery, End, Group, Groups, Keeps, Key, Manner, Membership, Outlet, Ticket, Update,
};
pub use log::{Filter, Followed, Log, LogError};
pub use presence::{Audience, Presence, Session};
pub use reports::listen;
