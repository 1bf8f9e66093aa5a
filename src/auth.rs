//! Who somebody is and what they may do: the installation's secrets, passwords and how often they may be
//! guessed, sessions, stream keys, and the one authorisation question.

mod channel_password;
mod form;
mod guesses;
mod keyring;
mod limit;
mod password;
mod secrets;
mod session;
mod viewer;

pub use channel_password::{ChannelPasswords, Unread};
pub use form::{is_handle, is_password};
pub use guesses::{Counted, Guesses, Origins, network};
pub use keyring::{Keyring, NoStreamKey, NotSealedHere, StreamKey};
pub use limit::{Limit, Wait};
pub use password::{PasswordError, Passwords, Turn};
pub use secrets::{Secrets, SecretsError};
pub use session::{NoSessionToken, SESSION, SessionToken, session_id};
pub use viewer::{Action, Admission, Denied, Viewer};
