//! What a test has arranged before its execution starts.

use crate::crash::Crash;
use crate::workflow::Workflow;
use everstep_core::protocol::{ErrorObject, ExecutionConfig, FilesConfig, Operation, OperationId};
use everstep_http::{HttpError, Request, Response, Rule};
use serde_json::Value;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a stub yields: a result as JSON, or an error.
pub type Outcome = Result<Value, ErrorObject>;

type BodyStub = Arc<dyn Fn(u32) -> Outcome + Send + Sync>;
type RequestStub = Arc<dyn Fn(&Request, u32) -> Result<Response, HttpError> + Send + Sync>;
type PlainFunction = Arc<dyn Fn(Value, Option<&str>) -> Outcome + Send + Sync>;

/// See [`Runner`](crate::Runner).
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) workflow: Workflow,
    pub(crate) input: Option<String>,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) seed: u64,
    pub(crate) config: ExecutionConfig,
    pub(crate) real_time: bool,
    pub(crate) verify: bool,
    pub(crate) replay_everything: bool,
    pub(crate) allow_http: Vec<Rule>,
    pub(crate) allow_net: Vec<SocketAddr>,
    pub(crate) bodies: Vec<(String, BodyStub)>,
    pub(crate) requests: Vec<(RequestPattern, RequestStub)>,
    pub(crate) callbacks: Vec<CallbackPlan>,
    pub(crate) functions: Vec<(String, Function)>,
    pub(crate) crashes: Vec<Crash>,
}

/// What a name that is invoked stands for.
#[derive(Clone)]
pub(crate) enum Function {
    Durable(Workflow),
    Plain(PlainFunction),
}

/// What happens to a callback, so long after it began.
#[derive(Clone, Debug)]
pub(crate) struct CallbackPlan {
    pub(crate) name: String,
    pub(crate) after: Duration,
    pub(crate) action: CallbackAction,
}

#[derive(Clone, Debug)]
pub(crate) enum CallbackAction {
    Complete(Result<Option<String>, ErrorObject>),
    Heartbeat,
}

/// A method, or any; and a URL, in which each `*` stands for any text.
#[derive(Clone, Debug)]
pub(crate) struct RequestPattern {
    method: Option<String>,
    url: String,
}

impl Plan {
    pub(crate) fn new(workflow: &Workflow) -> Self {
        Self {
            workflow: workflow.clone(),
            input: None,
            name: "test".into(),
            version: "$LATEST".into(),
            seed: 0,
            config: ExecutionConfig { files: Some(FilesConfig::default()), ..ExecutionConfig::default() },
            real_time: false,
            verify: true,
            replay_everything: false,
            allow_http: Vec::new(),
            allow_net: Vec::new(),
            bodies: Vec::new(),
            requests: Vec::new(),
            callbacks: Vec::new(),
            functions: Vec::new(),
            crashes: Vec::new(),
        }
    }

    /// What stands for the body of this attempt.
    pub(crate) fn body(&self, id: &OperationId, name: Option<&str>, attempt: u32) -> Option<Outcome> {
        let (_, stub) = self.bodies.iter().find(|(wanted, _)| is_called(wanted, id, name))?;
        Some(stub(attempt))
    }

    /// What stands for the answer to this request.
    pub(crate) fn answer(&self, request: &Request, attempt: u32) -> Option<Result<Response, HttpError>> {
        let (_, stub) = self.requests.iter().find(|(pattern, _)| pattern.matches(request))?;
        Some(stub(request, attempt))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("function", &self.workflow.function)
            .field("name", &self.name)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

impl CallbackPlan {
    /// Also a callback that has no name of its own, by the name of the context that it was begun in.
    pub(crate) fn is_for(&self, callback: &Operation, context: Option<&Operation>) -> bool {
        is_called(&self.name, &callback.id, callback.name.as_deref())
            || context.and_then(|context| context.name.as_deref()) == Some(&self.name)
    }
}

/// By name, or as timelines show an operation that has none: `#3`.
pub(crate) fn is_called(wanted: &str, id: &OperationId, name: Option<&str>) -> bool {
    name == Some(wanted) || wanted.strip_prefix('#') == Some(id.as_str())
}

impl RequestPattern {
    /// `GET https://shop.example/*`, or the URL alone for any method.
    pub(crate) fn new(pattern: &str) -> Self {
        let (method, url) = match pattern.split_once(' ') {
            Some((method, url)) => (Some(method.to_owned()), url.trim()),
            None => (None, pattern),
        };
        Self { method, url: url.to_owned() }
    }

    fn matches(&self, request: &Request) -> bool {
        self.method.as_deref().is_none_or(|method| method == request.method.as_str())
            && glob(&self.url, request.url.as_str())
    }
}

/// Whether the text is the pattern, in which each `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text) in [
            ("http://a/b", "http://a/b"),
            ("http://a/*", "http://a/"),
            ("http://*/stock/*", "http://shop/stock/7"),
            ("*", ""),
            ("a*b*b", "ab-b"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("http://a/b", "http://a/bc"), ("http://a/*", "http://b/"), ("a*b*b", "ab"), ("", "a")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
