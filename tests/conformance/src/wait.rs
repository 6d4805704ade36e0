//! Suite `wait`.

use crate::{Outcome, unknown};
use everstep_sdk::DurableContext;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) async fn handle(requirement: &str, ctx: DurableContext) -> Outcome {
    let two = Duration::from_secs(2);
    match requirement {
        "2-1" => ctx.wait(two).await?,
        "2-2" => ctx.wait(two).name("custom_wait_name").await?,
        "2-3" => {
            ctx.wait(two).name("wait-1").await?;
            ctx.wait(two).name("wait-2").await?;
            return Ok(json!({ "completedWaits": 2 }));
        }
        "2-4" => ctx.wait(Duration::from_mins(1)).await?,
        "2-5" => ctx.wait(Duration::from_hours(1)).await?,
        _ => return unknown(requirement),
    }
    Ok(Value::Null)
}
