//! What can go wrong. A fault begins and ends; one that is over in a moment has nothing left to end.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::join_all;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::callers::FILES;
use super::history::Claim;
use super::proxy::Weather;
use super::world::World;
use crate::support::{Broadcast, Persistent, descendants, seconds, send, until};

/// Whoever keeps a process has noticed its crash by then, and what it carried has stopped.
const NOTICED: Duration = Duration::from_millis(1500);
const REQUESTS: u64 = 1000;

/// One of them; a number is a broadcaster's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The API is killed, and started again in the end.
    ApiAway,
    ApiFrozen,
    /// Killed in one moment, and started again in the end.
    ApiAndNginxAway,
    /// So many requests are broken off in the middle.
    RequestsBrokenOff,
    /// The API can open no more files.
    FilesTaken,
    NginxKilled,
    WorkerKilled,
    /// As by an operator; the old worker goes on with the broadcasts that it has.
    NginxReloaded,
    NginxRestarted,
    /// In immediate mode, which is a crash that it knows of.
    PostgresKilled,
    PostgresFrozen,
    /// Others take every connection that it gives, the API's among them.
    ConnectionsTaken,
    /// Somebody else has written something and does not commit it.
    TransactionOpen,
    /// Somebody else keeps a table to themselves.
    TableLocked,
    /// What lies between the API and its database.
    Line(Weather),
    LineCut,
    /// Every connection is lost without a word.
    LineForgets,
    PublisherFrozen(usize),
    /// Its packets stop, and nobody is told.
    PublisherSilent(usize),
    PublisherCutOff(usize),
    PublisherFlaps(usize),
    /// Another one comes with the same key.
    Rival(usize),
    /// Nothing can be written where HLS and pictures go.
    DiskFull,
}

/// What is held while faults last.
#[derive(Default)]
pub(super) struct Held {
    frozen: Vec<(Fault, Vec<i32>)>,
    connections: Vec<AsyncPgConnection>,
    transaction: Option<AsyncPgConnection>,
    visitors: Vec<TcpStream>,
}

impl World {
    /// A fault that lasts so long.
    pub(super) async fn suffer(&mut self, fault: Fault, long: Duration) {
        self.begin(fault).await;
        sleep(long).await;
        self.end(fault).await;
    }

