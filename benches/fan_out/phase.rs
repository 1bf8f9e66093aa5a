//! The phases that each subject goes through, and the figures that come of them.

use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::callbacks::Publishers;
use crate::crowd::{Channels, Crowd};
use crate::figures::{Figures, Row, spread};
use crate::ground::Ground;
use crate::message::Faults;
use crate::subject::{Running, Subject};

/// The channel that everybody follows.
pub(crate) const LOC: Uuid = Uuid::from_u128(0x018f_3c1e_7d4a_7000_8000_0123_4567_89ab);

/// The address of a subscriber's own channel.
fn own_loc(subscriber: usize) -> Uuid {
    Uuid::from_u64_pair(0x018f_3c1e_7d4a_7000, 0x8000_0000_0000_0000 | subscriber as u64)
}

const fn row(place: usize, title: &'static str, more_is_better: bool) -> Row {
    Row { place, title, more_is_better }
}

pub(crate) const CONNECT_CPU: Row = row(0, "connect + subscribe, CPU µs", false);
pub(crate) const CONNECT_RATE: Row = row(1, "connects a second", true);
pub(crate) const IDLE: Row = row(2, "KiB an idle subscriber", false);
pub(crate) const ONE_CPU: Row = row(3, "one event: CPU s per million", false);
pub(crate) const ONE_RATE: Row = row(4, "one event: deliveries a second", true);
pub(crate) const ONE_P50: Row = row(5, "one event: p50 ms", false);
pub(crate) const ONE_P99: Row = row(6, "one event: p99 ms", false);
pub(crate) const ONE_LAST: Row = row(7, "one event: last ms", false);
pub(crate) const TEN_CPU: Row = row(8, "ten a second: CPU s per million", false);
pub(crate) const TEN_P99: Row = row(9, "ten a second: p99 ms", false);
pub(crate) const BURST_RATE: Row = row(10, "burst of 50: deliveries a second", true);
pub(crate) const BURST_CPU: Row = row(11, "burst of 50: CPU s per million", false);
pub(crate) const AFTERWARDS: Row = row(12, "KiB a subscriber after fan-out", false);
pub(crate) const OWN_CPU: Row = row(13, "a channel each: connect CPU µs", false);
pub(crate) const OWN_IDLE: Row = row(14, "a channel each: KiB a subscriber", false);
pub(crate) const CROWD_RATE: Row = row(15, "the most, ten a second: deliveries a second", true);
pub(crate) const CROWD_P99: Row = row(16, "the most, ten a second: p99 ms", false);
pub(crate) const PUBLISH_P50: Row = row(17, "publish callback beside ten a second: p50 ms", false);
pub(crate) const PUBLISH_P99: Row = row(18, "publish callback beside ten a second: p99 ms", false);
pub(crate) const FAULTS: Row = row(19, "lost, repeated, out of order, wrong id", false);

/// What the picture shows.
pub(crate) const DRAWN: [Row; 8] =
    [ONE_CPU, ONE_P99, TEN_P99, BURST_RATE, IDLE, AFTERWARDS, CONNECT_CPU, CONNECT_RATE];

/// How often one event is repeated.
const REPEATS: usize = 10;
/// How many events come at once in a burst, and how often.
const BURST: u32 = 50;
const BURSTS: usize = 3;
/// How many events ten a second are, in five seconds.
const TENS: u32 = 50;

/// A subject with its subscribers, and where their figures go.
pub(crate) struct Phases<'a> {
    /// Under which its figures go.
    name: &'a str,
    running: Running,
    crowd: Crowd,
    size: f64,
    /// Of the server before anybody came.
    bare: f64,
    figures: &'a mut Figures,
}

impl<'a> Phases<'a> {
    /// Starts the subject and has everybody subscribe.
    fn begin(
        subject: Subject,
        name: &'a str,
        ground: &Ground,
        size: usize,
        channels: Channels,
        figures: &'a mut Figures,
    ) -> Self {
        let mut running = subject.start(ground);
        running.process.rest();
        let (bare, used, began) = (running.process.memory(), running.process.cpu(), Instant::now());
        let mut crowd = Crowd::gather(running.server, size, channels, subject.is_alike());
        if let Channels::Each(_) = channels {
            crowd.listen_for(size as u64);
        }
        let took = running.process.rest() - began;
        let used = running.process.cpu() - used;
        let mut this = Self { name, running, crowd, size: size as f64, bare, figures };
        let (cpu, idle) = match channels {
            Channels::One(_) => (CONNECT_CPU, IDLE),
            Channels::Each(_) => (OWN_CPU, OWN_IDLE),
        };
        this.add(cpu, used.as_secs_f64() * 1e6 / this.size);
        this.add(idle, this.memory());
        if let Channels::One(_) = channels {
            this.add(CONNECT_RATE, this.size / took.as_secs_f64());
        }
        this
    }

    fn add(&mut self, row: Row, value: f64) {
        self.figures.add(row, self.name, value);
    }

    /// KiB a subscriber.
    fn memory(&self) -> f64 {
        (self.running.process.memory() - self.bare) / self.size
    }

    /// Emits `count` events at once and waits for the last delivery.
    fn emit(&mut self, count: u32) -> Delivery {
        self.running.process.rest();
        self.running.trigger.begin();
        let used = self.running.process.cpu();
        self.crowd.expect(count as usize);
        self.running.trigger.emit(LOC, count);
        self.crowd.listen();
        self.delivered(used)
    }

