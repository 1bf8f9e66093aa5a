//! The long form, `make soak`: one fault after the other and two at a time, as a seed has it.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tally::ambient::Chance;
use tokio::time::sleep;

use super::fault::Fault;
use super::proxy::Weather;
use super::world::World;
use crate::support::seconds;

/// How many broadcasters each site has.
const BROADCASTERS: usize = 3;
/// How much more memory the API may take in the end, in KiB: the allocator keeps some of what it was given.
const GROWTH: u64 = 32 * 1024;
/// How many files and tasks more may be open at one moment than at another with as many visitors: idle connections to
/// the database and of nginx.
const SLACK: u64 = 24;

/// What a run of the long form is made of.
struct Dice(Chance);

impl Dice {
    fn below(&self, many: u64) -> u64 {
        u64::from_le_bytes(self.0.bytes()) % many
    }

    fn of(&self, faults: &[Fault]) -> Fault {
        faults[self.below(faults.len() as u64) as usize]
    }

    /// How long a fault lasts.
    fn while_it_lasts(&self) -> Duration {
        Duration::from_millis(200 + self.below(14_000))
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes half an hour: make soak"]
async fn whatever_happens_for_however_long() {
    let long = std::env::var("TALLY_SOAK").map_or(seconds(30 * 60), |long| {
        humantime::parse_duration(&long).expect("TALLY_SOAK is a time like 30m")
    });
    let seed = std::env::var("TALLY_SEED").ok().map_or_else(
        || u64::from_le_bytes(Chance::system().bytes()),
        |seed| seed.parse().expect("TALLY_SEED is a number"),
    );
    eprintln!("soak for {long:?}; the same again with TALLY_SEED={seed}");
    // Each is judged, whatever is found of the other.
    let processes = AssertUnwindSafe(processes(seed, long)).catch_unwind();
    let lines = AssertUnwindSafe(lines(seed.wrapping_add(1), long)).catch_unwind();
    let (processes, lines) = tokio::join!(processes, lines);
    assert!(processes.is_ok() && lines.is_ok(), "what was found is above");
}

async fn processes(seed: u64, long: Duration) {
    let mut faults = vec![
        Fault::ApiAway,
        Fault::ApiFrozen,
        Fault::ApiAndNginxAway,
        Fault::NginxKilled,
        Fault::WorkerKilled,
        Fault::NginxReloaded,
        Fault::NginxRestarted,
        Fault::PostgresKilled,
        Fault::PostgresFrozen,
        Fault::ConnectionsTaken,
    ];
    faults.extend((0..BROADCASTERS).flat_map(of_publisher));
    let mut world = World::of(BROADCASTERS).await;
    rounds(&mut world, "processes", &Dice(Chance::seeded(seed)), &faults, long).await;
    world.judge(None).await;
}

async fn lines(seed: u64, long: Duration) {
    let mut faults = vec![
        Fault::ApiFrozen,
        Fault::RequestsBrokenOff,
        Fault::FilesTaken,
        Fault::TransactionOpen,
        Fault::TableLocked,
        Fault::Line(Weather::Held),
        Fault::Line(Weather::Halved),
        Fault::Line(Weather::Closed),
        Fault::Line(Weather::Slow(Duration::from_millis(250))),
        Fault::LineCut,
        Fault::LineForgets,
        Fault::DiskFull,
    ];
    faults.extend((0..BROADCASTERS).flat_map(of_publisher));
    let mut world = World::with_a_line("soak", BROADCASTERS).await;
    // What everything takes once it has been used once.
    let dice = Dice(Chance::seeded(seed));
    for fault in [Fault::RequestsBrokenOff, Fault::FilesTaken, Fault::LineCut, Fault::TableLocked] {
        for _ in 0..3 {
            world.suffer(fault, seconds(2)).await;
        }
        settled(&world).await;
    }
    let before = rested(&world).await;
    rounds(&mut world, "lines", &dice, &faults, long).await;
    let after = rested(&world).await;
    eprintln!("lines: memory, files and tasks were {before:?} and are {after:?}");
    assert!(after[0] <= before[0] + GROWTH, "memory: {before:?}, then {after:?}");
    for what in 1..3 {
        assert!(after[what] <= before[what] + SLACK, "files and tasks: {before:?}, then {after:?}");
    }
    world.judge(None).await;
}

fn of_publisher(place: usize) -> [Fault; 5] {
    [
        Fault::PublisherFrozen(place),
        Fault::PublisherSilent(place),
        Fault::PublisherCutOff(place),
        Fault::PublisherFlaps(place),
        Fault::Rival(place),
    ]
}

/// One fault, then two at a time, and so on; after each round all must be well again.
async fn rounds(world: &mut World, name: &str, dice: &Dice, faults: &[Fault], long: Duration) {
    let (since, mut longest) = (Instant::now(), Duration::ZERO);
    while since.elapsed() < long {
        let fault = dice.of(faults);
        eprintln!("{name} at {:?}: {fault:?}", world.now());
        let place = dice.below(BROADCASTERS as u64) as usize;
        match dice.below(2) {
            0 => world.leave(place),
            _ => world.watch(place, &format!("viewer {}", dice.below(1000))),
        }
        world.suffer(fault, dice.while_it_lasts()).await;
        longest = longest.max(settled(world).await);
        let (first, second) = (dice.of(faults), dice.of(faults));
        if !go_together(first, second) {
            continue;
        }
        eprintln!("{name} at {:?}: {first:?} and {second:?}", world.now());
        world.begin(first).await;
        sleep(dice.while_it_lasts() / 4).await;
        world.suffer(second, dice.while_it_lasts()).await;
        world.end(first).await;
        longest = longest.max(settled(world).await);
    }
    eprintln!("{name}: all was well again within {longest:?} after each");
}

/// How long it takes until all is well again.
async fn settled(world: &World) -> Duration {
    let over = Instant::now();
    world.settled().await;
    over.elapsed()
}

/// Two that strike the same cannot be told apart; and a program that is started while its database stands still says
/// so and ends, which is for whoever started it.
fn go_together(first: Fault, second: Fault) -> bool {
    let away = |fault| matches!(fault, Fault::ApiAway | Fault::ApiAndNginxAway);
    let api = |fault| away(fault) || matches!(fault, Fault::ApiFrozen | Fault::RequestsBrokenOff);
    let line = |fault| matches!(fault, Fault::Line(_));
    let others = |fault| matches!(fault, Fault::TransactionOpen | Fault::TableLocked);
    let alike = |one: &dyn Fn(Fault) -> bool| one(first) && one(second);
    let same = first == second || alike(&api) || alike(&line) || alike(&others);
    // With the key of a publisher who is gone somebody else is let in, and rightly.
    let invited = |rival, other| matches!(rival, Fault::Rival(of) if of_publisher(of).contains(&other));
    !same && !invited(first, second) && !invited(second, first) && !away(second)
}

/// Memory, open files and tasks of the API, once nothing is going on.
async fn rested(world: &World) -> [u64; 3] {
    world.settled().await;
    sleep(seconds(20)).await;
    let pid = world.site.pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let memory = memory.trim().trim_end_matches(" kB").parse().expect("a number");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its files").count() as u64;
    let figures = world.site.client.get(world.site.internal("/metrics")).send().await.expect("its figures");
    let figures = figures.text().await.expect("text");
    let tasks = figures.lines().find_map(|line| line.strip_prefix("tally_tasks ")).expect("its tasks");
    [memory, files, tasks.parse().expect("a number")]
}
