//! Who somebody is and what they may do: the installation's secrets, passwords, sessions, stream keys, and the
//! one authorisation question.

mod form;
mod keyring;
mod password;
mod secrets;
mod session;
mod viewer;

pub use form::{is_handle, is_password};
pub use keyring::{Keyring, NoStreamKey, NotSealedHere, StreamKey};
pub use password::{PasswordError, Passwords};
pub use secrets::{Secrets, SecretsError};
pub use session::{NoSessionToken, SESSION, SessionToken};
pub use viewer::{Action, Denied, Viewer};
