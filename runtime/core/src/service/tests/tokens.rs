//! Only the newest token of the newest invocation is good, for one checkpoint.

use super::*;

fn send(
    world: &World,
    arn: &ExecutionArn,
    token: &str,
    client: Option<&str>,
    updates: Vec<OperationUpdate>,
) -> Result<CheckpointResponse, String> {
    let (checkpoint_token, client_token) = (token.to_owned(), client.map(str::to_owned));
    let request = CheckpointRequest { checkpoint_token, updates, client_token, journal: None };
    world.service.checkpoint(arn, request).map_err(|error| error.to_string())
}

#[test]
fn stale_foreign_and_superseded_tokens_are_refused() {
    let mut world = World::new();
    let (arn, other) = (world.start("e"), world.start("other"));
    let first = world.run(&arn).token;
    assert!(first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'/'), "{first}");
    let second = send(&world, &arn, &first, None, vec![]).unwrap().checkpoint_token.unwrap();
    let stale = || Err(ServiceError::INVALID_TOKEN.to_owned());
    let refused = |world: &World, token: &str| send(world, &arn, token, None, vec![start("1")]).map(|_| ());
    assert_eq!(refused(&world, &first), stale());
    assert_eq!(refused(&world, "nonsense"), stale());
    let foreign = world.run(&other).token;
    assert_eq!(refused(&world, &foreign), Err("Checkpoint token is not valid for the durable execution ARN".into()));

    let newer = world.run(&arn).token;
    assert_eq!(refused(&world, &second), stale());
    let complete = |world: &World, token: &str| {
        world.service.complete_invocation(&arn, token, Ok(InvocationOutput::Succeeded(None)), None)
    };
    assert!(complete(&world, &second).unwrap_err().is_invalid_token());
    assert_eq!(refused(&world, &newer), Ok(()));

    world.crash();
    assert_eq!(refused(&world, &newer), stale());
    assert!(complete(&world, &newer).unwrap_err().is_invalid_token());
    world.run(&arn);
    assert_eq!(refused(&world, &newer), stale());
    let missing = ExecutionArn::local("order", "1", "nobody", "x");
    let token = world.run(&other).token;
    assert!(send(&world, &missing, &token, None, vec![]).unwrap_err().contains("does not exist"));
}

#[test]
fn a_repeated_request_is_answered_as_before() {
    let world = World::new();
    let arn = world.start("e");
    let token = world.run(&arn).token;
    let updates = vec![start("1"), succeed("1", "r")];
    let first = send(&world, &arn, &token, Some("c1"), updates.clone()).unwrap();
    let again = send(&world, &arn, &token, Some("c1"), updates.clone()).unwrap();
    assert_eq!((&again.checkpoint_token, &again.changed), (&first.checkpoint_token, &first.changed));
    assert_eq!(world.rows(&arn).len(), 2);
    assert_eq!(send(&world, &arn, &token, Some("c2"), updates).unwrap_err(), ServiceError::INVALID_TOKEN);
    // A client token stands for a request together with the inbound token.
    let next = first.checkpoint_token.clone().unwrap();
    let third = send(&world, &arn, &next, Some("c1"), vec![start("2")]).unwrap();
    assert_eq!((third.changed.len(), third.changed[0].id.as_str()), (1, "2"));
    let wrong = send(&world, &arn, &third.checkpoint_token.unwrap(), Some("a b"), vec![]).unwrap_err();
    assert!(wrong.starts_with("Invalid ClientToken"));
}

#[test]
fn a_store_that_fails_leaves_the_worker_able_to_find_out() {
    for (failure, rows_before) in [(Failure::Before, 1), (Failure::After, 2)] {
        let world = World::new();
        let arn = world.start("e");
        let token = world.run(&arn).token;
        let updates = vec![start("1"), succeed("1", "r"), wait("2", 9)];
        world.fail_next(failure);
        assert_eq!(send(&world, &arn, &token, Some("c"), updates.clone()).unwrap_err(), "the disk is full");
        assert_eq!(world.rows(&arn).len(), rows_before);
        let response = send(&world, &arn, &token, Some("c"), updates).unwrap();
        let changed: Vec<_> = response.changed.iter().map(|o| (o.id.as_str(), o.status.as_str())).collect();
        assert_eq!(changed, [("1", "SUCCEEDED"), ("2", "STARTED")], "{failure:?}");
        assert_eq!(world.rows(&arn).len(), 2);
        send(&world, &arn, &response.checkpoint_token.unwrap(), None, vec![start("3")]).unwrap();
    }
}
