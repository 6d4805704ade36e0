//! In which order requests end is the server's business; the workflow sees one order, and sees it again on every replay.

use crate::execution::{EVERYWHERE, Execution, killed_everywhere};
use crate::process::Case;
use crate::server::Server;
use crate::story::sweep;
use crate::support::Ran;
use everstep_core::protocol::Event;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

fn in_real_time(execution: &Execution) -> Ran {
    Ran::from(execution.command(&[]).output().unwrap()).exits(0)
}

/// The rule "no HTTP in the handler" of other durable SDKs, broken on purpose, held to what is held against every such
/// rule: as if it had not been killed, in result, history, output and what ran how often.
#[test]
fn requests_in_the_handler_are_as_good_as_steps() {
    let server = Server::start();
    let input = json!({"case": "mixed", "server": server.url()}).to_string();
    let case = Case::new("guest-fetch", &["--input", &input, "--allow-http", &server.authority()]);
    let (_, seen) = sweep(&case);
    let (kills, suspended) = (seen.kills.load(Ordering::Relaxed), seen.suspended_in_a_wait.load(Ordering::Relaxed));
    assert!(kills >= 12 && suspended > 0, "{kills} kills, {suspended} while it was suspended");
}

#[test]
fn requests_among_children_steps_waits_and_losers_survive_every_kill() {
    let kills = killed_everywhere(|| Execution::of("nested"), &EVERYWHERE);
    assert!(kills > 30, "{kills} kills");
}

#[test]
fn the_server_s_order_is_the_order_of_every_replay() {
    let whole = Execution::of("chosen");
    let ran = in_real_time(&whole);
    let result = ran.stdout.trim_end();
    assert_eq!(result, r#"[[5,4,3,2,1,0],"/echo?order=5-4-3-2-1-0"]"#);
    whole.replays(result);
    for n in 0..6 {
        assert_eq!(whole.server.hits(&format!("GET /chosen/{n}/6")), 1);
    }
    let mut kills = 0;
    for point in ["before-commit", "after-commit", "in-body"] {
        for count in 1.. {
            let execution = Execution::of("chosen");
            if !execution.killed_in_real_time_at(point, count) {
                break;
            }
            kills += 1;
            let seen = execution.order_of_ends("n");
            let ran = in_real_time(&execution);
            let result: Value = serde_json::from_str(&ran.stdout).unwrap();
            // Which ones came together after the kill is open; that it is the log's order, and all of them, is not.
            let order: Vec<String> = result[0].as_array().unwrap().iter().map(|n| format!("n{n}")).collect();
            assert_eq!(execution.order_of_ends("n"), order, "{point}:{count}");
            assert_eq!((seen.as_slice(), order.len()), (&order[..seen.len()], 6), "{point}:{count}");
            execution.replays(ran.stdout.trim_end());
        }
    }
    assert!(kills > 15, "{kills} kills");
}

#[test]
fn requests_that_end_in_one_checkpoint_end_in_the_order_of_the_log() {
    let execution = Execution::of("tie");
    let ran = in_real_time(&execution);
    let result = ran.stdout.trim_end();
    let ends = |event: &&Event| matches!(event, Event::StepSucceeded { .. });
    let tie = execution.log().iter().map(|row| row.events.iter().filter(ends).count()).max();
    assert_eq!(tie, Some(4), "all that ended while the body ran is one transition");
    assert_eq!(result, r#"["body 200","0","1","2"]"#, "of what ended together, the oldest comes first");
    execution.replays(result);
}
