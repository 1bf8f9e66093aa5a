//! What is in a segment: its pictures and their times, read from the headers of its MPEG transport stream (ISO/IEC
//! 13818-1). Nothing is decoded.

use std::collections::HashMap;

const PACKET: usize = 188;
/// Ticks of a timestamp in a second, and how many of them there are before it begins anew.
const TICKS: f64 = 90_000.0;
const WRAP: u64 = 1 << 33;

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Content {
    /// How many pictures.
    pub(super) frames: u32,
    /// How many of them are keyframes, as far as is marked.
    pub(super) keyframes: u32,
    /// How many are missing where the others go on.
    pub(super) missing: u32,
    /// From its first picture to the end of its last, in seconds.
    pub(super) seconds: f64,
    /// What its pictures take, in bytes.
    pub(super) video_bytes: u64,
    /// What its sound takes.
    pub(super) audio_bytes: u64,
}

/// What is known of an elementary stream.
#[derive(Default)]
struct Track {
    bytes: u64,
    keyframes: u32,
    times: Vec<u64>,
    is_video: bool,
}

/// Reads a segment. What is no transport stream holds nothing.
pub(super) fn read(segment: &[u8]) -> Content {
    let mut tracks: HashMap<u16, Track> = HashMap::new();
    for packet in segment.chunks_exact(PACKET).filter(|packet| packet[0] == 0x47) {
        let starts = packet[1] & 0x40 != 0;
        let pid = u16::from(packet[1] & 0x1f) << 8 | u16::from(packet[2]);
        let (adapts, carries) = (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0);
        let skipped = if adapts { 1 + usize::from(packet[4]) } else { 0 };
        let Some(payload) = packet.get(4 + skipped..).filter(|_| carries) else { continue };
        if starts && payload.starts_with(&[0, 0, 1]) {
            // Streams 0xE0 to 0xEF are video, 0xC0 to 0xDF audio.
            let is_video = payload.get(3).is_some_and(|id| id & 0xf0 == 0xe0);
            let track = tracks.entry(pid).or_default();
            track.is_video = is_video;
            track.times.extend(time(payload));
            let is_marked = adapts && packet[4] > 0 && packet[5] & 0x40 != 0;
            track.keyframes += u32::from(is_marked);
        }
        if let Some(track) = tracks.get_mut(&pid) {
            track.bytes += payload.len() as u64;
        }
    }
    let audio_bytes = tracks.values().filter(|track| !track.is_video).map(|track| track.bytes).sum();
    let video = tracks.into_values().find(|track| track.is_video).unwrap_or_default();
    let (seconds, missing) = span(video.times.clone());
    Content {
        frames: video.times.len() as u32,
        keyframes: video.keyframes,
        missing,
        seconds,
        video_bytes: video.bytes,
        audio_bytes,
    }
}

/// When a picture is to be shown, as the header in front of it says.
fn time(header: &[u8]) -> Option<u64> {
    let flags = header.get(7)?;
    if flags & 0x80 == 0 {
        return None;
    }
    let bits = |place: usize| header.get(place).copied().map(u64::from);
    Some(
        (bits(9)? >> 1 & 7) << 30
            | bits(10)? << 22
            | (bits(11)? >> 1) << 15
            | bits(12)? << 7
            | bits(13)? >> 1,
    )
}

/// From the first to the end of the last, and how many are missing: where the next comes later than after one and a half
/// of the usual distance.
fn span(mut times: Vec<u64>) -> (f64, u32) {
    // They may begin anew within a segment: those of the new round are then the later ones.
    if let (Some(least), Some(most)) = (times.iter().min().copied(), times.iter().max().copied())
        && most - least > WRAP / 2
    {
        times.iter_mut().filter(|time| **time < WRAP / 2).for_each(|time| *time += WRAP);
    }
    times.sort_unstable();
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return (0.0, 0) };
    let distances: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let mut sorted = distances.clone();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let missing = |distance: u64| match usual {
        0 => 0,
        usual => ((distance as f64 / usual as f64).round() as u32).saturating_sub(1),
    };
    ((last - first + usual) as f64 / TICKS, distances.into_iter().map(missing).sum())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Two seconds of a test picture at 30 a second, with a keyframe in each half second and sound, without the pictures
    /// that `select` leaves out.
    fn made(select: &str) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("made.ts");
        let done = Command::new("ffmpeg")
            .args(["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=160x90:rate=30"])
            .args([
                "-f",
                "lavfi",
                "-i",
                "sine",
                "-t",
                "2",
                "-vf",
                &format!("select='{select}'"),
                "-fps_mode",
                "passthrough",
            ])
            .args(["-c:v", "libx264", "-g", "15", "-keyint_min", "15", "-sc_threshold", "0", "-c:a", "aac"])
            .arg(&file)
            .status();
        assert!(done.unwrap().success());
        std::fs::read(file).unwrap()
    }

    #[test]
    fn pictures_are_counted_and_so_are_those_that_are_missing() {
        let whole = read(&made("1"));
        assert_eq!((whole.frames, whole.keyframes, whole.missing), (60, 4, 0));
        assert!((whole.seconds - 2.0).abs() < 0.01, "{whole:?}");
        assert!(whole.video_bytes > 5_000 && whole.audio_bytes > 5_000, "{whole:?}");
        let torn = read(&made("not(between(n,20,24))*not(eq(n,40))"));
        assert_eq!((torn.frames, torn.missing), (54, 6));
    }

    #[test]
    fn times_may_begin_anew_in_a_segment() {
        let times = [WRAP - 3000, WRAP - 6000, 0, 3000].to_vec();
        assert_eq!(span(times), (4.0 * 3000.0 / TICKS, 0));
    }

    proptest! {
        #[test]
        fn no_segment_is_a_danger(mut bytes: Vec<u8>, packets in 0_usize..4) {
            read(&bytes);
            bytes.resize(packets * PACKET, 0x47);
            read(&bytes);
        }
    }
}
