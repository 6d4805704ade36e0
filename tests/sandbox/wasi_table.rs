//! `docs/wasi.md` has one row for each function of WASI, and none for anything else.

use crate::support::root;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// The definitions of the interfaces that the host is built with.
fn definitions() -> Vec<PathBuf> {
    let said = |command: &mut Command| {
        let output = command.current_dir(root()).output().expect("it runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let version = said(Command::new("rustc").arg("-vV"));
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc says for which host it is");
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", host];
    let metadata: Value = serde_json::from_str(&said(Command::new(env!("CARGO")).args(arguments))).expect("JSON");
    let directory = |package: &str, below: &str| {
        let mut packages = metadata["packages"].as_array().expect("packages").iter();
        let found = packages.find(|found| found["name"] == package).expect("the host depends on it");
        let manifest = PathBuf::from(found["manifest_path"].as_str().expect("a path"));
        manifest.parent().expect("a directory").join(below)
    };
    let wasi = directory("wasmtime-wasi", "src/p2/wit/deps");
    let mut files: Vec<_> = ["cli", "clocks", "filesystem", "io", "random", "sockets"]
        .iter()
        .map(|package| wasi.join(package).with_extension("wit"))
        .collect();
    files.push(directory("wasmtime-wasi-http", "wit/deps").join("http.wit"));
    files
}

/// `interface function` of each function in a definition; methods as `resource.method`.
fn functions(definition: &str) -> Vec<String> {
    let (mut package, mut interface, mut resource, mut depth) = ("", "", "", 0);
    let mut functions = Vec::new();
    for line in definition.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let named = |keyword: &str| line.strip_prefix(keyword)?.split([' ', '@', ';', '{']).next();
        if let Some(name) = named("package ") {
            package = name;
        } else if let (Some(name), 0) = (named("interface "), depth) {
            interface = name;
        } else if let (Some(name), true) = (named("resource "), line.ends_with('{')) {
            resource = name;
        }
        let name = match line.split_once(':') {
            Some((name, kind)) if kind.trim_start().trim_start_matches("static ").starts_with("func") => Some(name),
            _ => line.starts_with("constructor").then_some("constructor"),
        };
        if let Some(name) = name {
            let dot = if resource.is_empty() { "" } else { "." };
            functions.push(format!("{package}/{interface} {resource}{dot}{}", name.trim_start_matches('%')));
        }
        depth += line.matches('{').count();
        depth -= line.matches('}').count();
        if depth < 2 {
            resource = "";
        }
    }
    functions
}

/// The same of the table's rows.
fn rows(table: &str) -> Vec<String> {
    let mut interface = "";
    let mut rows = Vec::new();
    for line in table.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            interface = heading;
        } else if line.starts_with("| `") {
            let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
            assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "not three cells: {line}");
            rows.push(format!("{interface} {}", cells[0].trim_matches('`')));
        }
    }
    rows
}

#[test]
fn the_table_has_one_row_for_each_function() {
    let mut expected: Vec<String> = definitions()
        .iter()
        .flat_map(|file| functions(&std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file:?}: {error}"))))
        .collect();
    let mut found = rows(&std::fs::read_to_string(root().join("docs/wasi.md")).expect("the table"));
    assert!(expected.len() > 150, "the definitions were not understood: {expected:?}");
    expected.sort_unstable();
    found.sort_unstable();
    let missing: Vec<_> = expected.iter().filter(|function| !found.contains(function)).collect();
    let wrong: Vec<_> = found.iter().filter(|row| !expected.contains(row)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "without a row: {missing:#?}\nno function: {wrong:#?}");
    assert_eq!(found, expected, "a function has two rows");
}
