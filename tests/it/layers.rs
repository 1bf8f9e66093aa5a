//! What keeps the sources readable, held by a test: who may import whom, where each big library may be named, and
//! how long a file and a function may be.

use std::path::{Path, PathBuf};

/// From the top down. A module imports only from rows beneath its own; those of one row do not know each other.
const LAYERS: [&[&str]; 9] = [
    &["command", "fuzz"],
    &["http"],
    &["graphql"],
    &["ingest", "media"],
    &["auth", "realtime"],
    &["store"],
    &["config"],
    &["telemetry", "lifecycle"],
    &["ambient"],
];

/// Where each library may be named: module or file, and what of it there.
const LIBRARIES: [(&str, &[(&str, &str)]); 4] = [
    ("diesel", &[("store", "")]),
    ("async_graphql", &[("graphql", ""), ("http", "")]),
    ("object_store", &[("media/bucket.rs", ""), ("media/mover.rs", "Error"), ("http/bucket.rs", "")]),
    // The door where nginx calls is routes too; what puts the API together only hands them on.
    (
        "axum",
        &[("http", ""), ("ingest/door.rs", ""), ("command/api.rs", "Router"), ("command/serve.rs", "Router")],
    ),
];

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;

pub(crate) struct Source {
    /// Beneath its folder, with slashes.
    pub(crate) path: String,
    /// The module right beneath the crate.
    module: String,
    /// Without comments and without the tests at its end.
    pub(crate) lines: Vec<String>,
}

pub(crate) fn sources() -> Vec<Source> {
    let sources = beneath("src");
    assert!(sources.len() > 40, "where have the sources gone?");
    sources
}

/// Whatever is not a test, each under its whole path.
fn everything() -> Vec<Source> {
    let named = |folder: &'static str| {
        let path = move |source: &Source| format!("{folder}/{}", source.path);
        beneath(folder).into_iter().map(move |source| Source { path: path(&source), ..source })
    };
    named("src").chain(named("benches")).collect()
}

fn beneath(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    gather(&root, &mut files);
    let read = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let module = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        Source { path, module, lines: product.lines().map(str::to_owned).collect() }
    };
    files.into_iter().filter(|file| !file.ends_with("tests.rs")).map(read).collect()
}

fn gather(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("node_modules") {
            gather(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The words that follow `prefix` in the code of a line.
fn after<'a>(line: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let code = line.split("//").next().unwrap_or_default();
    let starts_a_path = |at: usize| !code[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_');
    let found = code.match_indices(prefix).filter(move |(at, _)| starts_a_path(*at));
    found.map(move |(at, _)| code[at + prefix.len()..].split(|it: char| !is_of_a_name(it)).next().unwrap())
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[test]
fn a_module_imports_only_what_stands_beneath_it() {
    let layer = |module: &str| LAYERS.iter().position(|row| row.contains(&module));
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = layer(&source.module) else {
            assert!(["main", "lib"].contains(&source.module.as_str()), "{} is in no layer", source.path);
            continue;
        };
        for (number, line) in source.lines.iter().enumerate() {
            for other in after(line, "crate::") {
                let beneath = layer(other).is_some_and(|theirs| theirs > own);
                if !beneath && other != source.module {
                    wrong.push(format!("src/{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn each_library_is_named_only_where_it_belongs() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in source.lines.iter().enumerate() {
            for (library, places) in LIBRARIES {
                let allowed = |word: &str| {
                    places.iter().any(|(place, only)| {
                        (source.module == *place || source.path == *place)
                            && (only.is_empty() || word == *only)
                    })
                };
                let direct = after(line, &format!("{library}::")).map(str::to_owned).collect::<Vec<_>>();
                let kin = after(line, &format!("{library}_")).map(|_| String::new()).collect::<Vec<_>>();
                if direct.iter().chain(&kin).any(|word| !allowed(word)) {
                    wrong.push(format!("src/{}:{}: {}", source.path, number + 1, line.trim()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn no_file_is_longer_than_a_few_pages() {
    let long = everything().into_iter().filter(|source| source.lines.len() > LONGEST_FILE);
    let long: Vec<String> = long.map(|it| format!("{}: {} lines", it.path, it.lines.len())).collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_function_is_longer_than_a_page() {
    let mut long = Vec::new();
    for Source { path, lines, .. } in everything() {
        for (start, line) in lines.iter().enumerate() {
            let indent = &line[..line.len() - line.trim_start().len()];
            let is_function = after(line, "fn ").next().is_some_and(|name| !name.is_empty());
            if !is_function || line.ends_with(['}', ';']) || line.trim_start().starts_with("//") {
                continue;
            }
            // The sources are formatted: a function ends where a brace stands under its beginning.
            let end = lines[start..].iter().position(|it| it.strip_prefix(indent) == Some("}"));
            let length = end.map_or(0, |end| end + 1);
            if length > LONGEST_FUNCTION {
                long.push(format!("{path}:{}: {length} lines", start + 1));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
}
