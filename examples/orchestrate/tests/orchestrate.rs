//! An order is fulfilled by other functions, workflows or not.

use everstep_test::{Crash, ErrorObject, Execution, Runner, Workflow, crash_everywhere};
use serde_json::{Value, json};

fn workflow() -> Workflow {
    Workflow::build(env!("CARGO_MANIFEST_DIR"))
}

/// The payment is a workflow of its own, `examples/order`; shipping is a plain function.
fn fulfilled(runner: Runner) -> Execution {
    let payment = Workflow::build(concat!(env!("CARGO_MANIFEST_DIR"), "/../order"));
    runner
        .input(json!({ "orderId": "7", "amount": 5, "payment": "order:1", "shipping": "ship" }))
        .workflow("order", &payment)
        .function("ship", |order, _| Ok(json!({ "parcel": order["orderId"] })))
        .run()
}

#[test]
fn the_payment_is_an_execution_of_its_own() {
    let execution = fulfilled(Runner::new(&workflow()));
    let result: Value = execution.result();
    assert_eq!((&result["status"], &result["shipping"]), (&json!("fulfilled"), &json!({ "parcel": "7" })));
    execution.assert_operations(["invoke payment", "invoke shipping"]);

    let invoked = execution.invoked();
    let [payment] = invoked.as_slice() else { panic!("{} executions were invoked", invoked.len()) };
    payment.assert_operations(["step validate", "step charge", "wait cooling-off 10 s", "step confirm"]);
    assert_eq!(execution.operation("payment").invoked(), Some(payment.arn().as_str()));
    assert_eq!(payment.result::<Value>(), result["payment"]);
}

#[test]
fn a_payment_that_fails_is_the_order_s_failure() {
    let execution = Runner::new(&workflow())
        .input(json!({ "orderId": "7", "amount": 5, "payment": "pay", "shipping": "ship" }))
        .function("pay", |_, _| Err(ErrorObject::new("Declined", "no funds")))
        .run();
    execution.assert_failed("Declined", "no funds");
    assert!(execution.find("shipping").is_none(), "nothing is shipped");
}

#[test]
fn an_order_that_nobody_ships_is_noticed() {
    let execution = Runner::new(&workflow())
        .input(json!({ "orderId": "7", "amount": 5, "payment": "pay", "shipping": "nobody:1" }))
        .function("pay", |_, _| Ok(json!("paid")))
        .run();
    execution.operation("shipping").assert_failed("ResourceNotFoundException", "Function not found: nobody:1");
    execution.assert_result(json!({ "status": "unshipped", "payment": "paid", "shipping": null }));
}

/// However often the order's own process dies, it is paid once.
#[test]
fn a_payment_is_started_once() {
    for crash in [Crash::before_commit(1), Crash::after_commit(1), Crash::at_delivery("payment")] {
        let execution = fulfilled(Runner::new(&workflow()).crash(crash));
        assert_eq!((execution.crashes(), execution.invoked().len()), (1, 1), "{}", execution.timeline());
    }
}

#[test]
fn a_crash_makes_no_difference() {
    crash_everywhere(&workflow(), fulfilled);
}
