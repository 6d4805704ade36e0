//! Breaks every rule that a durable workflow has to keep elsewhere, the way a program does that knows nothing of
//! replay. The input names a case; its result, its steps' names and its log lines carry what was not to be used, so
//! that anything that differed between two runs would show.
//!
//! Three sources of rules: AWS's durable execution SDK for Rust (the "Determinism contract" of its crate
//! documentation, [`sdk_rules`]), the determinism guide of Lambda durable functions and its list of pitfalls
//! ([`guide_rules`]), and what Rust programs are in the habit of doing ([`habits`]).

mod guide_rules;
mod habits;
mod sdk_rules;

use everstep_sdk as durable;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Deserialize)]
struct Input {
    case: String,
}

/// What a case saw.
type Seen = Result<Value, durable::BoxError>;

async fn handler(input: Input, ctx: durable::DurableContext) -> Seen {
    let ctx = &ctx;
    match input.case.as_str() {
        "control_flow_by_chance" => sdk_rules::control_flow_by_chance(ctx).await,
        "operations_in_map_order" => sdk_rules::operations_in_map_order(ctx).await,
        "select_over_durable_futures" => sdk_rules::select_over_durable_futures(ctx).await,
        "operations_in_spawned_tasks" => sdk_rules::operations_in_spawned_tasks(ctx).await,
        "drop_across_a_suspension" => sdk_rules::drop_across_a_suspension(ctx).await,
        "bare_clock" => guide_rules::bare_clock(ctx).await,
        "bare_uuid" => guide_rules::bare_uuid(ctx).await,
        "bare_random" => guide_rules::bare_random(ctx).await,
        "bare_environment" => guide_rules::bare_environment(ctx).await,
        "state_outside_steps" => guide_rules::state_outside_steps(ctx).await,
        "branch_on_time_of_day" => guide_rules::branch_on_time_of_day(ctx).await,
        "names_from_the_clock" => guide_rules::names_from_the_clock(ctx).await,
        "global_variables" => guide_rules::global_variables(ctx).await,
        "thread_rng" => habits::thread_rng(ctx).await,
        "deadline_of_an_instant" => habits::deadline_of_an_instant(ctx).await,
        "thread_sleep" => habits::thread_sleep(ctx).await,
        "random_durations" => habits::random_durations(ctx).await,
        "mutation_in_a_step" => habits::mutation_in_a_step(ctx).await,
        "cache_filled_in_a_step" => habits::cache_filled_in_a_step(ctx).await,
        "logging_on_replay" => habits::logging_on_replay(ctx).await,
        "skipped_on_replay" => habits::skipped_on_replay(ctx).await,
        "order_of_completions" => habits::order_of_completions(ctx).await,
        "now_or_never" => habits::now_or_never(ctx).await,
        "timeout_race" => habits::timeout_race(ctx).await,
        "names_from_addresses" => habits::names_from_addresses(ctx).await,
        "hasher_as_chance" => habits::hasher_as_chance(ctx).await,
        other => Err(format!("no case `{other}`").into()),
    }
}

/// A step that hands back what it was given.
async fn step(ctx: &durable::DurableContext, name: impl Into<String>, value: Value) -> Seen {
    Ok(ctx.step(move |_| async move { Ok(value) }).name(name).await?)
}

/// Something to be interrupted in: every case has a suspension in its middle.
async fn pause(ctx: &durable::DurableContext, seconds: u64) -> Seen {
    ctx.wait(Duration::from_secs(seconds)).name("pause").await?;
    Ok(json!(seconds))
}

fn main() {
    durable::run(handler)
}
