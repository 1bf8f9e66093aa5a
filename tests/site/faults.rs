//! The promises under faults: the real thing with everybody around it, broken on purpose, and what everybody saw
//! held against what is promised.

mod follower;
mod history;
mod inflict;
mod proxy;
mod world;

use self::world::World;
use crate::support::seconds;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_false_whichever_process_is_killed() {
    let _turn = crate::turn().await;
    let mut world = World::of(3, &[]).await;
    world.api_is_away(seconds(0)).await;
    world.settled().await;

    // For longer than a stream waits: nobody can come back meanwhile, and that is not the publisher's fault.
    world.publisher_is_cut_off(0, seconds(2)).await;
    world.publisher_is_lost(1).await;
    world.api_is_away(seconds(12)).await;
    world.publisher_is_back(1);
    world.settled().await;

    world.postgres_is_killed().await;
    world.settled().await;
    world.postgres_is_frozen(seconds(15)).await;
    world.settled().await;
    world.nginxs_worker_is_killed().await;
    world.settled().await;
    world.api_and_nginx_are_killed().await;
    world.settled().await;
    world.nginx_is_killed().await;
    world.settled().await;
    world.end(true).await;
}
