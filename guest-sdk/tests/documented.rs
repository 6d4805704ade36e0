//! Every public item of the SDK has a docstring with an example. The source is read by simple rules: the compiler knows
//! of docstrings (`missing_docs`), but not of what is in them. That the examples compile is for the doc tests to say.
#![cfg(not(target_family = "wasm"))]

use std::fs;
use std::path::{Path, PathBuf};

/// Fewer than there are: a reader of the source that finds none must not pass.
const AT_LEAST: usize = 250;

#[test]
fn every_public_item_has_an_example() {
    let (mut found, mut missing) = (0, Vec::new());
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).expect("a source file is readable");
        let lines: Vec<&str> = text.lines().collect();
        let mut in_trait = false;
        for (number, line) in lines.iter().enumerate() {
            in_trait = (in_trait || line.starts_with("pub trait ")) && *line != "}";
            let above = || lines[..number].iter().rev().map(|line| line.trim()).take_while(|line| belongs_below(line));
            if !is_public_item(line, in_trait) || above().any(|line| line == "#[doc(hidden)]") {
                continue;
            }
            found += 1;
            if !above().any(|line| line.starts_with("/// ```")) {
                missing.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(missing.is_empty(), "without an example in the docstring:\n{}", missing.join("\n"));
    assert!(found >= AT_LEAST, "only {found} public items were found");
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the source directory is readable");
    let paths = entries.map(|entry| entry.expect("its entries are readable").path());
    let mut files: Vec<PathBuf> = paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .collect();
    files.sort();
    files
}

/// Functions anywhere (what is private has no plain `pub`), a trait's methods, and types: those at a module's top
/// level, and the pairs that `operation_error!` is given.
fn is_public_item(line: &str, in_trait: bool) -> bool {
    let functions = ["pub fn ", "pub const fn ", "pub async fn ", "pub unsafe fn "];
    let types = ["pub struct ", "pub enum ", "pub trait ", "pub type ", "pub const ", "pub static "];
    let item = line.trim_start();
    functions.iter().any(|start| item.starts_with(start))
        || types.iter().any(|start| line.starts_with(start))
        || (in_trait && line.starts_with("    fn "))
        || item.split_once(", ").is_some_and(|(error, rest)| rest.strip_suffix("Kind") == Some(error))
}

/// Whether a line is part of the docstring or the attributes of the item below it.
fn belongs_below(line: &str) -> bool {
    line.starts_with("///") || line.starts_with("#[")
}
