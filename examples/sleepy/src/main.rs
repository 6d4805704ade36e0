//! A program that knows nothing of Everstep, and is durable all the same: its sleeps survive the process, and its clock
//! and its hash order are the same on every replay. What it prints is its result.

use std::collections::HashMap;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

fn main() {
    let start = SystemTime::now();
    let naps: HashMap<&str, Duration> =
        [("short", Duration::from_millis(300)), ("long", Duration::from_secs(2))].into();

    let mut order = Vec::new();
    for (name, nap) in &naps {
        sleep(*nap);
        order.push(*name);
    }

    let awake = SystemTime::now();
    let since_epoch = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let slept = awake.duration_since(start).unwrap_or_default();
    println!(
        "{{\"started\":{},\"slept_ms\":{},\"naps\":[\"{}\"]}}",
        since_epoch(start).as_millis(),
        slept.as_millis(),
        order.join("\",\""),
    );
}
