//! How many times a second a list of 50 live streams, with channel, owner and topic, is answered from PostgreSQL: Tally
//! beside its peers and the limit, in one run.
//!
//! ```text
//! script/with-postgres cargo bench --features bench --bench queries -- [--quick] [--rounds N] [--only NAME,…] [--write]
//! ```
//!
//! Each subject is a process on one core; whoever asks has another, and PostgreSQL both. docs/performance.md says what
//! is measured and how.

#![expect(clippy::disallowed_methods, reason = "what is measured here is the machine's own time")]
#![expect(clippy::print_stdout, reason = "a benchmark's figures are what it is run for")]
#![expect(clippy::cast_precision_loss, reason = "no count here comes near where a float loses one")]

mod bare_handler;
#[path = "../shared/chart.rs"]
mod chart;
mod cluster;
#[path = "../shared/cpu.rs"]
mod cpu;
mod data_loader;
#[path = "../shared/figures.rs"]
mod figures;
#[path = "../shared/ground.rs"]
mod ground;
mod list;
mod load;
#[path = "../shared/plan.rs"]
mod plan;
#[path = "../shared/poll.rs"]
mod poll;
mod pool;
#[path = "../shared/process.rs"]
mod process;
mod statement;
mod subject;
#[path = "../shared/table.rs"]
mod table;

use std::time::Duration;

use serde_json::Value;

use cluster::Cluster;
use figures::{Figures, Row};
use ground::Ground;
use load::Load;
use plan::Plan;
use subject::Subject;

const fn row(place: usize, title: &'static str, more_is_better: bool) -> Row {
    Row { place, title, more_is_better }
}

/// Every request another one, and all of them the same.
const ROWS: [[Row; 3]; 2] = [
    [
        row(0, "all different: requests a second", true),
        row(1, "all different: server CPU µs", false),
        row(2, "all different: PostgreSQL CPU µs", false),
    ],
    [
        row(3, "all equal: requests a second", true),
        row(4, "all equal: server CPU µs", false),
        row(5, "all equal: PostgreSQL CPU µs", false),
    ],
];
const MEMORY: Row = row(6, "server MiB afterwards", false);

fn main() {
    let plan = Plan::read();
    if let Some((name, address)) = &plan.peer {
        let run = if name == Subject::BareHandler.name() { bare_handler::run } else { data_loader::run };
        return run(*address);
    }
    process::prepare_files();
    process::prepare_core();
    let ground = Ground::make(include_str!("seed.sql"));
    let mut cluster = Cluster::of(&ground.database);
    let (mut figures, mut expected) = (Figures::default(), None);
    let subjects: Vec<Subject> = Subject::ALL.into_iter().filter(|it| plan.means(it.name())).collect();
    for round in 1..=plan.rounds {
        for subject in &subjects {
            println!("round {round}: {} (load {})", subject.name(), process::load());
            measure(*subject, &ground, &mut cluster, &plan, &mut figures, &mut expected);
        }
    }
    let names: Vec<&str> = subjects.iter().map(|subject| subject.name()).collect();
    let mut tables = table::side_by_side(&figures, &names);
    tables += &format!("\n{} rounds; load {}.\n", plan.rounds, process::load());
    println!("\n{tables}");
    if plan.write {
        chart::write("queries", &figures, &[ROWS[0][0], ROWS[1][0], ROWS[0][1], ROWS[1][1]], &names);
        table::write("queries", &format!("![The same list, by server](performance/queries.svg)\n\n{tables}"));
    }
}

/// Asks one subject both ways. Everybody must answer as the first one did.
fn measure(
    subject: Subject,
    ground: &Ground,
    cluster: &mut Cluster,
    plan: &Plan,
    figures: &mut Figures,
    expected: &mut Option<Vec<Value>>,
) {
    let (mut process, server) = subject.start(ground);
    let (warm, time) = if plan.quick { (300, 1_000) } else { (2_000, 5_000) };
    let content = |answer: &[u8]| {
        let content = subject.words().content(answer).filter(|list| list.len() == 50);
        content.unwrap_or_else(|| panic!("{}: {}", subject.name(), String::from_utf8_lossy(answer)))
    };
    for (different, [rate, own, database]) in [true, false].into_iter().zip(ROWS) {
        let body = |number: u64| subject.words().body(if different { number } else { 0 });
        let seen = std::cell::RefCell::new(expected.take());
        let check = |answer: &[u8]| {
            let content = content(answer);
            let mut seen = seen.borrow_mut();
            assert_eq!(content, *seen.get_or_insert_with(|| content.clone()), "{}", subject.name());
        };
        let mut load = Load::new(server, &body, &check);
        load.run(Duration::from_millis(warm));
        let before = (process.cpu(), cluster.cpu());
        let answered = load.run(Duration::from_millis(time)) as f64;
        let (used, theirs) = (process.cpu() - before.0, cluster.cpu() - before.1);
        drop(load);
        *expected = seen.into_inner();
        figures.add(rate, subject.name(), answered * 1000.0 / time as f64);
        figures.add(own, subject.name(), used.as_secs_f64() * 1e6 / answered);
        figures.add(database, subject.name(), theirs.as_secs_f64() * 1e6 / answered);
    }
    figures.add(MEMORY, subject.name(), process.memory() / 1024.0);
}
