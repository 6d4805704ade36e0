//! The functions that a workflow run from the command line can invoke.

use super::exit::Failure;
use crate::embedded::{Embedded, FunctionCall, Functions};
use crate::workflow::Source;
use everstep_core::protocol::{ComponentDigest, ErrorObject, ExecutionConfig, FunctionName};
use everstep_core::service::{self, Deployed, Target, function_not_found};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::OnceLock;

/// `NAME[:VERSION]=PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    name: String,
    version: String,
    path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: give NAME=PATH or NAME:VERSION=PATH");
        let (qualified, path) = text.split_once('=').ok_or_else(wrong)?;
        let (name, version) = qualified.split_once(':').unwrap_or((qualified, super::run::VERSION));
        let named = FunctionName::try_from(qualified).map_err(|invalid| invalid.to_string())?;
        let numbered = version == super::run::VERSION || version.bytes().all(|byte| byte.is_ascii_digit());
        if named.function() != name || !numbered || version.is_empty() || path.is_empty() {
            return Err(format!("{}; VERSION is a number or $LATEST", wrong()));
        }
        Ok(Self { name: name.to_owned(), version: version.to_owned(), path: path.into() })
    }
}

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}={}", self.name, self.version, self.path.display())
    }
}

/// Workflows by name and version, each started with the same settings.
pub(crate) struct Workflows {
    sources: Vec<Named>,
    deployed: OnceLock<(Vec<ComponentDigest>, ExecutionConfig)>,
}

impl Workflows {
    pub(crate) fn new(sources: Vec<Named>) -> Result<Self, Failure> {
        let mut names = BTreeSet::new();
        match sources.iter().find(|named| !names.insert((&named.name, &named.version))) {
            Some(twice) => Err(Failure::wrong(format!(
                "there are two functions {}:{}; give each a name or a version of its own",
                twice.name, twice.version
            ))),
            None => Ok(Self { sources, deployed: OnceLock::new() }),
        }
    }

    /// Builds them and keeps their components, for executions started with `config`.
    pub(crate) fn deploy(&self, embedded: &Embedded, config: &ExecutionConfig) -> Result<(), Failure> {
        let mut components = Vec::with_capacity(self.sources.len());
        for named in &self.sources {
            let source = Source::at(&named.path)?;
            let wasm = source.component()?;
            components.push(embedded.add_component(&wasm).map_err(|error| match error {
                crate::embedded::DriveError::Component { error, .. } => super::run::not_runnable(&source, &error),
                other => other.into(),
            })?);
        }
        // Once a run; a second time it would be the same.
        let _ = self.deployed.set((components, config.clone()));
        Ok(())
    }
}

impl service::Functions for Workflows {
    fn resolve(&self, name: &FunctionName) -> Result<Target, ErrorObject> {
        let version = name.qualifier().unwrap_or(super::run::VERSION);
        let found = self.sources.iter().position(|named| named.name == name.function() && named.version == version);
        let deployed = found.zip(self.deployed.get());
        let Some((index, (components, config))) = deployed else { return Err(function_not_found(name)) };
        Ok(Target::Durable(Deployed {
            function: name.function().to_owned(),
            version: version.to_owned(),
            component: components[index],
            config: config.clone(),
        }))
    }
}

impl Functions for Workflows {
    fn call(&self, call: &FunctionCall) -> Result<Option<String>, ErrorObject> {
        Err(ErrorObject::new("ResourceNotFoundException", format!("Function not found: {}", call.function)))
    }
}
