//! Random commands, legal and not, against a service that crashes and whose store fails; invariants after each.
//!
//! A failure prints its seed; narrow `SEEDS` to it to run it alone.

use super::*;
use std::collections::BTreeMap;

const SEEDS: std::ops::Range<u64> = 0..150;
const COMMANDS: usize = 250;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

/// What the outside believes about one execution.
struct Outside {
    arn: ExecutionArn,
    token: Option<String>,
    /// Tokens so far, of this owner of the store: each is greater than those before it.
    last: Option<super::super::token::Token>,
    acknowledged: BTreeMap<String, Arc<Operation>>,
}

fn random_update(random: &mut Random) -> OperationUpdate {
    use OperationAction::*;
    let types = [OperationType::Step, OperationType::Step, OperationType::Wait, OperationType::Context];
    // Mostly the type that the id always has.
    let number = random.below(16);
    let operation_type = match number {
        _ if random.one_in(20) => types[random.below(4) as usize],
        12 | 13 => OperationType::Callback,
        14 | 15 => OperationType::ChainedInvoke,
        _ => types[number as usize % 4],
    };
    let actions = [Start, Start, Succeed, Succeed, Fail, Retry, Cancel];
    let outside = matches!(operation_type, OperationType::Callback | OperationType::ChainedInvoke);
    let action = if outside && !random.one_in(8) { Start } else { actions[random.below(7) as usize] };
    let mut update = update(&number.to_string(), operation_type, action);
    match (operation_type, action) {
        (OperationType::Step, Retry) | (OperationType::Wait, Start) => {
            let longest = if random.one_in(10) { 2 } else { 20 };
            let shortest = u32::from(!random.one_in(30));
            update.seconds = Some(random.below(longest) as u32 + shortest);
        }
        (OperationType::Callback, Start) => {
            let mut seconds = || if random.one_in(3) { 0 } else { random.below(20) as u32 };
            let (timeout_seconds, heartbeat_seconds) = (seconds(), seconds());
            update.callback = Some(CallbackOptions { timeout_seconds, heartbeat_seconds });
        }
        (OperationType::ChainedInvoke, Start) => {
            let function_name = ["child:1", "child:1", "plain:1", "nobody:1"][random.below(4) as usize].into();
            update.chained_invoke = Some(Box::new(ChainedInvokeOptions { function_name, tenant_id: None }));
        }
        (_, Succeed) => update.payload = Some(random.below(1000).to_string()),
        _ => {}
    }
    if random.one_in(6) {
        update.parent_id = Some(id(&(random.below(3) * 4 + 3).to_string()));
    }
    update
}

fn check(world: &World, outside: &[Outside]) {
    for summary in world.store.list(&Filter::default()).unwrap() {
        let (key, arn) = (summary.key, &summary.arn);
        let rows = world.store.load(key).unwrap();
        let folded = Execution::fold(key, &rows).unwrap();
        let live = world.service.live.lock().unwrap().get(arn).cloned();
        if let Some(live) = live.and_then(|slot| slot.lock().unwrap().execution.clone()) {
            assert_eq!(live, folded, "live state and fold differ");
        }
        let mut next = 1;
        for row in &rows {
            assert_eq!(row.first_event, next);
            next += row.event_ids();
            assert!(!row.events.is_empty());
        }
        for (id, acknowledged) in outside.iter().filter(|it| it.arn == *arn).flat_map(|it| &it.acknowledged) {
            let recorded = folded.operation(&super::id(id)).unwrap_or_else(|| panic!("{id} was lost"));
            assert!(recorded.attempt >= acknowledged.attempt);
            if acknowledged.status.is_terminal() {
                assert_eq!(recorded, acknowledged.as_ref(), "an acknowledged end changed");
            }
        }
        let projection = folded.projection();
        assert_eq!(
            (summary.status, summary.ended_at, summary.wake_at),
            (projection.status, projection.ended_at, projection.wake_at)
        );
        world.history(arn);
    }
}

