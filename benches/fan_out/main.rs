//! How fast and how lean events reach subscribers: Tally beside its peers and the limit, in one run.
//!
//! ```text
//! script/with-postgres cargo bench --features bench --bench fan_out -- \
//!     [--quick] [--size N] [--rounds N] [--only NAME,…] [--write]
//! ```
//!
//! Each subject is a process on one core, and this one, all subscribers in it, has another. docs/performance.md says
//! what is measured and how.

#![expect(clippy::disallowed_methods, reason = "what is measured here is the machine's own time")]
#![expect(clippy::print_stdout, reason = "a benchmark's figures are what it is run for")]
#![expect(clippy::cast_precision_loss, reason = "no count here comes near where a float loses one")]

mod bare_loop;
mod callbacks;
#[path = "../shared/chart.rs"]
mod chart;
#[path = "../shared/cpu.rs"]
mod cpu;
mod crowd;
#[path = "../shared/figures.rs"]
mod figures;
mod frame;
#[path = "../shared/ground.rs"]
mod ground;
mod library;
mod message;
mod phase;
#[path = "../shared/plan.rs"]
mod plan;
#[path = "../shared/poll.rs"]
mod poll;
#[path = "../shared/process.rs"]
mod process;
mod subject;
#[path = "../shared/table.rs"]
mod table;

use figures::Figures;
use ground::Ground;
use message::Faults;
use phase::FAULTS;
use plan::Plan;
use subject::Subject;

/// How many subscribers each subject has, unless that is said.
const SIZE: usize = 10_000;
/// The numbers of subscribers for which Tally is looked at alone, to see how its cost grows.
const SIZES: [usize; 2] = [1_000, 5_000];
/// The most that are ever tried.
const MOST: usize = 20_000;
/// Files that are open besides sockets.
const OTHER_FILES: usize = 500;

/// What is measured, and the figures so far.
struct Run {
    ground: Ground,
    size: usize,
    /// As many as this machine lets.
    most: usize,
    subjects: Vec<Subject>,
    figures: Figures,
    /// Of Tally, by the number of its subscribers.
    growth: Figures,
}

fn main() {
    let plan = Plan::read();
    let files = process::prepare_files();
    if let Some((name, address)) = &plan.peer {
        let run = if name == Subject::BareLoop.name() { bare_loop::run } else { library::run };
        return run(*address);
    }
    process::prepare_core();
    let size = plan.number("--size").unwrap_or(if plan.quick { SIZES[0] } else { SIZE });
    let most = files.saturating_sub(OTHER_FILES).min(MOST);
    let mut run = Run {
        ground: Ground::make(include_str!("seed.sql")),
        size: size.min(most),
        most: if plan.quick { size.min(most) } else { most },
        subjects: Subject::ALL.into_iter().filter(|subject| plan.means(subject.name())).collect(),
        figures: Figures::default(),
        growth: Figures::default(),
    };
    for round in 1..=plan.rounds {
        for subject in run.subjects.clone() {
            println!("round {round}: {} (load {})", subject.name(), process::load());
            run.measure(subject, round);
        }
        if !plan.quick && plan.means(Subject::Tally.name()) {
            println!("round {round}: {} of other sizes (load {})", Subject::Tally.name(), process::load());
            run.grow();
        }
    }
    run.report(&plan);
}

impl Run {
    fn measure(&mut self, subject: Subject, round: usize) {
        let name = subject.name();
        let mut faults = phase::one_channel(subject, name, &self.ground, self.size, &mut self.figures);
        if subject.has_channels() {
            faults.add(phase::own_channels(subject, &self.ground, self.size, &mut self.figures));
        }
        if !subject.is_node() {
            faults.add(phase::the_most(subject, &self.ground, self.most, &mut self.figures));
        }
        if subject == Subject::Tally {
            faults.add(phase::publishers(&self.ground, self.size, round, &mut self.figures));
        }
        note(&mut self.figures, name, faults);
    }

    fn grow(&mut self) {
        for size in self.sizes() {
            let name = size.to_string();
            let faults = phase::one_channel(Subject::Tally, &name, &self.ground, size, &mut self.growth);
            note(&mut self.growth, &name, faults);
        }
    }

    fn report(&self, plan: &Plan) {
        let names: Vec<&str> = self.subjects.iter().map(|subject| subject.name()).collect();
        let mut tables = table::side_by_side(&self.figures, &names);
        if !self.growth.rows().is_empty() {
            let sizes: Vec<String> = self.sizes().map(|size| size.to_string()).collect();
            let sizes: Vec<&str> = sizes.iter().map(String::as_str).collect();
            tables += "\nTally by the number of its subscribers:\n\n";
            tables += &table::medians(&self.growth, &sizes);
        }
        let (size, most, rounds, load) = (self.size, self.most, plan.rounds, process::load());
        tables += &format!("\n{size} subscribers (\"the most\": {most}); {rounds} rounds; load {load}.\n");
        println!("\n{tables}");
        if plan.write {
            chart::write("fan_out", &self.figures, &phase::DRAWN, &names);
            table::write("fan_out", &format!("![Fan-out, by server](performance/fan_out.svg)\n\n{tables}"));
        }
    }

    fn sizes(&self) -> impl Iterator<Item = usize> + use<> {
        SIZES.into_iter().chain([self.size, self.most])
    }
}

fn note(figures: &mut Figures, name: &str, faults: Faults) {
    if faults.sum() > 0 {
        println!("{name}: {faults:?}");
    }
    figures.add(FAULTS, name, faults.sum() as f64);
}
