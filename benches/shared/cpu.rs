//! Processor time, by the scheduler's own accounting.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// What the threads of some processes have used.
#[derive(Default)]
pub(crate) struct Cpu {
    /// Nanoseconds of each thread: those of one that has ended stay.
    threads: HashMap<String, u64>,
}

impl Cpu {
    /// The time that `processes` have used since they began.
    pub(crate) fn used(&mut self, processes: &[u32]) -> Duration {
        for process in processes {
            // One that has ended has used what was seen of it.
            let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { continue };
            for task in tasks.flatten() {
                let figures = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                if let Some(used) = figures.split(' ').next().and_then(|used| used.parse().ok()) {
                    self.threads.insert(task.file_name().to_string_lossy().into_owned(), used);
                }
            }
        }
        Duration::from_nanos(self.threads.values().sum())
    }
}
