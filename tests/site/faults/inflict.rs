//! What can go wrong, one method each. Each returns once the fault is over, not once all is well again.

use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use rustix::process::Signal;
use tokio::time::sleep;

use super::history::Claim;
use super::proxy::Weather;
use super::world::World;
use crate::support::{Broadcast, descendants, seconds, send};

/// A crash is over when whoever keeps the process has noticed.
const NOTICED: Duration = Duration::from_millis(500);

impl World {
    /// The API is killed and comes back after a while.
    pub(super) async fn api_is_away(&mut self, away: Duration) {
        self.site.kill_api().await;
        sleep(away).await;
        self.site.start_again().await;
    }

    /// The API stands still.
    pub(super) async fn api_is_frozen(&self, long: Duration) {
        freeze(&[self.site.pid()], long).await;
    }

    /// The API and all of nginx are killed in one moment.
    pub(super) async fn api_and_nginx_are_killed(&mut self) {
        let nginx = self.site.nginx("nginx: ");
        self.site.kill_api().await;
        nginx.into_iter().for_each(|pid| send(pid, Signal::KILL));
        self.site.start_again().await;
    }

    pub(super) async fn nginxs_worker_is_killed(&self) {
        self.nginx_is_told("nginx: worker", Signal::KILL).await;
    }

    pub(super) async fn nginx_is_killed(&self) {
        self.nginx_is_told("nginx: ", Signal::KILL).await;
    }

    /// As by an operator; the old worker goes on with the broadcasts that it has.
    pub(super) async fn nginx_is_reloaded(&self) {
        self.nginx_is_told("nginx: master", Signal::HUP).await;
    }

    pub(super) async fn nginx_is_restarted(&self) {
        self.nginx_is_told("nginx: master", Signal::TERM).await;
    }

    async fn nginx_is_told(&self, title: &str, signal: Signal) {
        self.site.nginx(title).into_iter().for_each(|pid| send(pid, signal));
        sleep(NOTICED).await;
    }

    /// PostgreSQL is stopped in immediate mode, which is a crash that it knows of.
    pub(super) async fn postgres_is_killed(&self) {
        self.site.postmaster().into_iter().for_each(|pid| send(pid, Signal::QUIT));
        sleep(NOTICED).await;
    }

    /// All of PostgreSQL stands still.
    pub(super) async fn postgres_is_frozen(&self, long: Duration) {
        let Some(postmaster) = self.site.postmaster() else { return };
        let family = descendants(postmaster).into_iter().map(|process| process.pid);
        freeze(&[postmaster].into_iter().chain(family).collect::<Vec<_>>(), long).await;
    }

    /// A broadcaster's machine stands still.
    pub(super) async fn publisher_is_frozen(&self, place: usize, long: Duration) {
        let ffmpeg = self.stages[place].publisher.pid();
        freeze(&ffmpeg.into_iter().collect::<Vec<_>>(), long).await;
    }

    /// A broadcaster's packets stop, and nobody is told.
    pub(super) async fn publisher_is_half_open(&self, place: usize, long: Duration) {
        self.stages[place].network.set(Weather::Held);
        sleep(long).await;
        self.stages[place].network.set(Weather::Fair);
    }

    /// A broadcaster has no network for a while.
    pub(super) async fn publisher_is_cut_off(&self, place: usize, long: Duration) {
        self.publisher_is_lost(place).await;
        sleep(long).await;
        self.publisher_is_back(place);
    }

    /// A broadcaster's network is gone, and the API knows it.
    pub(super) async fn publisher_is_lost(&self, place: usize) {
        self.stages[place].network.set(Weather::Closed);
        self.stages[place].network.cut();
        self.until_said(place, Claim::Interrupted).await;
    }

    pub(super) fn publisher_is_back(&self, place: usize) {
        self.stages[place].network.set(Weather::Fair);
    }

    /// A broadcaster's connection is cut again and again.
    pub(super) async fn publisher_flaps(&self, place: usize, times: u32) {
        for _ in 0..times {
            self.stages[place].network.cut();
            sleep(Duration::from_millis(1300)).await;
        }
    }

    /// Somebody else comes with the same key; whether they were turned away.
    pub(super) async fn rival_comes(&self, place: usize) -> bool {
        let mut rival = Broadcast::begin(&self.site, &self.stages[place].channel.key);
        rival.is_turned_away(seconds(6)).await
    }

    /// A transaction that wrote something is left open in the database, by somebody else.
    pub(super) async fn transaction_is_left_open(&self) -> AsyncPgConnection {
        let mut connection = self.connection().await;
        let begin =
            "CREATE TABLE IF NOT EXISTS of_others (number int); BEGIN; INSERT INTO of_others VALUES (1)";
        connection.batch_execute(begin).await.expect("begun");
        connection
    }
}

async fn freeze(processes: &[i32], long: Duration) {
    processes.iter().for_each(|pid| send(*pid, Signal::STOP));
    sleep(long).await;
    processes.iter().for_each(|pid| send(*pid, Signal::CONT));
}
