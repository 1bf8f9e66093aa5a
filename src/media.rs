//! What is made of a stream besides its segments: playback URLs, pictures, recordings, and the end of its files;
//! and the covers of channels.

mod catch_up;
mod clips;
mod covers;
mod ffmpeg;
mod files;
mod health;
mod joining;
mod picture;
mod playback;
mod playlist;
mod recorder;
mod relay;
mod renditions;
mod room;
mod shelf;
mod simulcast;
mod thumbnails;
mod transport;

pub use clips::{Clips, Uncut};
pub use covers::{Covers, Uncovered};
pub use files::{Files, Janitor, kept_name};
pub use health::{Health, Point, Warning};
pub use joining::Joiner;
pub use picture::Unreadable;
pub use playback::{Grant, PlaybackTokens, Refused};
pub use recorder::{Recorder, Uncollected};
pub use relay::{relay, stand_in};
pub use renditions::{Rendition, Renditions};
pub use room::Room;
pub use shelf::{Keep, Shelf, Unsettled};
pub use simulcast::{Address, NoAddress, Reason, Simulcast, Standing};
pub use thumbnails::Thumbnails;
