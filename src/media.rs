//! What is made of a stream besides its segments: playback URLs, pictures, and the end of its files.

mod files;
mod playback;
mod thumbnails;

pub use files::{Files, Janitor};
pub use playback::{Grant, PlaybackTokens, Refused};
pub use thumbnails::Thumbnails;
