//! How fast and how lean events reach subscribers: Tally beside its peers and the limit, in one run.
//!
//! ```text
//! script/with-postgres cargo bench --features bench --bench fan_out -- [--quick] [--size N] [--rounds N] [--only NAME]
//! ```
//!
//! Each subject is a process on one core, and this one, all subscribers in it, has another. docs/performance.md says
//! what is measured and how.

#![expect(clippy::disallowed_methods, reason = "what is measured here is the machine's own time")]
#![expect(clippy::print_stdout, reason = "a benchmark's figures are what it is run for")]
#![expect(clippy::cast_precision_loss, reason = "no count here comes near where a float loses one")]

mod bare_loop;
mod crowd;
#[path = "../shared/figures.rs"]
mod figures;
mod frame;
mod library;
mod message;
mod phase;
#[path = "../shared/poll.rs"]
mod poll;
#[path = "../shared/process.rs"]
mod process;
mod subject;

use uuid::Uuid;

use figures::Figures;
use message::Faults;
use phase::FAULTS;
use subject::{Ground, Subject};

/// The address of a subscriber's own channel.
fn own_loc(subscriber: usize) -> Uuid {
    Uuid::from_u64_pair(0x018f_3c1e_7d4a_7000, 0x8000_0000_0000_0000 | subscriber as u64)
}

struct Plan {
    size: usize,
    most: usize,
    rounds: usize,
    subjects: Vec<Subject>,
}

impl Plan {
    fn read(arguments: &[String], files: usize) -> Self {
        let value = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            arguments.get(place + 1).map(String::as_str)
        };
        let number = |name: &str| value(name).map(|text| text.parse::<usize>().expect("a number"));
        let quick = arguments.iter().any(|argument| argument == "--quick");
        // Some files are open for other things.
        let most = files.saturating_sub(500).min(20_000);
        let size = number("--size").unwrap_or(if quick { 1_000 } else { 10_000 }).min(most);
        let rounds = number("--rounds").unwrap_or(if quick { 1 } else { 3 });
        let only = value("--only");
        let is_meant =
            |subject: &Subject| only.is_none_or(|only| only.split(',').any(|it| it == subject.name()));
        let subjects = Subject::ALL.into_iter().filter(is_meant).collect();
        Self { size, most: if quick { size } else { most }, rounds, subjects }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let files = process::prepare_files();
    if let [peer, name, address] = &arguments[..]
        && peer == "--peer"
    {
        let address = address.parse().expect("an address");
        return if name == Subject::BareLoop.name() {
            bare_loop::run(address)
        } else {
            library::run(address)
        };
    }
    process::prepare_core();
    let plan = Plan::read(&arguments, files);
    let database = std::env::var("TALLY_TEST_DATABASE_URL").expect("run this with script/with-postgres");
    let ground = Ground::make(database, plan.size);
    let mut figures = Figures::default();
    for round in 1..=plan.rounds {
        for subject in &plan.subjects {
            println!("round {round}: {} (load {})", subject.name(), process::load());
            let faults = measure(*subject, &ground, &plan, &mut figures);
            if faults.sum() > 0 {
                println!("round {round}: {}: {faults:?}", subject.name());
            }
            figures.add(FAULTS, subject.name(), faults.sum() as f64);
        }
    }
    print(&figures, &plan);
}

fn measure(subject: Subject, ground: &Ground, plan: &Plan, figures: &mut Figures) -> Faults {
    let mut faults = phase::one_channel(subject, ground, plan.size, figures);
    if subject.has_channels() {
        faults.add(phase::own_channels(subject, ground, plan.size, figures));
    }
    if !subject.is_node() {
        faults.add(phase::the_most(subject, ground, plan.most, figures));
    }
    faults
}

fn print(figures: &Figures, plan: &Plan) {
    println!("\n{} subscribers, {} rounds, load {}", plan.size, plan.rounds, process::load());
    for row in figures.rows() {
        println!("\n{}", row.title);
        for subject in &plan.subjects {
            let Some(spread) = figures.spread(row, subject.name()) else { continue };
            let ratio = figures.ratio(row, Subject::Tally.name(), subject.name());
            let ratio = ratio.filter(|_| *subject != Subject::Tally && row != FAULTS);
            let ratio =
                ratio.map_or(String::new(), |ratio| format!("Tally is {} times better", ratio.text()));
            println!("  {:20} {:24} {ratio}", subject.name(), spread.text());
        }
    }
}