    pub(super) async fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::ApiAway => self.site.kill_api().await,
            Fault::ApiAndNginxAway => {
                let nginx = self.site.nginx("nginx: ");
                self.site.kill_api().await;
                nginx.into_iter().for_each(|pid| send(pid, Signal::KILL));
            }
            Fault::NginxKilled => self.nginx_is_told("nginx: ", Signal::KILL).await,
            Fault::WorkerKilled => self.nginx_is_told("nginx: worker", Signal::KILL).await,
            Fault::NginxReloaded => self.nginx_is_told("nginx: master", Signal::HUP).await,
            Fault::NginxRestarted => self.nginx_is_told("nginx: master", Signal::TERM).await,
            Fault::PostgresKilled => {
                self.site.postmaster().into_iter().for_each(|pid| send(pid, Signal::QUIT));
                sleep(NOTICED).await;
            }
            Fault::ApiFrozen => self.freeze(fault, vec![self.site.pid()]),
            Fault::PublisherFrozen(place) => {
                self.freeze(fault, self.stages[place].publisher.pid().into_iter().collect());
            }
            Fault::PostgresFrozen => {
                let postmaster = self.site.postmaster().into_iter();
                let all =
                    postmaster.flat_map(|pid| descendants(pid).into_iter().map(|it| it.pid).chain([pid]));
                self.freeze(fault, all.collect());
            }
            Fault::ConnectionsTaken => self.take_connections().await,
            Fault::TransactionOpen => {
                let table = "CREATE TABLE IF NOT EXISTS of_others (number int)";
                self.leave_open(&format!("{table}; BEGIN; INSERT INTO of_others VALUES (1)")).await;
            }
            Fault::TableLocked => self.leave_open("BEGIN; LOCK TABLE streams").await,
            Fault::FilesTaken => {
                let visitors = join_all((0..FILES).map(|_| TcpStream::connect(self.site.listen()))).await;
                self.held.visitors = visitors.into_iter().flatten().collect();
            }
            Fault::RequestsBrokenOff => self.break_off(REQUESTS).await,
            Fault::Line(weather) => self.line.set(weather),
            Fault::LineCut => self.line.cut(),
            Fault::LineForgets => self.line.forget(),
            Fault::PublisherSilent(place) => self.stages[place].network.set(Weather::Held),
            Fault::PublisherCutOff(place) => {
                self.stages[place].network.set(Weather::Closed);
                self.stages[place].network.cut();
            }
            Fault::PublisherFlaps(place) => {
                for _ in 0..3 {
                    self.stages[place].network.cut();
                    sleep(Duration::from_millis(1300)).await;
                }
            }
            Fault::Rival(place) => self.rival_is_turned_away(place).await,
            Fault::DiskFull => self.disk.iter().for_each(super::disk::Disk::fill),
        }
    }

    pub(super) async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::ApiAway | Fault::ApiAndNginxAway => self.site.start_again().await,
            Fault::ApiFrozen | Fault::PublisherFrozen(_) | Fault::PostgresFrozen => self.thaw(fault),
            Fault::ConnectionsTaken => self.held.connections.clear(),
            Fault::TransactionOpen | Fault::TableLocked => self.held.transaction = None,
            Fault::FilesTaken => self.held.visitors.clear(),
            Fault::Line(_) => self.line.set(Weather::Fair),
            Fault::PublisherSilent(place) | Fault::PublisherCutOff(place) => {
                self.stages[place].network.set(Weather::Fair);
            }
            Fault::DiskFull => self.disk.iter().for_each(super::disk::Disk::empty),
            _ => {}
        }
    }

    async fn nginx_is_told(&self, title: &str, signal: Signal) {
        self.site.nginx(title).into_iter().for_each(|pid| send(pid, signal));
        sleep(NOTICED).await;
    }

    fn freeze(&mut self, fault: Fault, processes: Vec<i32>) {
        processes.iter().for_each(|pid| send(*pid, Signal::STOP));
        self.held.frozen.push((fault, processes));
    }

    fn thaw(&mut self, fault: Fault) {
        let over = self.held.frozen.extract_if(.., |(frozen, _)| *frozen == fault);
        over.flat_map(|(_, processes)| processes).for_each(|pid| send(pid, Signal::CONT));
    }

    async fn take_connections(&mut self) {
        let mut first = self.connection().await;
        for _ in 0..3 {
            let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'other'";
            first.batch_execute(terminate).await.expect("closed");
            while let Ok(mut other) = AsyncPgConnection::establish(&self.database).await {
                if other.batch_execute("SET application_name = 'other'").await.is_err() {
                    break;
                }
                self.held.connections.push(other);
            }
        }
    }

    async fn leave_open(&mut self, begin: &str) {
        let mut connection = self.connection().await;
        connection.batch_execute("SET application_name = 'other'").await.expect("named");
        connection.batch_execute(begin).await.expect("begun");
        self.held.transaction = Some(connection);
    }

    async fn rival_is_turned_away(&self, place: usize) {
        let mut rival = Broadcast::begin(&self.site, &self.stages[place].channel.key);
        // Refused by the API, or by nginx while that is away; should nginx itself be away, so much the more.
        assert!(rival.is_turned_away(seconds(8)).await, "nobody else is let in");
    }

    /// A broadcaster's network is gone, and the API knows it.
    pub(super) async fn lose(&mut self, place: usize) {
        self.begin(Fault::PublisherCutOff(place)).await;
        self.until_said(place, Claim::Interrupted).await;
    }

    /// The key is replaced in the very moment in which a broadcaster comes with it, who then takes the new one.
    pub(super) async fn key_is_replaced(&mut self, place: usize, after: Duration) {
        self.lose(place).await;
        self.end(Fault::PublisherCutOff(place)).await;
        sleep(after).await;
        let key = self.streamer.regenerate(&self.stages[place].channel).await;
        let stage = &mut self.stages[place];
        let gone = || async { (!stage.network.carries()).then_some(()) };
        until("the old key is cut off", seconds(6), gone).await;
        stage.publisher = Persistent::begin(&format!("rtmp://{}/live", stage.network.address), &key);
        stage.channel.key = key;
    }
}
