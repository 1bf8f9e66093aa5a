//! What is made of a stream besides its segments: playback URLs, pictures, recordings, and the end of its files.

mod catch_up;
mod clips;
mod ffmpeg;
mod files;
mod health;
mod joining;
mod playback;
mod playlist;
mod recorder;
mod room;
mod shelf;
mod thumbnails;
mod transport;

pub use clips::{Clips, Uncut};
pub use files::{Files, Janitor, kept_name};
pub use health::{Health, Point, Warning};
pub use joining::Joiner;
pub use playback::{Grant, PlaybackTokens, Refused};
pub use recorder::{Recorder, Uncollected};
pub use room::Room;
pub use shelf::{Keep, Shelf, Unsettled};
pub use thumbnails::Thumbnails;
