//! `everstep new`: a workflow crate to begin with.

use super::exit::{Exit, Failure};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Relative paths and contents. `{{name}}`, `{{sdk}}` and `{{testing}}` are filled in.
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("new/Cargo.toml.template")),
    (".gitignore", include_str!("new/gitignore.template")),
    ("README.md", include_str!("new/README.md.template")),
    ("src/main.rs", include_str!("new/main.rs.template")),
    ("tests/workflow.rs", include_str!("new/tests.rs.template")),
];

/// Where this program was built, the sources of the SDK and of the testing kit lay here.
const SDK_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");
const TESTING_SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testing");

/// What Cargo refuses as the name of a program, or what would collide with the crate's own dependencies.
const RESERVED: &str = "\
    abstract alloc as async await become box break build const continue core crate deps do dyn else enum \
    everstep-sdk everstep_sdk examples extern false final fn for gen if impl in incremental let loop macro match \
    mod move mut override priv proc-macro proc_macro pub ref return self serde static std struct super test trait \
    true try type typeof unsafe unsized use virtual where while yield con nul";

#[derive(clap::Args)]
pub(crate) struct New {
    /// The crate's name
    #[arg(value_parser = crate_name)]
    name: String,
    /// The crate's directory; made if it is missing [default: NAME]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Also what an execution ARN allows as a function's name.
fn crate_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) || !text.chars().all(plain) || text.len() > 64 {
        return Err("give 1 to 64 letters, digits, - and _, a letter first".into());
    }
    if RESERVED.split_whitespace().any(|reserved| reserved == text.to_lowercase()) {
        return Err(format!("a crate cannot be named {text}; give another name"));
    }
    Ok(text.to_owned())
}

impl New {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        let directory = self.path.unwrap_or_else(|| PathBuf::from(&self.name));
        make(&directory, &self.name, [&dependency(SDK_SOURCE), &dependency(TESTING_SOURCE)])?;
        eprintln!("made the workflow {} in {}; go on with:", self.name, directory.display());
        eprintln!("  cd {}", directory.display());
        eprintln!("  everstep run . --name first --input '{{\"name\":\"Ada\"}}'");
        eprintln!("interrupt it with Ctrl-C and run it again: it goes on where it was. README.md has the rest");
        Ok(Exit::Done)
    }
}

/// A dependency as TOML: its source where that is at hand, else this release.
fn dependency(source: &str) -> String {
    match Path::new(source).canonicalize() {
        // A JSON string is a TOML string too.
        Ok(source) if source.join("Cargo.toml").is_file() => {
            format!("{{ path = {} }}", serde_json::Value::from(source.to_string_lossy()))
        }
        _ => format!("{:?}", env!("CARGO_PKG_VERSION")),
    }
}

/// Writes the crate; overwrites nothing, whoever else writes there.
fn make(directory: &Path, name: &str, [sdk, testing]: [&str; 2]) -> Result<(), Failure> {
    let shown = directory.display();
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(Failure::wrong(format!("{shown} is not empty; choose another directory with --path")));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Failure::wrong(format!(
                "{shown} cannot be used as a directory: {error}; choose another with --path"
            )));
        }
    }
    for (path, template) in FILES {
        let path = directory.join(path);
        let content = template.replace("{{name}}", name).replace("{{sdk}}", sdk).replace("{{testing}}", testing);
        let written = fs::create_dir_all(path.parent().unwrap_or(directory))
            .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&path))
            .and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|error| {
            Failure::unavailable(format!("{} cannot be written: {error}; remove {shown} and try again", path.display()))
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cargo_or_an_arn_would_refuse() {
        for good in ["order", "order-2", "Order_X"] {
            assert_eq!(crate_name(good), Ok(good.to_owned()));
        }
        for bad in ["", "2order", "-x", "ä", "a b", "a/b", "..", "serde", "Self", "test", &"x".repeat(65)] {
            assert!(crate_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_crate_is_made_once_and_never_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("deep/order");
        make(&directory, "order", ["\"1.2.3\"", "\"3.2.1\""]).unwrap();
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        assert!(
            manifest.contains("name = \"order\"\n") && manifest.contains("everstep-sdk = \"1.2.3\"\n"),
            "{manifest}"
        );
        assert!(manifest.contains("everstep-test = \"3.2.1\"\n"), "{manifest}");
        for (path, _) in FILES {
            let content = fs::read_to_string(directory.join(path)).unwrap();
            assert!(!content.contains("{{"), "{path} has a place left open");
        }

        fs::remove_file(directory.join("README.md")).unwrap();
        fs::write(directory.join("src/main.rs"), "mine").unwrap();
        let refused = format!("{:?}", make(&directory, "order", ["\"1.2.3\"", "\"3.2.1\""]).unwrap_err());
        assert!(refused.contains("Wrong") && refused.contains("is not empty"), "{refused}");
        assert_eq!(fs::read_to_string(directory.join("src/main.rs")).unwrap(), "mine");
        assert!(!directory.join("README.md").exists(), "a refusal changes nothing");
    }

    #[test]
    fn an_empty_directory_will_do_and_a_file_will_not() {
        let place = tempfile::tempdir().unwrap();
        make(place.path(), "order", ["\"1\""; 2]).unwrap();
        let file = place.path().join("README.md");
        let refused = format!("{:?}", make(&file, "order", ["\"1\""; 2]).unwrap_err());
        assert!(refused.contains("cannot be used as a directory"), "{refused}");
    }

    #[test]
    fn sources_are_used_where_they_are() {
        for source in [SDK_SOURCE, TESTING_SOURCE] {
            let expected = Path::new(source).canonicalize().unwrap();
            assert_eq!(dependency(source), format!("{{ path = {:?} }}", expected.to_str().unwrap()));
        }
        assert_eq!(dependency("/nowhere"), format!("{:?}", env!("CARGO_PKG_VERSION")));
    }
}
