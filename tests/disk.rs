//! Whole workflows on a disk that fails, tears, lies and stops.
//!
//! The `order` example runs in this process on the real store, on a simulated disk that breaks at its n-th write, sync,
//! truncation or deletion, for every n. Whatever is left of the disk then, the log is a prefix that holds every
//! acknowledged transition, and the execution goes on to the same end.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "deterministic/in_process.rs"]
mod in_process;
#[path = "disk/order.rs"]
mod order;

use everstep_store::faulty::{CrashMode, Fault, FaultyDisk, Sweep};
use order::{Told, attempt, expected, insist, recover};

/// Loss of power at every operation, with what was not synced kept, lost, torn in two ways, or still in the cache of the
/// operating system.
#[test]
fn power_loss_at_any_operation_loses_nothing_acknowledged() {
    let points = Sweep::power_off().run(attempt, |point, disk, told| {
        assert!(point.reached || told.ended, "{point:?}: the run ended early, without a fault");
        recover(&disk, told).unwrap_or_else(|why| panic!("{point:?}: {why}"));
    });
    println!("{points} operations");
    assert!(points > 100, "only {points} operations");
}

/// A fault that passes: whoever drives the execution is told, with the remedy, and a new drive ends right, in the same
/// process; so does one after loss of power.
fn passes(fault: Fault, remedy: &str) {
    let mut told_off = 0;
    let points = Sweep::of(fault).run(
        |disk| {
            let (told, errors) = insist(disk);
            for error in &errors {
                assert!(error.ends_with(remedy), "{fault:?}: {error:?} does not end with the remedy {remedy:?}");
            }
            told_off += errors.len();
            told
        },
        |point, disk, told| recover(&disk, told).unwrap_or_else(|why| panic!("{point:?}: {why}")),
    );
    println!("{fault:?}: {points} operations, {told_off} of them fail the drive");
    assert!(points > 100 && told_off > 50, "{points} operations, {told_off} of them fail the drive");
}

#[test]
fn an_io_error_at_any_operation_passes() {
    passes(Fault::Error, "check the disk, then try again");
}

#[test]
fn a_full_disk_at_any_operation_passes() {
    passes(Fault::Full, "free some space, then try again");
}

/// The sweep has teeth: on a disk whose syncs do nothing it finds that acknowledged transitions are lost.
#[test]
fn a_lying_disk_is_found_out() {
    let (mut caught, mut first) = (0, None);
    let lying = Sweep {
        also: vec![(1, Fault::LoseSyncs)],
        crashes: vec![(CrashMode::Lost, 0)],
        stride: 5,
        ..Sweep::power_off()
    };
    lying.run(attempt, |_, disk, told| {
        if let Err(why) = recover(&disk, told) {
            caught += 1;
            first.get_or_insert(why);
        }
    });
    let first = first.expect("nothing was found");
    assert!(first.contains("acknowledged"), "{first}");
    assert!(caught > 5, "{caught}: {first}");
}

/// What the sweeps compare with.
#[test]
fn on_a_sound_disk_the_order_is_confirmed() {
    let Told { ended, acknowledged, .. } = attempt(&FaultyDisk::new(1));
    assert!(ended);
    assert_eq!(acknowledged, expected().log);
    let events: Vec<_> = expected().end.history.iter().map(|event| event.event_type()).collect();
    let step = "StepStarted StepSucceeded";
    let listed = format!(
        "ExecutionStarted {step} {step} WaitStarted InvocationCompleted WaitSucceeded {step} InvocationCompleted \
         ExecutionSucceeded"
    );
    assert_eq!(events.join(" "), listed);
}
