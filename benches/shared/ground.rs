//! What subjects stand on: a database that holds what they are asked for, and a directory for the product's files.

use std::path::Path;
use std::process::Command;

/// Both, for as long as a benchmark runs.
pub(crate) struct Ground {
    pub(crate) database: String,
    pub(crate) directory: tempfile::TempDir,
}

impl Ground {
    /// The database that script/with-postgres made, with Tally's tables and what `statements` put into them.
    pub(crate) fn make(statements: &str) -> Self {
        let database = std::env::var("TALLY_TEST_DATABASE_URL").expect("run this with script/with-postgres");
        let ground = Self { database, directory: tempfile::tempdir().expect("a directory") };
        succeed(&mut ground.tally("migrate"));
        let file = ground.directory.path().join("seed.sql");
        std::fs::write(&file, statements).expect("a file");
        succeed(Command::new("psql").args([&ground.database, "-v", "ON_ERROR_STOP=1", "-qf"]).arg(file));
        ground
    }

    /// The product, told to do `what`.
    pub(crate) fn tally(&self, what: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tally"));
        command
            .arg(what)
            .env("TALLY_DATABASE_URL", &self.database)
            .env("TALLY_DATA_DIR", self.directory.path());
        command
    }

    /// This program as the peer of that name.
    pub(crate) fn peer(&self, name: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("a name"));
        command.args(["--peer", name]).env("DATABASE_URL", &self.database);
        command
    }

    /// The peer that Node runs from a file in `benches/peers`.
    pub(crate) fn node(&self, file: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(file));
        command.env("NODE_ENV", "production").env("DATABASE_URL", &self.database);
        command
    }
}

fn succeed(command: &mut Command) {
    let status = command.status().expect("a process");
    assert!(status.success(), "{command:?}");
}
