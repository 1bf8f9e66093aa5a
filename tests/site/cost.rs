//! What one broadcast costs the machine besides nginx. Measured, not held to anything: `make cost`.

use std::fs;
use std::time::Instant;

use crate::support::{Actor, Broadcast, Playlist, Site, descendants, seconds};

/// Seconds of processor that a process has taken, and those of its children that have ended.
fn taken(pid: i32) -> (f64, f64) {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return (0.0, 0.0) };
    // The name, in brackets, may hold anything.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return (0.0, 0.0) };
    let ticks: Vec<f64> = rest.split(' ').skip(11).take(4).filter_map(|text| text.parse().ok()).collect();
    let [user, system, children_user, children_system] = ticks[..] else { return (0.0, 0.0) };
    // The kernel tells in hundredths, whatever it counts in.
    ((user + system) / 100.0, (children_user + children_system) / 100.0)
}

/// Of the API itself, of the ffmpeg runs that it has seen end, of PostgreSQL, and of nginx.
fn all_taken(site: &Site) -> [f64; 4] {
    let (api, ended) = taken(site.pid());
    let of = |name: &str| {
        let named = descendants(site.pid()).into_iter().filter(|it| it.command.contains(name));
        named.map(|process| taken(process.pid).0).sum::<f64>()
    };
    [api, ended, of("postgres"), of("nginx")]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, for two minutes: make cost"]
async fn what_a_broadcast_costs() {
    for flags in [&[][..], &["--renditions", "480p:1200k,360p:700k"]] {
        let site = Site::start(flags).await;
        let owner = Actor::streamer(&site, "owner").await;
        let channel = owner.channel("Costly", false).await;
        let _publisher = Broadcast::of_size(&site, &channel.key, "1280x720", "2500k");
        let url = owner.playback(&channel.loc).await;
        Playlist::of(&site.client, &url, 1).await;
        // What happens once, at the start, is not what it costs.
        tokio::time::sleep(seconds(10)).await;
        let (before, since) = (all_taken(&site), Instant::now());
        while since.elapsed() < seconds(60) {
            Playlist::try_get(&site.client, &url).await;
            tokio::time::sleep(seconds(1)).await;
        }
        let (after, minutes) = (all_taken(&site), since.elapsed().as_secs_f64() / 60.0);
        let each: Vec<f64> =
            after.iter().zip(before).map(|(after, before)| (after - before) / minutes).collect();
        println!(
            "{flags:?}: seconds of processor a minute: API {:.2}, ffmpeg {:.2}, PostgreSQL {:.2}; beside nginx {:.2}; nginx {:.2}",
            each[0],
            each[1],
            each[2],
            each[..3].iter().sum::<f64>(),
            each[3]
        );
        site.stop().await;
    }
}
