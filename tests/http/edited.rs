//! Executions that are continued or replayed with a workflow that asks for something else: refused, with both requests.

use crate::execution::Execution;
use crate::server::Server;
use crate::support::native_code_cache;
use everstep::embedded::{Driven, Embedded, MachineEntropy, SimulatedTime};
use everstep::worker::{Environment, ReplayError, Silent, Worker};
use everstep_core::protocol::{ComponentDigest, Event, ExecutionArn, Timestamp, Transition};
use everstep_core::store::{Append, ExecutionKey, ExecutionSummary, Filter, Projection, Store, StoreError};
use everstep_sandbox::{Network, Sandbox};
use everstep_store::{Options, SqliteStore};
use serde_json::json;
use std::sync::Arc;

/// The guest's requests are in its input: with another input it is another workflow.
fn edited(mut log: Vec<Transition>, input: &str) -> Vec<Transition> {
    if let Some(Event::ExecutionStarted(started)) = log.first_mut().and_then(|row| row.events.first_mut()) {
        Arc::make_mut(started).input = Some(input.to_owned());
    }
    log
}

/// A store whose execution has the edited workflow.
struct Edited {
    inner: SqliteStore,
    input: String,
}

impl Store for Edited {
    fn put_component(&self, digest: ComponentDigest, wasm: &[u8]) -> Result<(), StoreError> {
        self.inner.put_component(digest, wasm)
    }
    fn component(&self, digest: ComponentDigest) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.component(digest)
    }
    fn create(&self, first: &Transition, projection: Projection) -> Result<ExecutionKey, StoreError> {
        self.inner.create(first, projection)
    }
    fn append(&self, append: Append) -> Result<(), StoreError> {
        self.inner.append(append)
    }
    fn load(&self, execution: ExecutionKey) -> Result<Vec<Transition>, StoreError> {
        Ok(edited(self.inner.load(execution)?, &self.input))
    }
    fn find(&self, function: &str, name: &str) -> Result<Option<ExecutionSummary>, StoreError> {
        self.inner.find(function, name)
    }
    fn find_arn(&self, arn: &ExecutionArn) -> Result<Option<ExecutionSummary>, StoreError> {
        self.inner.find_arn(arn)
    }
    fn find_key(&self, key: ExecutionKey) -> Result<Option<ExecutionSummary>, StoreError> {
        self.inner.find_key(key)
    }
    fn list(&self, filter: &Filter) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.inner.list(filter)
    }
    fn due(&self, now: Timestamp) -> Result<Vec<ExecutionSummary>, StoreError> {
        self.inner.due(now)
    }
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }
}

/// Runs `sends` until it waits, then goes on with `other`, and replays with it: both reports.
fn reports(server: &Server, sends: &str, other: &str) -> [String; 2] {
    let input = |send: &str| json!({"case": "edited", "sends": [format!("{}/{send}", server.url())]});
    let execution = Execution::with(server.clone(), &input(sends), &["--allow-http", &server.authority()]);
    execution.suspends();
    let (hits, other) = (server.all_hits(), input(other).to_string());

    let sandbox = Sandbox::new(Some(native_code_cache())).unwrap();
    let workflow = sandbox.load(&std::fs::read(crate::support::guest(execution.guest)).unwrap()).unwrap();
    let worker = Worker::offline(Environment::default(), Arc::new(Silent));
    worker.replay(&workflow, &execution.log()).expect("unedited, it does the same again");
    let replayed = match worker.replay(&workflow, &edited(execution.log(), &other)) {
        Err(ReplayError::Diverged(diverged)) => diverged.to_string(),
        unexpected => panic!("{unexpected:?}"),
    };

    let store =
        Edited { inner: SqliteStore::open(execution.place.database(), Options::default()).unwrap(), input: other };
    let arn = store.find(execution.guest, "http").unwrap().expect("it was started").arn;
    let process = Embedded::new(Arc::new(store), sandbox, Arc::new(SimulatedTime::default()), Arc::new(MachineEntropy));
    // Nothing but the check keeps the other request from being sent.
    let rules = vec![server.authority().parse().unwrap()];
    let http = everstep_http::Client::new(everstep_http::Policy { rules, addresses: Vec::new() });
    let network = Network { http, ..Network::default() };
    let environment = Environment { simulated: true, network, ..Environment::default() };
    let driven = process.drive(&arn, &environment, &(Arc::new(Silent) as Arc<_>), None);
    assert!(matches!(driven, Ok(Driven::Closed(_))), "{driven:?}");
    let error = process.service().describe(&arn).unwrap().error.expect("it failed");
    assert_eq!(
        (error.error_type.as_deref(), error.data.as_deref()),
        (Some("NonDeterministicExecutionError"), Some("E0107"))
    );
    assert_eq!(server.all_hits(), hits, "the other request is not sent");
    [replayed, error.message.unwrap_or_default()]
}

fn line<'a>(report: &'a str, word: &str) -> &'a str {
    report.lines().find_map(|line| line.trim_start_matches([' ', '|']).strip_prefix(word)).expect(report)
}

#[test]
fn another_url_is_another_request() {
    let server = Server::start();
    for report in reports(&server, "effect/dear 10 EUR", "effect/cheap 10 EUR") {
        assert!(report.starts_with("[E0107] "), "{report}");
        assert!(line(&report, "recorded:").contains("effect/dear (digest "), "{report}");
        assert!(line(&report, "requested:").contains("effect/cheap (digest "), "{report}");
        assert!(!report.contains("12345"), "{report}");
    }
}

#[test]
fn another_body_is_another_request() {
    let server = Server::start();
    for report in reports(&server, "effect/card?number=4111 10 EUR", "effect/card?number=4111 11 EUR") {
        assert!(report.starts_with("[E0107] "), "{report}");
        let (recorded, requested) = (line(&report, "recorded:"), line(&report, "requested:"));
        assert!(recorded.contains("(digest ") && requested.contains("(digest "), "{report}");
        assert_ne!(recorded, requested, "{report}");
        assert!(!report.contains("4111") && !report.contains("EUR"), "{report}");
    }
}
