//! The promises under faults: the real thing with everybody around it, broken on purpose, and what everybody saw
//! held against what is promised.

mod callers;
mod disk;
mod fault;
mod follower;
mod history;
mod proxy;
mod soak;
mod world;

use std::time::Duration;

use self::fault::Fault;
use self::proxy::Weather;
use self::world::World;
use crate::support::seconds;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_false_whichever_process_is_killed() {
    let _turn = crate::turn().await;
    let mut world = World::of(3).await;
    let runs = world.runs();
    // Killed in the moment in which a stream loses its publisher, and away while that comes back.
    world.begin(Fault::PublisherCutOff(2)).await;
    world.begin(Fault::ApiAway).await;
    world.end(Fault::PublisherCutOff(2)).await;
    world.end(Fault::ApiAway).await;
    world.settled().await;

    // For longer than a stream waits: nobody can come back meanwhile, and that is not the publisher's fault.
    world.lose(1).await;
    world.suffer(Fault::ApiAway, seconds(11)).await;
    world.end(Fault::PublisherCutOff(1)).await;
    world.settled().await;

    world.begin(Fault::PostgresKilled).await;
    world.settled().await;
    world.suffer(Fault::PostgresFrozen, seconds(14)).await;
    world.settled().await;
    world.suffer(Fault::ConnectionsTaken, seconds(4)).await;
    world.settled().await;
    assert_eq!(world.runs()[0], runs[0], "neither the API nor PostgreSQL drops a publisher");

    world.begin(Fault::WorkerKilled).await;
    world.settled().await;
    // The new worker does not know of whom the old one carries; the API does.
    world.begin(Fault::NginxReloaded).await;
    world.begin(Fault::Rival(0)).await;
    world.suffer(Fault::ApiAndNginxAway, seconds(0)).await;
    world.settled().await;
    world.begin(Fault::NginxKilled).await;
    world.judge(Some(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_counted_in_time_as_it_comes_and_goes() {
    let _turn = crate::turn().await;
    let mut world = World::of(1).await;
    world.crowd(0, 400).await;
    world.until_counted(0, 402).await;
    // Seen to stay, and that while half of them go and the API has just begun anew.
    world.suffer(Fault::ApiAway, seconds(1)).await;
    world.settled().await;
    (0..200).for_each(|_| world.leave(0));
    world.until_counted(0, 202).await;
    (0..202).for_each(|_| world.leave(0));
    world.until_counted(0, 0).await;
    world.judge(Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_false_whatever_line_or_machine_fails() {
    let _turn = crate::turn().await;
    let mut world = World::with_a_line("lines", 4).await;
    world.begin(Fault::TransactionOpen).await;

    let old = world.publishing_over(2).await;
    world.begin(Fault::PublisherFrozen(0)).await;
    world.begin(Fault::PublisherSilent(1)).await;
    world.begin(Fault::LineCut).await;
    world.begin(Fault::PublisherFlaps(2)).await;
    world.suffer(Fault::Line(Weather::Slow(Duration::from_millis(250))), seconds(6)).await;
    world.begin(Fault::LineCut).await;
    world.suffer(Fault::Line(Weather::Halved), seconds(2)).await;
    world.end(Fault::PublisherSilent(1)).await;
    world.end(Fault::PublisherFrozen(0)).await;
    world.settled().await;
    world.strays_come(2, old).await;

    world.begin(Fault::LineForgets).await;
    world.begin(Fault::RequestsBrokenOff).await;
    world.settled().await;
    world.watch(1, "one more");
    world.leave(2);
    world.suffer(Fault::Line(Weather::Held), seconds(14)).await;
    world.settled().await;

    world.begin(Fault::DiskFull).await;
    world.suffer(Fault::FilesTaken, seconds(4)).await;
    world.key_is_replaced(3, Duration::from_millis(600)).await;
    world.end(Fault::DiskFull).await;
    world.settled().await;
    world.plays(0).await;
    world.judge(Some(5)).await;
}
