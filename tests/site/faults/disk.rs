//! A small disk of its own for what nginx and ffmpeg write, so that it can be full.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// How large it is, in bytes: streams of the tests write some 50 kB/s each, for a minute.
const SIZE: usize = 48 * 1024 * 1024;

pub(super) struct Disk {
    directory: TempDir,
}

impl Disk {
    /// None, and loudly so, where this machine does not let us have one.
    pub(super) fn new() -> Option<Self> {
        let directory = tempfile::Builder::new().prefix("tally-disk-").tempdir().expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={SIZE},mode=0777"), "tmpfs"]).arg(directory.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self { directory });
        }
        eprintln!("SKIPPED: a full disk. Mounting one takes root and a system that lets it.");
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Not a byte is left.
    pub(super) fn fill(&self) {
        let mut file = fs::File::create(self.path().join("ballast")).expect("a file");
        let piece = vec![0; 64 * 1024];
        while file.write_all(&piece).is_ok() {}
    }

    pub(super) fn empty(&self) {
        fs::remove_file(self.path().join("ballast")).expect("removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever has died in a failed test may still have it open.
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