/// Somebody outside does something, knowing what the workers of the execution were told.
fn interfere(world: &World, random: &mut Random, it: &Outside) {
    let service = &world.service;
    let any = |id: u64| it.acknowledged.get(&id.to_string());
    match random.below(6) {
        0..=2 => {
            let Some(callback) = any(12 + random.below(2)).and_then(|it| it.callback.clone()) else { return };
            let answer = match random.below(3) {
                0 => service.complete_callback(&callback.callback_id, Ok(Some("r".into()))),
                1 => service.complete_callback(&callback.callback_id, Err(ErrorObject::new("E", ""))),
                _ => service.heartbeat_callback(&callback.callback_id),
            };
            assert!(
                matches!(answer, Ok(()) | Err(ServiceError::CallbackTimeout | ServiceError::Store(_))),
                "{answer:?}"
            );
        }
        3 => match service.chained(&it.arn) {
            Err(error) => assert!(matches!(error, ServiceError::Store(_)), "{error}"),
            Ok(chained) => {
                for chained in chained {
                    if let Chained::Function { operation, .. } = chained {
                        let _ = service.complete_chained(&it.arn, &operation, ChainedOutcome::Succeeded(None));
                    }
                }
            }
        },
        _ => {
            let child = any(14 + random.below(2)).and_then(|it| it.chained_invoke.clone()?.child_arn);
            let Some(child) = child.and_then(|arn| ExecutionArn::try_from(arn.as_str()).ok()) else { return };
            match service.invoke(&child) {
                Ok(Invoked::Run(invocation)) if !random.one_in(4) => {
                    let output = Ok(InvocationOutput::Succeeded(Some(child.id().into())));
                    let _ = service.complete_invocation(&child, &invocation.checkpoint_token, output, None);
                }
                Ok(Invoked::Run(_)) => drop(service.stop(&child, None)),
                _ => {}
            }
        }
    }
}

/// After a last crash, with a store that works: each chained invoke stands as its child does.
fn check_children(world: &mut World, outside: &[Outside]) -> usize {
    *world.store.next.lock().unwrap() = None;
    *world.store.no_create.lock().unwrap() = false;
    world.crash();
    world.service.recover_chained().unwrap();
    let mut children = 0;
    for it in outside {
        let open = world.service.describe(&it.arn).unwrap().status == ExecutionStatus::Running;
        for invoke in world.service.operations(&it.arn).unwrap() {
            let child = invoke.chained_invoke.clone().and_then(|details| details.child_arn);
            let Some(child) = child.and_then(|arn| ExecutionArn::try_from(arn.as_str()).ok()) else { continue };
            if !open && world.store.find_arn(&child).unwrap().is_none() {
                continue;
            }
            children += 1;
            let description = world.service.describe(&child).unwrap();
            let expected = match description.status {
                ExecutionStatus::Running => OperationStatus::Started,
                ExecutionStatus::Succeeded => OperationStatus::Succeeded,
                ExecutionStatus::Failed => OperationStatus::Failed,
                ExecutionStatus::TimedOut => OperationStatus::TimedOut,
                ExecutionStatus::Stopped => OperationStatus::Stopped,
            };
            if open || invoke.status != OperationStatus::Started {
                assert_eq!((invoke.status, &invoke.result), (expected, &description.result), "{child}");
            }
        }
    }
    check(world, outside);
    children
}

fn issued(it: &mut Outside, token: Option<String>) {
    if let Some(text) = &token {
        let token = super::super::token::Token::read(text).unwrap();
        assert!(it.last.is_none_or(|last| last < token), "{:?} then {token:?}", it.last);
        it.last = Some(token);
    }
    it.token = token;
}

