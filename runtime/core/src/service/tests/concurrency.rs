//! Many threads at one service: executions are independent, calls about the same one take turns.

use super::*;

#[test]
fn threads_that_drive_the_same_executions_never_write_the_same_row() {
    const STEPS: usize = 40;
    let world = &World::new();
    let arns: Vec<_> = (0..3).map(|name| world.start(&format!("e{name}"))).collect();
    let fatal = |error: ServiceError| match error {
        ServiceError::InvalidParameterValue(_) => {}
        other => panic!("{other}"),
    };
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (service, arn) = (&world.service, &arns[thread % 3]);
            scope.spawn(move || {
                // Each invocation supersedes the other thread's; suspending drops the execution from memory.
                for step in 0..STEPS {
                    let Invoked::Run(invocation) = service.invoke(arn).unwrap() else { continue };
                    let request = CheckpointRequest {
                        checkpoint_token: invocation.checkpoint_token,
                        updates: vec![succeed(&format!("{thread}-{step}"), ""), wait(&format!("{thread}-{step}-w"), 1)],
                        ..Default::default()
                    };
                    match service.checkpoint(arn, request) {
                        Err(error) => fatal(error),
                        Ok(response) => {
                            world.pass_seconds(1);
                            let token = response.checkpoint_token.unwrap_or_default();
                            let pending = Ok(InvocationOutput::Pending);
                            service.complete_invocation(arn, &token, pending, None).map_or_else(fatal, drop);
                        }
                    }
                }
            });
        }
    });
    for arn in &arns {
        let rows = world.rows(arn);
        Execution::fold(ExecutionKey(0), &rows).unwrap();
        assert!(rows.len() > 2, "{} rows", rows.len());
        world.history(arn);
    }
}
