//! A run against the same run with a crash.

use crate::diff;
use crate::execution::Execution;
use crate::recording::Recording;
use everstep_core::protocol::Event;
use serde_json::Value;
use std::collections::BTreeMap;

/// `Err`: where they differ.
pub(crate) fn same_but_for_a_crash(expected: &Execution, crashed: &Execution) -> Result<(), String> {
    let interrupted = crashed.interrupted();
    let is_interrupted = |arn: &str, id: &str| interrupted.iter().any(|(of, operation)| of == arn && operation == id);
    let tell = |execution: &Execution| {
        let recordings = execution.all().into_iter();
        let told = recordings.map(|recording| {
            let arn = recording.arn().as_str().to_owned();
            let timed = interrupted.is_empty();
            let essence = essence(&recording, timed, |id| is_interrupted(&arn, id));
            (arn, essence)
        });
        told.collect::<BTreeMap<_, _>>()
    };
    let (expected, crashed) = (tell(expected), tell(crashed));
    for (arn, essence) in &expected {
        let found = crashed.get(arn).map(String::as_str).unwrap_or_default();
        if essence != found {
            return Err(format!("{arn}\n{}", diff::lines(essence, found)));
        }
    }
    match crashed.keys().find(|arn| !expected.contains_key(*arn)) {
        Some(arn) => Err(format!("there is an execution {arn} that is not there without the crash")),
        None => Ok(()),
    }
}

/// How the execution ended, and its history without what a crash may change.
fn essence(recording: &Recording, timed: bool, left_out: impl Fn(&str) -> bool) -> String {
    let mut text = format!(
        "{} {}{}\n",
        recording.status().as_str(),
        recording.raw_result().unwrap_or_default(),
        recording.error().map(|error| error.to_json().to_string()).unwrap_or_default(),
    );
    for event in recording.history() {
        let of = event.subject.as_ref().map(|subject| subject.id.as_str()).unwrap_or_default();
        if matches!(event.event, Event::InvocationCompleted { .. }) || left_out(of) {
            continue;
        }
        let mut json = event.to_json();
        if let Value::Object(members) = &mut json {
            members.remove("EventId");
        }
        if !timed {
            without_times(&mut json);
        }
        text += &json.to_string();
        text.push('\n');
    }
    for operation in recording.operations() {
        if let Some(callback_id) = operation.callback_id() {
            text = text.replace(callback_id, &format!("(id of callback {})", operation.id()));
        }
    }
    text
}

fn without_times(json: &mut Value) {
    match json {
        Value::Object(members) => {
            members.retain(|member, _| !member.ends_with("Timestamp"));
            members.values_mut().for_each(without_times);
        }
        Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}
