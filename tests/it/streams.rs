//! A stream's life, from nginx's callbacks to what a viewer sees.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};
use tally::store::Role;

use crate::nginx::{DEAD, Inside, Publisher, Stage, eventually};
use crate::site::{Actor, SECRET, Site};
use crate::sql::Sql;

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_the_key_is_live_under_the_channels_address() {
    let site = Site::start().await;
    let owner = site.actor("mia", Role::Streamer).await;
    let channel = owner.channel("One", json!({})).await;
    let form =
        format!("app=live&clientid=1&call=publish&name={}&type=live", channel["key"].as_str().unwrap());
    let (status, name) = site.callback("publish", &form).await;
    assert_eq!((status, name.as_deref()), (302, channel["loc"].as_str()));
    let live = site.anonymous().data("{ liveStreams { nodes { state channel { loc } } } }", json!({})).await;
    assert_eq!(live["liveStreams"]["nodes"], json!([{"state": "LIVE", "channel": {"loc": channel["loc"]}}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_channels_publisher_goes_by_a_name_that_no_url_can_say() {
    let stage = Stage::with(&[], json!({"protected": true})).await;
    let answer = stage.publisher(1).publish(&stage.site).await;
    assert_eq!(answer, (302, Some(format!("p-{}", stage.loc()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_opens_nothing() {
    let stage = Stage::set().await;
    let right = stage.publisher(1).key;
    let wrong = [
        String::new(),
        "tk_".to_owned(),
        format!("tk_{}", "a".repeat(32)),
        right[..right.len() - 1].to_owned(),
        right.to_uppercase(),
        format!("{right}%00"),
        format!("{right}%20"),
        "%ff%fe%00%c3%28".to_owned(),
        "z".repeat(255),
        "%7a".repeat(5000),
        stage.loc(),
        "../../etc/passwd".to_owned(),
        "'%20OR%201=1--".to_owned(),
    ];
    for key in wrong {
        let answer = Publisher { key: key.clone(), connection: 1 }.publish(&stage.site).await;
        assert_eq!(answer, (403, None), "{key}");
    }
    for form in ["", "clientid=1", "name=x", "&&==&", "clientid=99999999999999999999&name=x"] {
        assert_eq!(stage.site.callback("publish", form).await, (403, None), "{form}");
    }
    let (status, _) = stage.site.callback("publish", &"x".repeat(20_000)).await;
    assert_eq!(status, 413);
    assert_eq!(stage.log().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publisher_appends_to_its_key_speaks_for_nobody_else() {
    let stage = Stage::set().await;
    let other = stage.owner.channel("Two", json!({})).await;
    let (mine, loc) = (stage.publisher(7), stage.loc());
    let injected = format!(
        "&name={}&type=live&name={}&clientid=8&app=x&call=update_publish",
        mine.key,
        other["key"].as_str().unwrap()
    );
    let answer = stage.site.callback("publish", &mine.form("publish", &injected)).await;
    assert_eq!(answer, (302, Some(loc)));
    let eight = Publisher { connection: 8, ..mine.clone() };
    assert_eq!(eight.update(&stage.site, 1).await, 403, "the first clientid counted");
    assert_eq!(mine.update(&stage.site, 1).await, 204);
    // An injected `call` does not turn one callback into another: the path says which it is.
    let left = format!("&name={}&call=update_publish&timestamp=5", mine.key);
    assert_eq!(stage.site.callback("publish-done", &mine.form("publish_done", &left)).await.0, 204);
    assert_eq!(stage.log().await, ["started", "interrupted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_not_broadcast_any_more_is_refused() {
    let stage = Stage::set().await;
    let admin = stage.site.actor("root", Role::Admin).await;
    let id = stage.owner.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let set = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";
    admin.data(set, json!({"input": {"userId": id, "role": "VIEWER"}})).await;
    assert_eq!(stage.publisher(1).publish(&stage.site).await, (403, None));
    admin.data(set, json!({"input": {"userId": id, "role": "STREAMER"}})).await;
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_not_broadcast_any_more_goes_off_the_air() {
    let stage = Stage::set().await;
    let admin = stage.site.actor("root", Role::Admin).await;
    let id = stage.owner.data("{ me { id } }", json!({})).await["me"]["id"].clone();
    let set = "mutation ($input: SetRoleInput!) { setRole(input: $input) { user { role } } }";
    let owner = stage.site.store.user_by_handle("mia").await.unwrap().unwrap();
    for (number, by_command) in [(1, false), (2, true)] {
        let publisher = stage.on_the_air(number).await;
        admin.data(set, json!({"input": {"userId": id, "role": "MODERATOR"}})).await;
        assert_eq!(publisher.update(&stage.site, 1000).await, 204);
        if by_command {
            stage.site.store.set_role(owner.id, Role::Viewer, &stage.site.deed()).await.unwrap();
        } else {
            admin.data(set, json!({"input": {"userId": id, "role": "VIEWER"}})).await;
            eventually("it is cut off", async || stage.nginx.inside().publishers.is_empty()).await;
        }
        assert_eq!(stage.state().await, "OFF");
        assert_eq!(publisher.update(&stage.site, 2000).await, 403);
        admin.data(set, json!({"input": {"userId": id, "role": "STREAMER"}})).await;
    }
    let stopped = "stopped: ended_by_moderator";
    assert_eq!(stage.log().await, ["started", stopped, "started", stopped]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_publisher_never_ends_the_first() {
    let mut stage = Stage::set().await;
    let first = stage.on_the_air(1).await;
    stage.pass(2).await;
    let second = stage.publisher(2);
    assert_eq!(second.publish(&stage.site).await, (403, None));
    assert_eq!(second.update(&stage.site, 5).await, 403);
    assert_eq!(second.done(&stage.site).await, 204);
    assert_eq!(stage.state().await, "LIVE");
    assert_eq!(first.update(&stage.site, 5).await, 204);
    assert_eq!(stage.log().await, ["started"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_returns_within_the_window_goes_on_with_the_same_stream() {
    let mut stage = Stage::set().await;
    let first = stage.on_the_air(1).await;
    let uuid = stage.stream().await["uuid"].clone();
    first.done(&stage.site).await;
    assert_eq!(stage.state().await, "INTERRUPTED");
    stage.pass(9).await;
    assert_eq!(stage.state().await, "INTERRUPTED");
    let second = stage.publisher(2);
    assert_eq!(second.publish(&stage.site).await, (302, Some(stage.loc())));
    let stream = stage.stream().await;
    assert_eq!((&stream["uuid"], &stream["state"]), (&uuid, &json!("LIVE")));
    stage.pass(5).await;
    assert_eq!(second.update(&stage.site, 5000).await, 204);
    stage.pass(5).await;
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_does_not_return_ends_its_stream_once() {
    let mut stage = Stage::set().await;
    let publisher = stage.on_the_air(1).await;
    let uuid = stage.stream().await["uuid"].clone();
    publisher.done(&stage.site).await;
    publisher.done(&stage.site).await;
    stage.pass(10).await;
    assert_eq!(stage.state().await, "OFF");
    publisher.done(&stage.site).await;
    stage.pass(3).await;
    assert_eq!(stage.log().await, ["started", "interrupted", "stopped: publisher_gone"]);
    let query = "query ($loc: UUID!) { channel(loc: $loc) { pastStreams { nodes { uuid state stopReason startedAt endedAt } } } }";
    let past = stage.site.anonymous().data(query, json!({"loc": stage.loc()})).await;
    assert_eq!(
        past["channel"]["pastStreams"]["nodes"],
        json!([{
            "uuid": uuid, "state": "ENDED", "stopReason": "PUBLISHER_GONE",
            "startedAt": "2026-11-23T12:00:00.000Z", "endedAt": "2026-11-23T12:00:10.000Z",
        }])
    );
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
    assert_ne!(stage.stream().await["uuid"], uuid, "what is over is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_window_a_stream_ends_with_its_publisher() {
    let mut stage = Stage::with(&["--reconnect-window", "0s"], json!({})).await;
    let publisher = stage.on_the_air(1).await;
    publisher.done(&stage.site).await;
    stage.site.sweeper.sweep().await.unwrap();
    assert_eq!(stage.state().await, "OFF");
    assert_eq!(stage.log().await, ["started", "interrupted", "stopped: publisher_gone"]);
    stage.pass(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_report_renews_the_lease_and_silence_lets_it_run_out() {
    let mut stage = Stage::set().await;
    stage.nginx.inside().is_away = true;
    let publisher = stage.publisher(1);
    publisher.publish(&stage.site).await;
    for round in 1..=5 {
        stage.pass(5).await;
        assert_eq!(publisher.update(&stage.site, round * 5000).await, 204);
    }
    stage.pass(11).await;
    assert_eq!(stage.state().await, "LIVE");
    stage.pass(1).await;
    assert_eq!(stage.state().await, "INTERRUPTED");
    assert_eq!(publisher.update(&stage.site, 40_000).await, 204, "it was there all along");
    assert_eq!(stage.state().await, "LIVE");
    stage.pass(12 + 10).await;
    assert_eq!(publisher.update(&stage.site, 60_000).await, 403);
    assert_eq!(
        stage.log().await,
        ["started", "interrupted", "resumed", "interrupted", "stopped: publisher_gone"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_media_do_not_move_is_cut_off_at_the_second_report_of_it() {
    let stage = Stage::set().await;
    let squatter = stage.on_the_air(1).await;
    assert_eq!(squatter.update(&stage.site, 0).await, 204);
    assert_eq!(squatter.update(&stage.site, 0).await, 403, "it never sent anything");
    squatter.done(&stage.site).await;
    let publisher = stage.publisher(2);
    publisher.publish(&stage.site).await;
    for (media_time, status) in [(5000, 204), (5000, 204), (9000, 204), (9000, 204), (9000, 403)] {
        assert_eq!(publisher.update(&stage.site, media_time).await, status, "{media_time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_we_were_away_leases_are_given_anew_before_any_is_called_over() {
    let mut stage = Stage::set().await;
    let publisher = stage.on_the_air(1).await;
    stage.nginx.inside().is_away = true;
    stage.site.clock.advance(Duration::from_secs(60));
    stage.site.sweeper.sweep().await.unwrap();
    assert_eq!(stage.state().await, "LIVE", "we were the ones who did not listen");
    assert_eq!(publisher.update(&stage.site, 60_000).await, 204);
    assert_eq!(stage.log().await, ["started"]);
    stage.site.clock.advance(Duration::from_secs(60));
    stage.site.sweeper.sweep().await.unwrap();
    stage.pass(12).await;
    assert_eq!(stage.log().await, ["started", "interrupted"], "but not without end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_forward_or_back_ends_nothing_and_keeps_nothing_waiting() {
    for hour in [TimeDelta::hours(1), TimeDelta::hours(-1)] {
        let mut stage = Stage::set().await;
        stage.nginx.inside().is_away = true;
        let publisher = stage.publisher(1);
        publisher.publish(&stage.site).await;
        stage.site.clock.step(hour);
        stage.pass(5).await;
        assert_eq!(publisher.update(&stage.site, 5000).await, 204);
        publisher.done(&stage.site).await;
        stage.site.clock.step(hour);
        stage.pass(5).await;
        assert_eq!(stage.state().await, "INTERRUPTED", "its window is open");
        assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
        stage.site.clock.step(hour * -2);
        stage.pass(12).await;
        assert_eq!(stage.state().await, "LIVE", "a lease from now on");
        stage.pass(1 + 10).await;
        assert_eq!(stage.state().await, "OFF", "and no longer");
        assert_eq!(
            stage.log().await,
            ["started", "interrupted", "resumed", "interrupted", "stopped: publisher_gone"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_holds_nobody_off_and_ends_nothing_before_it_began() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    stage.site.clock.step(TimeDelta::hours(-1));
    let selection = "stream { startedAt endedAt }";
    let ended = stage.change(&stage.owner, "endStream", "channelId", selection).await;
    let stream = &ended["data"]["endStream"]["stream"];
    assert_eq!(stream["endedAt"], stream["startedAt"], "{ended}");
    stage.site.clock.advance(Duration::from_secs(9));
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 403);
    stage.site.clock.step(TimeDelta::hours(-1));
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_we_were_away_a_stream_waits_for_its_publisher_as_if_it_had_just_gone() {
    let mut stage = Stage::set().await;
    let old = stage.on_the_air(1).await;
    stage.pass(1).await;
    old.done(&stage.site).await;
    stage.site.clock.advance(Duration::from_secs(60));
    stage.site.sweeper.sweep().await.unwrap();
    assert_eq!(stage.state().await, "INTERRUPTED", "nobody was there to let it in");
    stage.pass(9).await;
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
    stage.publisher(2).done(&stage.site).await;
    stage.pass(11).await;
    let end = ["interrupted", "stopped: publisher_gone"];
    assert_eq!(stage.log().await, [&["started", "interrupted", "resumed"][..], &end].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_was_held_up_calls_nothing_over_that_could_not_be_heard() {
    let mut stage = Stage::set().await;
    let publisher = stage.on_the_air(1).await;
    stage.pass(1).await;
    let mut sql = Sql::on(&stage.site.url).await;
    sql.run("BEGIN; LOCK TABLE streams").await;
    let clock = stage.site.clock.clone();
    let frozen = async {
        let waits =
            "SELECT 'waits' AS line FROM pg_locks WHERE NOT granted AND relation = 'streams'::regclass";
        while sql.lines(waits).await.is_empty() {}
        clock.advance(Duration::from_secs(20));
        sql.run("COMMIT").await;
    };
    let (swept, ()) = tokio::join!(stage.site.sweeper.sweep(), frozen);
    swept.unwrap();
    stage.site.sweeper.sweep().await.unwrap();
    assert_eq!(publisher.update(&stage.site, 5000).await, 204);
    assert_eq!(stage.log().await, ["started"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_has_much_to_end_gives_nobody_another_window() {
    let mut stage = Stage::set().await;
    stage.nginx.inside().is_away = true;
    let (mut publishers, mut slow) = (vec![stage.publisher(1)], Vec::new());
    for connection in 2..=4 {
        let channel = stage.owner.channel("Another", json!({})).await;
        publishers.push(Publisher { key: channel["key"].as_str().unwrap().to_owned(), connection });
    }
    // One second after the other their windows open, and will close.
    for publisher in &publishers {
        publisher.publish(&stage.site).await;
        publisher.done(&stage.site).await;
        stage.pass(1).await;
        let mut sql = Sql::on(&stage.site.url).await;
        let connection = publisher.connection;
        sql.run(&format!(
            "BEGIN; SELECT FROM channels JOIN streams ON channel_id = channels.id WHERE connection = {connection} FOR UPDATE OF channels"
        ))
        .await;
        slow.push(sql);
    }
    // The last one can be ended as it is.
    slow.pop();
    stage.pass(5).await;
    stage.site.clock.advance(Duration::from_millis(3500));
    let clock = stage.site.clock.clone();
    let ended_slowly = async {
        for mut sql in slow {
            let waiting = "SELECT 'waits' AS line FROM pg_locks
                WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))";
            eventually("its stream is being ended", async || !sql.lines(waiting).await.is_empty()).await;
            clock.advance(Duration::from_millis(1500));
            sql.run("COMMIT").await;
        }
    };
    let rounds = async {
        for _ in 0..4 {
            stage.site.sweeper.sweep().await.unwrap();
        }
    };
    tokio::join!(rounds, ended_slowly);
    let end = stage.log().await.split_off(8);
    assert_eq!(end, ["stopped: publisher_gone"; 4], "all were heard of in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_written_down_counts_as_one_that_was() {
    let mut stage = Stage::set().await;
    stage.nginx.inside().is_away = true;
    let publisher = stage.publisher(1);
    publisher.publish(&stage.site).await;
    let (mut sql, mut watch) = (Sql::on(&stage.site.url).await, Sql::on(&stage.site.url).await);
    let waiting = "SELECT 'waits' AS line FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    for _ in 0..2 {
        stage.pass(10).await;
        sql.run("BEGIN; SELECT FROM streams FOR UPDATE").await;
        // nginx does not wait for ever either.
        tokio::select! {
            status = publisher.update(&stage.site, 5000) => panic!("{status} though it cannot be written"),
            () = async { while watch.lines(waiting).await.is_empty() {} } => {}
        }
        watch.run(&waiting.replace("'waits' AS line", "pg_cancel_backend(pid)")).await;
        while !watch.lines(waiting).await.is_empty() {}
        sql.run("COMMIT").await;
    }
    stage.pass(11).await;
    assert_eq!(stage.state().await, "LIVE", "the second word was 11 s ago");
    stage.pass(1).await;
    assert_eq!(stage.state().await, "INTERRUPTED");
    assert_eq!(publisher.update(&stage.site, 10_000).await, 204);
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connections_late_word_changes_nothing_for_the_new_one() {
    let stage = Stage::set().await;
    let old = stage.on_the_air(1).await;
    old.done(&stage.site).await;
    let new = stage.publisher(2);
    new.publish(&stage.site).await;
    old.done(&stage.site).await;
    assert_eq!(old.update(&stage.site, 70_000).await, 403);
    assert_eq!(stage.state().await, "LIVE");
    assert_eq!(new.update(&stage.site, 5000).await, 204);
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_number_after_nginx_began_anew_goes_on_under_a_lease_of_its_own() {
    let mut stage = Stage::set().await;
    stage.nginx.inside().is_away = true;
    let publisher = stage.publisher(1);
    publisher.publish(&stage.site).await;
    // nginx dies without a word, starts again and counts from 1; OBS is back before the lease is over.
    stage.pass(11).await;
    assert_eq!(publisher.publish(&stage.site).await, (302, Some(stage.loc())));
    stage.pass(5).await;
    assert_eq!(publisher.update(&stage.site, 5000).await, 204);
    assert_eq!(stage.log().await, ["started"], "its first report came in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_channels_whose_publishers_have_the_same_number_are_not_taken_for_one_another() {
    let mut stage = Stage::set().await;
    let two = stage.owner.channel("Two", json!({})).await;
    let other = Publisher { key: two["key"].as_str().unwrap().to_owned(), connection: 1 };
    // The first channel's publisher is lost with nginx, which then gives its number to the second's.
    stage.nginx.inside().is_away = true;
    stage.publisher(1).publish(&stage.site).await;
    stage.pass(6).await;
    other.publish(&stage.site).await;
    stage.pass(5).await;
    assert_eq!(other.update(&stage.site, 5000).await, 204);
    stage.pass(5).await;
    assert_eq!(other.update(&stage.site, 10_000).await, 204);
    assert_eq!(stage.state().await, "INTERRUPTED");
    stage.pass(6).await;
    assert_eq!(stage.state().await, "OFF");
    let live =
        stage.site.anonymous().data("{ liveStreams { nodes { state channel { loc } } } }", json!({})).await;
    assert_eq!(live["liveStreams"]["nodes"], json!([{"state": "LIVE", "channel": {"loc": two["loc"]}}]));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_workers_crash_the_publisher_is_let_in_at_once() {
    let mut stage = Stage::set().await;
    let alive = std::mem::replace(&mut stage.nginx.inside().worker, DEAD);
    stage.on_the_air(1).await;
    let uuid = stage.stream().await["uuid"].clone();
    stage.pass(1).await;
    *stage.nginx.inside() = Inside { worker: alive, ..Default::default() };
    assert_eq!(stage.publisher(2).publish(&stage.site).await.0, 302);
    assert_eq!(stage.stream().await["uuid"], uuid);
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_crash_is_noticed_at_the_second_look() {
    let mut stage = Stage::set().await;
    let alive = std::mem::replace(&mut stage.nginx.inside().worker, DEAD);
    stage.on_the_air(1).await;
    stage.pass(1).await;
    *stage.nginx.inside() = Inside { worker: alive, ..Default::default() };
    stage.pass(1).await;
    assert_eq!(stage.state().await, "LIVE");
    stage.pass(1).await;
    assert_eq!(stage.state().await, "INTERRUPTED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_goodbye_was_lost_is_missed_at_the_second_look() {
    let mut stage = Stage::set().await;
    stage.on_the_air(1).await;
    stage.pass(1).await;
    stage.nginx.inside().publishers.clear();
    stage.pass(2).await;
    assert_eq!(stage.log().await, ["started", "interrupted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_lost_before_it_was_seen_is_missed_as_soon() {
    let mut stage = Stage::set().await;
    let worker = stage.nginx.inside().worker.to_string();
    let comes = async |stage: &Stage, connection| {
        let form = stage.publisher(connection).form("publish", &format!("&name={}", stage.publisher(1).key));
        stage.site.callback_from(&worker, "publish", &form).await.0
    };
    assert_eq!(comes(&stage, 1).await, 302);
    assert_eq!(comes(&stage, 2).await, 403, "the first may not be listed yet");
    stage.pass(2).await;
    assert_eq!(stage.log().await, ["started", "interrupted"]);
    assert_eq!(comes(&stage, 3).await, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_whose_report_comes_behind_its_goodbye_is_missed_as_soon() {
    let mut stage = Stage::set().await;
    let (worker, publisher) = (stage.nginx.inside().worker.to_string(), stage.publisher(1));
    let form = publisher.form("publish", &format!("&name={}", publisher.key));
    assert_eq!(stage.site.callback_from(&worker, "publish", &form).await.0, 302);
    publisher.done(&stage.site).await;
    assert_eq!(publisher.update(&stage.site, 5000).await, 204, "it was on its way for too long");
    assert_eq!(stage.state().await, "LIVE");
    stage.pass(2).await;
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed", "interrupted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reloaded_nginx_decides_nothing() {
    let mut stage = Stage::set().await;
    // The old worker goes on unlisted, and lives: the first process of this machine stands for it.
    let new = std::mem::replace(&mut stage.nginx.inside().worker, 1);
    let publisher = stage.on_the_air(1).await;
    stage.pass(1).await;
    *stage.nginx.inside() = Inside { worker: new, ..Default::default() };
    stage.pass(4).await;
    assert_eq!(publisher.update(&stage.site, 5000).await, 204);
    assert_eq!(stage.publisher(2).publish(&stage.site).await, (403, None));
    stage.pass(4).await;
    assert_eq!(stage.log().await, ["started"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_looked_for_at_the_wrong_worker_is_missed_once() {
    let mut stage = Stage::set().await;
    // Let in over the old worker's connection by way of the new worker, which answers for HTTP.
    let (worker, publisher) = (stage.nginx.inside().worker.to_string(), stage.publisher(1));
    let form = publisher.form("publish", &format!("&name={}", publisher.key));
    assert_eq!(stage.site.callback_from(&worker, "publish", &form).await.0, 302);
    stage.pass(2).await;
    assert_eq!(stage.log().await, ["started", "interrupted"]);
    for report in 1..4 {
        assert_eq!(publisher.update(&stage.site, 5000 * report).await, 204);
        stage.pass(5).await;
    }
    assert_eq!(stage.log().await, ["started", "interrupted", "resumed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_cuts_the_old_one_off_at_once() {
    let mut stage = Stage::set().await;
    let old = stage.on_the_air(1).await;
    let answer = stage
        .change(&stage.owner, "regenerateStreamKey", "channelId", "channel { ingest { streamKey } }")
        .await;
    let key =
        answer["data"]["regenerateStreamKey"]["channel"]["ingest"]["streamKey"].as_str().unwrap().to_owned();
    assert_ne!(key, old.key);
    assert_eq!(stage.log().await, ["started", "stopped: key_regenerated"]);
    assert_eq!(old.update(&stage.site, 5000).await, 403);
    assert_eq!(old.publish(&stage.site).await, (403, None));
    let (nginx, drop) = (stage.nginx.clone(), (stage.loc(), Some(1)));
    eventually("nginx is told", async || nginx.inside().drops.contains(&drop)).await;
    assert_eq!(Publisher { key, connection: 2 }.publish(&stage.site).await.0, 302);
    old.done(&stage.site).await;
    stage.pass(3).await;
    assert_eq!(stage.log().await, ["started", "stopped: key_regenerated", "started"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_with_the_new_key_is_not_taken_for_the_one_to_be_cut_off() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await.done(&stage.site).await;
    stage.nginx.inside().publishers.clear();
    let answer = stage
        .change(&stage.owner, "regenerateStreamKey", "channelId", "channel { ingest { streamKey } }")
        .await;
    let key =
        answer["data"]["regenerateStreamKey"]["channel"]["ingest"]["streamKey"].as_str().unwrap().to_owned();
    assert_eq!(Publisher { key, connection: 2 }.publish(&stage.site).await.0, 302);
    stage.nginx.inside().publishers.push((stage.loc(), 2));
    // The old connection is not there, so every attempt to cut it off is made.
    eventually("all attempts are made", async || stage.nginx.inside().drops.len() == 5).await;
    assert_eq!(stage.nginx.inside().publishers, [(stage.loc(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_nginx_lists_only_later_is_cut_off_as_well() {
    let stage = Stage::set().await;
    stage.publisher(1).publish(&stage.site).await;
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
    eventually("a first attempt is made", async || !stage.nginx.inside().drops.is_empty()).await;
    stage.nginx.inside().publishers.push((stage.loc(), 1));
    eventually("it is cut off", async || stage.nginx.inside().publishers.is_empty()).await;
}

async fn end(stage: &Stage, actor: &Actor) -> Value {
    stage.change(actor, "endStream", "channelId", "stream { state stopReason endedAt }").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_ended_by_its_owner_or_a_moderator_and_by_nobody_else() {
    let mut stage = Stage::set().await;
    let stranger = stage.site.actor("eve", Role::Streamer).await;
    let moderator = stage.site.actor("moe", Role::Moderator).await;
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].clone();
    assert_eq!(code(&end(&stage, &stage.owner).await), "NOT_FOUND", "off the air");
    let publisher = stage.on_the_air(1).await;
    assert_eq!(code(&end(&stage, &stranger).await), "FORBIDDEN");
    assert_eq!(code(&end(&stage, &stage.site.anonymous()).await), "UNAUTHENTICATED");
    assert_eq!(
        end(&stage, &stage.owner).await["data"]["endStream"]["stream"],
        json!({"state": "ENDED", "stopReason": "ENDED_BY_OWNER", "endedAt": "2026-11-23T12:00:00.000Z"})
    );
    assert_eq!(publisher.update(&stage.site, 5000).await, 403);
    let (nginx, drop) = (stage.nginx.clone(), (stage.loc(), Some(1)));
    eventually("nginx is told", async || nginx.inside().drops.contains(&drop)).await;
    stage.pass(10).await;
    stage.on_the_air(2).await;
    assert_eq!(
        end(&stage, &moderator).await["data"]["endStream"]["stream"]["stopReason"],
        "ENDED_BY_MODERATOR"
    );
    assert_eq!(
        stage.log().await,
        ["started", "stopped: ended_by_owner", "started", "stopped: ended_by_moderator"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_taken_off_the_air_stays_off_for_the_window() {
    for (window, held) in [("0s", 10), ("10s", 10), ("30s", 30)] {
        let mut stage = Stage::with(&["--reconnect-window", window], json!({})).await;
        let publisher = stage.on_the_air(1).await;
        stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
        stage.pass(held - 1).await;
        assert_eq!(publisher.publish(&stage.site).await, (403, None), "{window}");
        stage.pass(1).await;
        assert_eq!(publisher.publish(&stage.site).await.0, 302, "{window}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_opens_a_channel_that_was_taken_off_the_air() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
    let answer = stage
        .change(&stage.owner, "regenerateStreamKey", "channelId", "channel { ingest { streamKey } }")
        .await;
    let key =
        answer["data"]["regenerateStreamKey"]["channel"]["ingest"]["streamKey"].as_str().unwrap().to_owned();
    assert_eq!(Publisher { key, connection: 2 }.publish(&stage.site).await.0, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_channel_goes_off_the_air_and_takes_its_key_with_it() {
    let stage = Stage::set().await;
    let publisher = stage.on_the_air(1).await;
    stage.change(&stage.owner, "deleteChannel", "id", "deletedChannelId").await;
    assert_eq!(stage.log().await, ["started", "stopped: channel_deleted"]);
    let query = "query ($loc: UUID!) { channel(loc: $loc) { id } liveStreams { nodes { id } } }";
    let seen = stage.site.anonymous().data(query, json!({"loc": stage.loc()})).await;
    assert_eq!(seen, json!({"channel": null, "liveStreams": {"nodes": []}}));
    assert_eq!(publisher.update(&stage.site, 5000).await, 403);
    assert_eq!(publisher.publish(&stage.site).await, (403, None));
    let (nginx, drop) = (stage.nginx.clone(), (stage.loc(), Some(1)));
    eventually("nginx is told", async || nginx.inside().drops.contains(&drop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_named_on_the_air_and_afterwards() {
    let stage = Stage::set().await;
    stage.on_the_air(1).await;
    let stranger = stage.site.actor("eve", Role::Streamer).await;
    let id = stage.stream().await["id"].clone();
    let update =
        "mutation ($input: UpdateStreamInput!) { updateStream(input: $input) { stream { name state } } }";
    let name = |name: &str| json!({"input": {"id": id, "name": name}});
    assert_eq!(stranger.error(update, name("Mine")).await, ("FORBIDDEN".to_owned(), None));
    let refused = stage.owner.error(update, name("")).await;
    assert_eq!(refused, ("BAD_USER_INPUT".to_owned(), Some("input.name".to_owned())));
    let named = stage.owner.data(update, name("Speedrun")).await;
    assert_eq!(named["updateStream"]["stream"], json!({"name": "Speedrun", "state": "LIVE"}));
    stage.owner.data(update, json!({"input": {"id": id}})).await;
    assert_eq!(stage.log().await, ["started", "updated"], "what changes nothing is no event");
    stage.change(&stage.owner, "endStream", "channelId", "stream { id }").await;
    let named = stage.owner.data(update, name("Speedrun, 1st try")).await;
    assert_eq!(named["updateStream"]["stream"], json!({"name": "Speedrun, 1st try", "state": "ENDED"}));
    assert_eq!(stage.log().await, ["started", "updated", "stopped: ended_by_owner"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_sent_is_what_nginx_says() {
    const MEDIA: &str = "<bw_video>2500000</bw_video><bw_audio>160400</bw_audio>\
        <meta><video><width>1920</width><height>1080</height><frame_rate>59.94</frame_rate><codec>H264</codec></video>\
        <audio><codec>AAC</codec><channels>2</channels><sample_rate>48000</sample_rate></audio></meta>";
    let mut stage = Stage::set().await;
    stage.on_the_air(1).await;
    let query = "query ($loc: UUID!) { channel(loc: $loc) { stream { media {
        videoCodec width height frameRate videoKbps audioCodec audioChannels audioSampleRate audioKbps } } } }";
    let (anonymous, variables) = (stage.site.anonymous(), json!({"loc": stage.loc()}));
    let media = async || {
        let mut answer = anonymous.data(query, variables.clone()).await;
        answer["channel"]["stream"]["media"].take()
    };
    assert_eq!(media().await, Value::Null);
    stage.pass(1).await;
    assert_eq!(media().await["width"], Value::Null, "on the air, but nothing is known of it yet");
    MEDIA.clone_into(&mut stage.nginx.inside().media);
    stage.pass(5).await;
    assert_eq!(
        media().await,
        json!({
            "videoCodec": "H264", "width": 1920, "height": 1080, "frameRate": 59.94, "videoKbps": 2500,
            "audioCodec": "AAC", "audioChannels": 2, "audioSampleRate": 48000, "audioKbps": 160,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_know_the_secret_is_not_nginx() {
    let stage = Stage::set().await;
    let publisher = stage.publisher(1);
    let form = publisher.form("publish", &format!("&name={}", publisher.key));
    for path in
        ["rtmp/publish", "rtmp/publish-done", "rtmp/update", "rtmp/play", "rtmp/play-done", "media-auth"]
    {
        let url = format!("http://{}/{path}", stage.site.internal);
        for secret in [None, Some(""), Some("wrong"), Some("the-secret-of-tests ")] {
            let request = stage.site.client.post(&url).body(form.clone()).header("x-tally-node", "local");
            let request = match secret {
                Some(secret) => {
                    request.header("x-tally-secret", secret.trim_end_matches(' ').to_owned() + "x")
                }
                None => request,
            };
            assert_eq!(request.send().await.unwrap().status().as_u16(), 403, "{path} {secret:?}");
        }
    }
    assert_eq!(stage.log().await, Vec::<String>::new());
    let metrics = format!("http://{}/metrics", stage.site.internal);
    assert_eq!(stage.site.client.get(metrics).send().await.unwrap().status().as_u16(), 200);
    let outside = format!("http://{}/rtmp/publish", stage.site.public);
    let answer = stage.site.client.post(outside).header("x-tally-secret", SECRET).send().await;
    assert_eq!(answer.unwrap().status().as_u16(), 404, "and the public door has none of it");
}

fn player(call: &str, connection: i64, name: &str) -> String {
    format!(
        "app=live&flashver=x&addr=10.0.0.1&clientid={connection}&call={call}&name={name}&start=4294965296"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmp_players_count_from_their_play_to_their_leave() {
    let mut stage = Stage::set().await;
    let loc = stage.loc();
    let publisher = stage.on_the_air(1).await;
    let (presence, at) = (stage.site.presence.clone(), tally::store::Loc(loc.parse().unwrap()));
    eventually("presence knows of the stream", async || presence.is_on_the_air(at)).await;
    let count = || stage.site.presence.counts(at).map(|(_, _, counts)| (counts.current, counts.total));
    for connection in [10, 11, 12] {
        assert_eq!(stage.site.callback("play", &player("play", connection, &loc)).await.0, 204);
    }
    assert_eq!(stage.site.callback("play", &player("play", 10, &loc)).await.0, 204);
    assert_eq!(count(), Some((3, 3)));
    stage.site.callback("play-done", &player("play_done", 11, &loc)).await;
    assert_eq!(count(), Some((2, 3)));
    for _ in 0..4 {
        stage.site.clock.advance(Duration::from_secs(5));
        assert_eq!(stage.site.callback("update", &player("update_play", 10, &loc)).await.0, 204);
        stage.site.presence.publish();
    }
    assert_eq!(count(), Some((1, 3)), "the one that reports is still there");
    // nginx's own relay, which makes HLS, is nobody.
    let relay = format!("app=&clientid=99&call=play&name={loc}");
    assert_eq!(stage.site.callback("play", &relay).await.0, 204);
    let relay = format!("app=&clientid=99&call=update_play&name={loc}");
    assert_eq!(stage.site.callback("update", &relay).await.0, 204);
    assert_eq!(count(), Some((1, 3)));
    publisher.done(&stage.site).await;
    stage.site.sweeper.sweep().await.unwrap();
    stage.pass(10).await;
    let query = "query ($loc: UUID!) { channel(loc: $loc) { currentViewers views
        pastStreams { nodes { currentViewers peakViewers totalViewers } } } }";
    let seen = stage.site.anonymous().data(query, json!({"loc": loc})).await;
    assert_eq!(
        seen["channel"],
        json!({"currentViewers": 0, "views": 3, "pastStreams": {"nodes": [
            {"currentViewers": 0, "peakViewers": 3, "totalViewers": 3}
        ]}}),
        "what was counted stays"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rtmp_players_are_refused_where_not_everybody_may_watch() {
    let stage = Stage::with(&[], json!({"protected": true})).await;
    stage.on_the_air(1).await;
    let open = stage.owner.channel("Open", json!({})).await;
    let loc = stage.loc();
    let nothing = "018f3c1e-0000-4000-8000-000000000001";
    for name in [&loc, &format!("p-{loc}"), nothing, "", "%ff", &stage.publisher(1).key] {
        assert_eq!(stage.site.callback("play", &player("play", 10, name)).await.0, 403, "{name}");
    }
    let open = open["loc"].as_str().unwrap();
    assert_eq!(stage.site.callback("play", &player("play", 10, open)).await.0, 204);
    assert_eq!(stage.site.callback("play", &player("play", 10, &open.replace('-', ""))).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_begins_together_and_each_gets_its_own_answer() {
    let stage = Stage::set().await;
    let mut crowd = Vec::new();
    for number in 1..=40 {
        let channel =
            stage.owner.channel(&format!("Channel {number}"), json!({"protected": number % 2 == 0})).await;
        let key = channel["key"].as_str().unwrap().to_owned();
        let name = format!("{}{}", if number % 2 == 0 { "p-" } else { "" }, channel["loc"].as_str().unwrap());
        crowd.push((Publisher { key: key.clone(), connection: number }, Some(name)));
        // A second publisher of the same channel, and somebody without a key, in the same crowd.
        crowd.push((Publisher { key, connection: 100 + number }, None));
        crowd.push((Publisher { key: format!("tk_{}", "b".repeat(32)), connection: 200 + number }, None));
    }
    let all = crowd.iter().map(|(publisher, _)| publisher.publish(&stage.site));
    let answers = futures_util::future::join_all(all).await;
    let mut live = 0;
    for (trio, answers) in crowd.chunks(3).zip(answers.chunks(3)) {
        let name = trio[0].1.clone();
        // Which of the two came first is not ours to say; one of them is let in, and the stranger is not.
        let let_in = answers.iter().filter(|answer| **answer == (302, name.clone())).count();
        let refused = answers.iter().filter(|answer| **answer == (403, None)).count();
        assert_eq!((let_in, refused), (1, 2), "{answers:?}");
        assert_eq!(answers[2], (403, None));
        live += let_in;
    }
    assert_eq!(stage.log().await, vec!["started"; live]);
}
