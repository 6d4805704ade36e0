//! The history as a table.

use super::{escaped, readable};
use crate::cli::show::Record;
use crate::cli::show::notation::{duration, instant, shorten};
use everstep_core::service::HistoryEvent;
use serde_json::Value;
use std::fmt::Write;

/// Characters of a payload that stand in the table; more is folded away under them.
const GLANCE: usize = 72;

pub(super) fn render(out: &mut String, record: &Record) {
    out.push_str(
        "<section>\n<h2>Events</h2>\n<div class=\"scroll\">\n<table>\n<thead><tr><th class=\"number\">#</th>\
         <th class=\"number\">After</th><th>Event</th><th>Operation</th><th>Details</th></tr></thead>\n<tbody>\n",
    );
    for event in &record.history {
        let kind = event.event_type();
        let class = match kind {
            kind if kind.ends_with("Failed") || kind.ends_with("TimedOut") || kind.ends_with("Stopped") => " bad",
            kind if kind.ends_with("Succeeded") => " good",
            _ => "",
        };
        let _ = write!(
            out,
            "<tr><td class=\"number\">{}</td><td class=\"number\" title=\"{}\">{}</td><td class=\"event{class}\">{kind}</td>\
             <td>{}</td><td>",
            event.event_id,
            instant(event.at),
            duration(record.description.started_at.millis_until(event.at)),
            subject(event),
        );
        details(out, &event.to_json()[format!("{kind}Details")]);
        out.push_str("</td></tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn subject(event: &HistoryEvent) -> String {
    let Some(subject) = event.subject.as_deref() else { return String::new() };
    if event.event_type().starts_with("Execution") {
        return String::new();
    }
    match &subject.name {
        Some(name) => format!("{} <small>{}</small>", escaped(name), escaped(&subject.id)),
        None => format!("<small>{}</small>", escaped(&subject.id)),
    }
}

/// AWS's details of the event: what is short in words, then the payload.
fn details(out: &mut String, details: &Value) {
    let mut words = Vec::new();
    let next = details["RetryDetails"]["NextAttemptDelaySeconds"].as_u64();
    if let Some(attempt) =
        details["RetryDetails"]["CurrentAttempt"].as_u64().filter(|&attempt| attempt > 1 || next.is_some())
    {
        words.push(format!("attempt {attempt}"));
    }
    if let Some(seconds) = next {
        words.push(format!("next in {}", duration(seconds * 1000)));
    }
    if let Some(seconds) = details["Duration"].as_u64() {
        words.push(duration(seconds * 1000));
    }
    let members = ["RequestId", "CallbackId", "FunctionName", "Reason"];
    words.extend(members.iter().filter_map(|member| details[*member].as_str().map(str::to_owned)));
    out.push_str(&escaped(&words.join(", ")));

    let payload = ["Input", "Result"].iter().find_map(|member| details[*member]["Payload"].as_str().map(readable));
    let Some(text) = payload.or_else(|| error(&details["Error"]["Payload"])) else { return };
    if !words.is_empty() {
        out.push(' ');
    }
    if text.chars().count() <= GLANCE && !text.contains('\n') {
        let _ = write!(out, "<code>{}</code>", escaped(&text));
    } else {
        let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let glance = escaped(&shorten(&one_line, GLANCE));
        let _ = write!(out, "<details><summary><code>{glance}</code></summary><pre>{}</pre></details>", escaped(&text));
    }
}

fn error(error: &Value) -> Option<String> {
    let member = |name: &str| error[name].as_str();
    let kind = member("ErrorType").or_else(|| error.is_object().then_some("Error"))?;
    let mut text = kind.to_owned();
    for more in [
        member("ErrorMessage").map(|message| format!(": {message}")),
        member("ErrorData").map(|data| format!("\n{data}")),
    ] {
        text += &more.unwrap_or_default();
    }
    for frame in error["StackTrace"].as_array().map(Vec::as_slice).unwrap_or_default() {
        text += &format!("\n  {}", frame.as_str().unwrap_or_default());
    }
    Some(text)
}
