//! The results depend on what the cases were not to use: with another seed, another time or another environment they
//! are other ones. So a host that let any of these through where it must not would be noticed.

use crate::broken::{CASES, DependsOn};
use crate::in_process::{NoEntropy, SlowTime, drive, finish, request, sandbox};
use everstep::embedded::Embedded;
use everstep_core::protocol::Timestamp;
use everstep_core::store::memory::MemoryStore;
use std::sync::Arc;

const GUEST: &str = "guest-contract";
const MIDNIGHT: Timestamp = Timestamp(1_767_225_600_000);
const THIRTEEN_HOURS: i64 = 13 * 3_600_000;

struct World {
    seed: u64,
    /// When it starts, and milliseconds from one transition to the next.
    time: (Timestamp, i64),
    flag: &'static str,
}

const ORDINARY: World = World { seed: 20, time: (MIDNIGHT, 7), flag: "express" };

fn result(case: &str, world: &World) -> String {
    let (from, tick) = world.time;
    let time = Arc::new(SlowTime::from(from, tick));
    let process = Embedded::new(Arc::new(MemoryStore::new()), sandbox(), time, Arc::new(NoEntropy));
    process.add_component(crate::in_process::component(GUEST)).expect("it compiles");
    let mut request = request(GUEST, &format!(r#"{{"case":"{case}"}}"#), world.seed);
    request.config.environment.push(("CONTRACT_FLAG".into(), world.flag.into()));
    let arn = process.start(request).expect("it starts").arn().clone();
    drive(&process, &arn).expect("it can be driven");
    let ended = finish(&process, &arn).expect("it ends");
    ended.result().unwrap_or_else(|error| panic!("{case}: {error}")).to_owned()
}

#[test]
fn results_depend_on_what_was_not_to_be_used() {
    for (case, depends) in CASES {
        let ordinary = result(case, &ORDINARY);
        assert_eq!(result(case, &ORDINARY), ordinary, "{case}: the same world twice");
        let by_chance = result(case, &World { seed: 21, ..ORDINARY });
        let later = Timestamp(MIDNIGHT.0 + THIRTEEN_HOURS);
        let by_time = result(case, &World { time: (later, 1_100), ..ORDINARY });
        let by_environment = result(case, &World { flag: "economy", ..ORDINARY });
        let differs = [by_chance != ordinary, by_time != ordinary, by_environment != ordinary];
        match depends {
            DependsOn::Chance => assert!(differs[0], "{case} does not depend on chance: {ordinary}"),
            DependsOn::Time => assert!(differs[1], "{case} does not depend on time: {ordinary}"),
            DependsOn::Environment => assert_eq!(differs, [false, false, true], "{case}: {ordinary}"),
            DependsOn::WhichRun(expected) => {
                assert_eq!((ordinary.as_str(), differs), (*expected, [false; 3]), "{case}");
            }
            DependsOn::Addresses => assert_eq!(differs, [false; 3], "{case}: {ordinary}"),
        }
    }
}
