//! Sees to it that a release is built again when the web pages have changed: they are inside the binary. A debug
//! build reads them from disk as they are, so it need not be.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A path that is missing counts as changed each time, so it is watched only where it is.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") && Path::new("web/dist").exists() {
        println!("cargo::rerun-if-changed=web/dist");
    }
}
