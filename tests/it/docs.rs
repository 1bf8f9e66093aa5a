//! What the documents point to is there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> Vec<PathBuf> {
    let markdown = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let inside = |folder: &str| fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    [".", "docs", "migrations", "web"].into_iter().flat_map(inside).filter(markdown).collect()
}

/// The relative targets of a document's links, without their anchors.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    relative.map(|target| target.split('#').next().unwrap())
}

#[test]
fn every_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        broken.extend(links(&text).filter(|target| !folder.join(target).exists()).map(str::to_owned));
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn every_test_that_proves_a_promise_is_in_the_file_that_is_named() {
    let promises = fs::read_to_string(root().join("docs/reliability.md")).unwrap();
    let mut file = String::new();
    let mut named = 0;
    for line in promises.lines().filter(|line| line.starts_with('|')) {
        for part in line.split('[').flat_map(|part| part.split("the same file")) {
            if let Some(target) = links(&format!("[{part}")).next() {
                file = fs::read_to_string(Path::new(&root()).join("docs").join(target)).unwrap();
            }
            for name in part.split('`').skip(1).step_by(2).filter(|word| word.matches('_').count() >= 3) {
                assert!(file.contains(&format!("fn {name}(")), "{name} is not where {line} says");
                named += 1;
            }
        }
    }
    assert!(named > 30, "only {named} tests were found in docs/reliability.md");
}
