//! What is outside of a workflow, from the command line: callbacks, and functions to invoke.

use crate::support::{Place, guest};
use serde_json::{Value, json};

const REQUEST: &str = r#"{"purpose":"a boat","amount":12}"#;

fn approval(place: &Place, more: &[&str]) -> crate::support::Ran {
    let component = guest("approval");
    let run = ["run", component.to_str().unwrap(), "--name", "boat", "--execution-timeout", "5000000"];
    place.run(&[&run[..], more].concat())
}

/// The id of the only callback, as a script finds it.
fn callback_id(ran: &crate::support::Ran) -> String {
    let last: Value = serde_json::from_str(ran.stdout.lines().last().expect("it says something")).expect("JSON");
    assert_eq!((&last["event"], &last["callbacks"][0]["name"]), (&json!("suspended"), &json!("decision")), "{last}");
    last["callbacks"][0]["callbackId"].as_str().expect("an id").to_owned()
}

#[test]
fn a_callback_is_completed_from_the_command_line() {
    let place = Place::new();
    let id = callback_id(&approval(&place, &["--input", REQUEST, "--json"]).exits(3));
    let told = approval(&place, &[]).exits(3).stderr;
    assert!(told.contains(&format!("everstep callback succeed {id} --data everstep.db --result JSON")), "{told}");
    assert!(place.run(&["show", "boat"]).exits(0).stdout.contains(&format!("waits for {id}")));

    let refused = |arguments: &[&str], words: &str| {
        let said = place.run(&[&["callback"], arguments].concat()).exits(2).stderr;
        assert!(said.contains(words), "{said}");
    };
    refused(&["succeed", "nonsense", "--result", "1"], "Invalid callback id");
    refused(&["succeed", &id, "--result", "{"], "the result is not JSON");
    refused(&["heartbeat", &id, "--data", "elsewhere.db"], "there is no database at elsewhere.db");
    place.run(&["callback", "heartbeat", &id]).exits(0);
    place.run(&["callback", "succeed", &id, "--result", r#"{"approved":true,"by":"Ann"}"#]).exits(0);
    for again in [&["succeed", &id][..], &["fail", &id, "--error-type", "No"], &["heartbeat", &id]] {
        refused(again, "either timed out or already completed");
    }
    let result: Value = serde_json::from_str(&approval(&place, &[]).exits(0).stdout).unwrap();
    assert_eq!(result, json!({ "status": "approved", "by": "Ann", "reminders": 0 }));
}

#[test]
fn a_callback_is_failed_from_the_command_line() {
    let place = Place::new();
    let id = callback_id(&approval(&place, &["--input", REQUEST, "--json"]).exits(3));
    let fail = ["callback", "fail", &id, "--error-type", "Refused", "--error-message", "too dear", "--error-data", "7"];
    place.run(&fail).exits(0);
    let said = approval(&place, &[]).exits(1).stderr;
    assert!(said.contains("FAILED: Refused:") && said.contains("too dear"), "{said}");
}

#[test]
fn a_workflow_invokes_others_by_name() {
    let place = Place::new();
    let component = guest("orchestrate");
    let order = guest("order");
    let input = json!({ "orderId": "7", "amount": 5, "payment": "order:$LATEST", "shipping": "nobody:1" }).to_string();
    let run = ["run", component.to_str().unwrap(), "--name", "o", "--simulate", "3", "--input", &input];
    let named = |name: &str| format!("{name}={}", order.display());
    let refused = |functions: &[String], words: &str| {
        let options: Vec<&str> = functions.iter().flat_map(|function| ["--function", function]).collect();
        let said = place.run(&[&run[..], &options].concat()).exits(2).stderr;
        assert!(said.contains(words), "{said}");
    };
    refused(&[named("order:live")], "VERSION is a number or $LATEST");
    refused(&["order".into()], "give NAME=PATH or NAME:VERSION=PATH");
    refused(&[named("order"), named("order")], "there are two functions order:$LATEST");

    let ran = place.run(&[&run[..], &["--function", &named("order")]].concat()).exits(0);
    let result: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&result["status"], &result["payment"]["status"]), (&json!("unshipped"), &json!("confirmed")));
    assert!(ran.stderr.contains("  | order  ✓ step charge"), "{}", ran.stderr);
    let listed = place.run(&["list"]).exits(0).stdout;
    assert_eq!(listed.matches("SUCCEEDED").count(), 2, "{listed}");
}

/// An execution that has ended does not wait for what it invoked, and says what it has left.
#[test]
fn what_is_left_running_is_named() {
    let place = Place::new();
    let component = guest("guest-faults");
    let slow = format!("slow={}", guest("approval").display());
    let input = json!({ "case": "left_behind" }).to_string();
    let run = ["run", component.to_str().unwrap(), "--name", "l", "--simulate", "3", "--input", &input, "--function"];
    let ran = place.run(&[&run[..], &[&slow]].concat()).exits(0);
    assert_eq!(ran.stdout.trim(), r#""the wait""#);
    let words = "durable-execution/";
    assert!(ran.stderr.contains("it has left arn:aws:lambda:") && ran.stderr.contains(words), "{}", ran.stderr);
    assert!(ran.stderr.contains("--function 'slow:$LATEST="), "how to go on: {}", ran.stderr);
}

#[test]
fn results_of_steps_may_be_large_and_are_warned_of() {
    let place = Place::new();
    let component = guest("guest-faults");
    let input = json!({ "case": "large_result" }).to_string();
    let ran = place
        .run(&["run", component.to_str().unwrap(), "--name", "large", "--simulate", "3", "--input", &input])
        .exits(0);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), json!({ "bytes": 3 << 20, "bodies": 1 }));
    assert!(ran.stderr.contains("warning: large: a payload is larger than 256 KiB"), "{}", ran.stderr);
    assert!(place.run(&["show", "large"]).exits(0).stdout.contains("warning"));
}
