//! The suite's own code, in a Python process: `referee.py`.

use crate::support;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A requirement, its variables resolved.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) suite: String,
    /// JSON.
    pub(crate) input: String,
    /// It says how the execution ends.
    pub(crate) ends: bool,
    /// The last event that it asks for.
    pub(crate) last_event: u64,
    /// It says what is logged.
    pub(crate) logs: bool,
}

/// What an outside system sends to a callback.
#[derive(Debug, Deserialize)]
pub(crate) struct Send {
    /// The callback's id.
    pub(crate) callback: String,
    /// Since the one before it was sent, or since the callback was seen.
    pub(crate) delay_seconds: f64,
    #[serde(flatten)]
    pub(crate) message: Message,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub(crate) enum Message {
    Success { result: Option<String> },
    Failure { error: BTreeMap<String, Value> },
    Heartbeat,
}

/// What the suite finds wrong.
#[derive(Debug, Deserialize)]
pub(crate) struct Verdict {
    /// With the history and the result.
    pub(crate) errors: Vec<String>,
    pub(crate) log_errors: Vec<String>,
}

impl Verdict {
    /// Nothing could be judged.
    pub(crate) fn failed(error: &str) -> Self {
        Self { errors: vec![error.to_owned()], log_errors: Vec::new() }
    }
}

pub(crate) struct Referee {
    python: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    all: All,
}

#[derive(Default, Deserialize)]
struct All {
    /// YAML files in the suite.
    files: usize,
    cases: Vec<Case>,
}

impl Referee {
    pub(crate) fn start() -> Self {
        let interpreter = support::target_directory().join("conformance/python/bin/python");
        assert!(interpreter.is_file(), "AWS's suite is not there; install it with tests/conformance/build");
        let mut python = Command::new(interpreter)
            .arg(support::root().join("tests/conformance/harness/referee.py"))
            // Python leaves its byte code nowhere.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python runs");
        let answers = BufReader::new(python.stdout.take().expect("it was piped"));
        let questions = python.stdin.take();
        let mut referee = Self { python, questions, answers, all: All::default() };
        referee.all = referee.answer();
        referee.all.cases.sort_by_key(|case| {
            let (suite, number) = case.id.split_once('-').expect("an id is two numbers");
            (suite.parse::<u32>().expect("a number"), number.parse::<u32>().expect("a number"))
        });
        referee
    }

    pub(crate) fn cases(&self) -> &[Case] {
        &self.all.cases
    }

    pub(crate) fn files(&self) -> usize {
        self.all.files
    }

    /// What outside systems do about the callbacks that this history shows for the first time, one after the other.
    pub(crate) fn callbacks(&mut self, case: &Case, events: &[Value]) -> Vec<Send> {
        self.ask(&json!({ "ask": "callbacks", "id": case.id, "events": events }))
    }

    /// `execution` is AWS's GetDurableExecution; `logs` are CloudWatch's events.
    pub(crate) fn verdict(&mut self, case: &Case, events: &[Value], execution: &Value, logs: &[Value]) -> Verdict {
        let question =
            json!({ "ask": "verdict", "id": case.id, "events": events, "execution": execution, "logs": logs });
        self.ask(&question)
    }

    fn ask<A: DeserializeOwned>(&mut self, question: &Value) -> A {
        let questions = self.questions.as_mut().expect("open until the end");
        writeln!(questions, "{question}").and_then(|()| questions.flush()).expect("Python listens");
        self.answer()
    }

    fn answer<A: DeserializeOwned>(&mut self) -> A {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python speaks");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the suite's code said {line:?}: {error}"))
    }
}

impl Drop for Referee {
    fn drop(&mut self) {
        self.questions = None;
        let _ = self.python.wait();
    }
}
