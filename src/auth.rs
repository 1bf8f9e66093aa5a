//! Who somebody is and what they may do: the installation's secrets, passwords, sessions, stream keys, and the
//! one authorisation question.

mod secrets;

pub use secrets::{Secrets, SecretsError};