fn simulate(seed: u64) -> [usize; 5] {
    let mut random = Random(seed);
    let mut world = World::new();
    let mut outside: Vec<Outside> = Vec::new();
    let mut counts = [0; 5];
    let config = ExecutionConfig { execution_timeout_seconds: 60, ..Default::default() };
    let (function, version, component) = ("child".into(), "1".into(), ComponentDigest::of(b"child"));
    world.deploy("1", Target::Durable(Deployed { function, version, component, config }));
    world.deploy("1", Target::Plain { function: "plain".into(), version: "1".into() });
    for name in ["a", "b"] {
        let config = ExecutionConfig {
            execution_timeout_seconds: if random.one_in(4) { 100 } else { 100_000 },
            max_operations: 13,
            ..Default::default()
        };
        let arn = world.service.start(StartExecution { config, ..request(name) }).unwrap().arn().clone();
        outside.push(Outside { arn, token: None, last: None, acknowledged: BTreeMap::new() });
    }
    for command in 0..COMMANDS {
        if random.one_in(12) {
            world.fail_next(if random.one_in(2) { Failure::Before } else { Failure::After });
        }
        world.clock.0.fetch_add(random.below(1500) as i64, Ordering::Relaxed);
        let it = &mut outside[random.below(2) as usize];
        *world.store.no_create.lock().unwrap() = random.one_in(6);
        match random.below(28) {
            0 => {
                world.crash();
                outside.iter_mut().for_each(|it| it.token = None);
                counts[0] += 1;
            }
            1..=4 => match world.service.invoke(&it.arn) {
                Ok(Invoked::Run(invocation)) => {
                    assert!(it.acknowledged.keys().all(|id| invocation.operations.iter().any(|o| o.id.as_str() == id)));
                    issued(it, Some(invocation.checkpoint_token));
                    counts[1] += 1;
                }
                Ok(Invoked::Waiting(Waiting { until, .. })) => {
                    let until = until.unwrap();
                    assert!(until > world.clock.now(Timestamp(0)), "waits for what is due");
                    assert!(
                        world.store.due(until).unwrap().iter().any(|due| due.arn == it.arn),
                        "nobody would wake it"
                    );
                }
                Ok(Invoked::Closed(_)) | Err(_) => {}
            },
            5..=7 => {
                let Some(token) = it.token.take() else { continue };
                let output = match random.below(40) {
                    0 => Ok(InvocationOutput::Succeeded(Some("r".into()))),
                    1 => Ok(InvocationOutput::Failed(ErrorObject::new("E", ""))),
                    2..=5 => Err(InvocationError { error: ErrorObject::new("Runtime.ExitError", "x") }),
                    _ => Ok(InvocationOutput::Pending),
                };
                let _ = world.service.complete_invocation(&it.arn, &token, output, None);
            }
            24..=27 => interfere(&world, &mut random, it),
            8 if random.one_in(60) => drop(world.service.stop(&it.arn, None)),
            _ => {
                let Some(token) = it.token.clone() else { continue };
                let request = CheckpointRequest {
                    checkpoint_token: token,
                    updates: (0..random.below(4)).map(|_| random_update(&mut random)).collect(),
                    client_token: random.one_in(3).then(|| format!("c{command}")),
                    journal: None,
                };
                let key = world.service.summary(&it.arn).unwrap().key;
                let before = world.store.load(key).unwrap();
                let mut answer = world.service.checkpoint(&it.arn, request.clone());
                if matches!(answer, Err(ServiceError::Store(_))) && request.client_token.is_some() {
                    answer = world.service.checkpoint(&it.arn, request.clone());
                }
                match answer {
                    Ok(response) => {
                        for update in &request.updates {
                            assert!(response.changed.iter().any(|o| o.id == update.id), "{update:?} was not answered");
                        }
                        for operation in response.changed {
                            it.acknowledged.insert(operation.id.as_str().to_owned(), operation);
                        }
                        issued(it, response.checkpoint_token);
                        counts[2] += 1;
                    }
                    Err(ServiceError::InvalidParameterValue(message)) => {
                        let after = world.store.load(key).unwrap();
                        // All that a refused checkpoint may find, and record, is that the execution has timed out.
                        let timed_out = matches!(after.last().map(|row| row.events.as_slice()),
                            Some([.., Event::ExecutionTimedOut { .. }]) if after.len() == before.len() + 1);
                        assert!(after == before || timed_out, "refused ({message}), yet recorded");
                        counts[3] += 1;
                    }
                    Err(_) => it.token = None,
                }
            }
        }
        check(&world, &outside);
    }
    counts[4] = check_children(&mut world, &outside);
    counts
}

#[test]
fn no_acknowledged_update_is_lost_and_memory_is_the_fold_of_the_log() {
    let mut total = [0; 5];
    for seed in SEEDS {
        let outcome = std::panic::catch_unwind(|| simulate(seed));
        let Ok(counts) = outcome else { panic!("seed {seed} failed, see above") };
        total.iter_mut().zip(counts).for_each(|(total, count)| *total += count);
    }
    // Crashes, invocations, checkpoints, refusals, children: a simulation in which little happens proves little.
    assert!(total.iter().zip([1000, 1000, 1000, 1000, 100]).all(|(&count, least)| count > least), "{total:?}");
}