    fn delivered(&mut self, used: Duration) -> Delivery {
        self.running.process.rest();
        let cpu = (self.running.process.cpu() - used).as_secs_f64();
        self.running.trigger.check();
        Delivery { cpu, delays: self.crowd.delays() }
    }

    fn one_event(&mut self) {
        // What is made at the first time only.
        self.emit(1);
        let delivered: Vec<Delivery> = (0..REPEATS).map(|_| self.emit(1)).collect();
        self.median(ONE_CPU, &delivered, Delivery::cpu_per_million);
        self.median(ONE_RATE, &delivered, Delivery::rate);
        self.median(ONE_P50, &delivered, |it| it.milliseconds(0.5));
        self.median(ONE_P99, &delivered, |it| it.milliseconds(0.99));
        self.median(ONE_LAST, &delivered, |it| it.milliseconds(1.0));
    }

    fn bursts(&mut self) {
        let delivered: Vec<Delivery> = (0..BURSTS).map(|_| self.emit(BURST)).collect();
        self.median(BURST_RATE, &delivered, Delivery::rate);
        self.median(BURST_CPU, &delivered, Delivery::cpu_per_million);
    }

    fn median(&mut self, row: Row, of: &[Delivery], figure: impl Fn(&Delivery) -> f64) {
        // There is none when nothing has come.
        let values: Vec<f64> = of.iter().map(figure).filter(|figure| figure.is_finite()).collect();
        if let Some(spread) = spread(&values) {
            self.add(row, spread.median);
        }
    }

    /// Ten events a second, whether the server keeps up or not. Returns deliveries a second as well.
    fn ten_a_second(&mut self) -> (Delivery, f64) {
        self.running.process.rest();
        self.running.trigger.begin();
        let (used, began) = (self.running.process.cpu(), Instant::now());
        for event in 0..TENS {
            let due = began + Duration::from_millis(100) * event;
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                self.crowd.turn(left);
            }
            self.crowd.expect(1);
            self.running.trigger.emit(LOC, 1);
        }
        self.crowd.listen();
        let took = began.elapsed();
        let delivery = self.delivered(used);
        let rate = delivery.delays.len() as f64 / took.as_secs_f64();
        (delivery, rate)
    }

    fn end(self) -> Faults {
        self.crowd.faults()
    }
}

/// One channel, everybody on it.
pub(crate) fn one_channel(
    subject: Subject,
    name: &str,
    ground: &Ground,
    size: usize,
    figures: &mut Figures,
) -> Faults {
    let mut phases = Phases::begin(subject, name, ground, size, Channels::One(LOC), figures);
    phases.one_event();
    let (tens, _) = phases.ten_a_second();
    phases.add(TEN_CPU, tens.cpu_per_million());
    phases.add(TEN_P99, tens.milliseconds(0.99));
    phases.bursts();
    phases.add(AFTERWARDS, phases.memory());
    phases.end()
}

/// Everybody on a channel of his own.
pub(crate) fn own_channels(subject: Subject, ground: &Ground, size: usize, figures: &mut Figures) -> Faults {
    Phases::begin(subject, subject.name(), ground, size, Channels::Each(own_loc), figures).end()
}

/// Publishers come while everybody is told of ten events a second.
pub(crate) fn publishers(ground: &Ground, size: usize, round: usize, figures: &mut Figures) -> Faults {
    let (tally, mut own) = (Subject::Tally, Figures::default());
    let mut phases = Phases::begin(tally, tally.name(), ground, size, Channels::One(LOC), &mut own);
    let publishers = Publishers::prepare(ground, &phases.running, round);
    let waits = std::thread::scope(|scope| {
        let coming = scope.spawn(|| publishers.come());
        phases.ten_a_second();
        coming.join().expect("all have come")
    });
    let faults = phases.end();
    figures.add(PUBLISH_P50, tally.name(), waits[waits.len() / 2]);
    figures.add(PUBLISH_P99, tally.name(), waits[waits.len() * 99 / 100]);
    faults
}

/// As many as the machine lets, ten events a second.
pub(crate) fn the_most(subject: Subject, ground: &Ground, size: usize, figures: &mut Figures) -> Faults {
    let mut own = Figures::default();
    let mut phases = Phases::begin(subject, subject.name(), ground, size, Channels::One(LOC), &mut own);
    let (tens, rate) = phases.ten_a_second();
    let faults = phases.end();
    figures.add(CROWD_RATE, subject.name(), rate);
    figures.add(CROWD_P99, subject.name(), tens.milliseconds(0.99));
    faults
}

/// What came of some events.
struct Delivery {
    /// Seconds of the server.
    cpu: f64,
    /// Microseconds, in ascending order.
    delays: Vec<u32>,
}

impl Delivery {
    fn cpu_per_million(&self) -> f64 {
        self.cpu * 1e6 / self.delays.len() as f64
    }

    fn milliseconds(&self, share: f64) -> f64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = ((self.delays.len() as f64 * share).ceil() as usize).saturating_sub(1);
        self.delays.get(place).map_or(f64::NAN, |delay| f64::from(*delay) / 1000.0)
    }

    /// Deliveries a second, until the last one.
    fn rate(&self) -> f64 {
        self.delays.len() as f64 * 1000.0 / self.milliseconds(1.0)
    }
}
