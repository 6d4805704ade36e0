//! `everstep list`: which executions there are.

use super::database::Database;
use super::deliver;
use super::exit::{Exit, Failure};
use super::show::notation::{epoch_seconds, function_arn, instant};
use everstep_core::protocol::ExecutionStatus;
use everstep_core::store::{ExecutionSummary, Filter, Store};
use serde_json::json;

#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    database: Database,
    /// Only executions of this function
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// Only executions in these statuses: running, succeeded, failed, timed_out, stopped
    #[arg(long, value_name = "STATUS", num_args = 1.., value_delimiter = ',', value_parser = status)]
    status: Vec<ExecutionStatus>,
    /// At most this many; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// One JSON object a line, with the member names of AWS's ListDurableExecutionsByFunction
    #[arg(long)]
    json: bool,
}

fn status(text: &str) -> Result<ExecutionStatus, String> {
    text.to_uppercase().replace('-', "_").parse()
}

impl List {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        // One more than shown tells whether there are more.
        let mut found = self.database.read()?.list(&Filter {
            function: self.function,
            name: None,
            statuses: self.status,
            limit: if self.limit == 0 { 0 } else { self.limit.saturating_add(1) },
        })?;
        let more = self.limit > 0 && found.len() > self.limit as usize;
        if more {
            found.truncate(self.limit as usize);
        }
        if found.is_empty() {
            eprintln!("no such executions in {}", self.database.data.display());
            return Ok(Exit::Done);
        }
        let done = deliver(&if self.json { lines(&found) } else { table(&found) })?;
        if more {
            eprintln!("there are more; see them with --limit 0");
        }
        Ok(done)
    }
}

fn lines(executions: &[ExecutionSummary]) -> String {
    let line = |execution: &ExecutionSummary| {
        let mut line = json!({
            "DurableExecutionArn": execution.arn.as_str(),
            "DurableExecutionName": execution.name,
            "FunctionArn": function_arn(&execution.arn),
            "Status": execution.status.as_str(),
            "StartTimestamp": epoch_seconds(execution.started_at),
        });
        if let Some(ended_at) = execution.ended_at {
            line["EndTimestamp"] = epoch_seconds(ended_at);
        }
        format!("{line}\n")
    };
    executions.iter().map(line).collect()
}

fn table(executions: &[ExecutionSummary]) -> String {
    let mut rows = vec![["FUNCTION", "NAME", "STATUS", "STARTED", "ENDED"].map(str::to_owned)];
    rows.extend(executions.iter().map(|execution| {
        [
            execution.function.clone(),
            execution.name.clone(),
            execution.status.as_str().to_owned(),
            instant(execution.started_at),
            end(execution),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let [function, name, status, started] = [0, 1, 2, 3].map(width);
    rows.iter()
        .map(|row| {
            format!("{:function$}  {:name$}  {:status$}  {:started$}  {}\n", row[0], row[1], row[2], row[3], row[4])
        })
        .collect()
}

/// A running execution that is not at rest has its start for a wake-up time: it is under way, or waits for a driver.
fn end(execution: &ExecutionSummary) -> String {
    match (execution.ended_at, execution.wake_at) {
        (Some(ended_at), _) => instant(ended_at),
        (None, Some(wake_at)) if wake_at > execution.started_at => format!("wakes {}", instant(wake_at)),
        (None, _) => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use everstep_core::protocol::{ComponentDigest, ExecutionArn, Timestamp};
    use everstep_core::store::ExecutionKey;

    const EPOCH: i64 = 1_790_000_000_123;

    fn summary(function: &str, name: &str, status: ExecutionStatus) -> ExecutionSummary {
        ExecutionSummary {
            key: ExecutionKey(1),
            arn: ExecutionArn::local(function, "$LATEST", name, "6f3c"),
            function: function.into(),
            version: "$LATEST".into(),
            name: name.into(),
            component: ComponentDigest([0; 32]),
            status,
            started_at: Timestamp(EPOCH),
            ended_at: None,
            wake_at: None,
        }
    }

    #[test]
    fn columns_stand_under_each_other_and_say_how_it_goes_on() {
        let table = table(&[
            ExecutionSummary {
                ended_at: Some(Timestamp(EPOCH + 61_000)),
                ..summary("order", "o-1", ExecutionStatus::TimedOut)
            },
            ExecutionSummary {
                wake_at: Some(Timestamp(EPOCH + 86_400_000)),
                ..summary("newsletter", "a-much-longer-name", ExecutionStatus::Running)
            },
            ExecutionSummary { wake_at: Some(Timestamp(EPOCH)), ..summary("x", "y", ExecutionStatus::Running) },
        ]);
        let expected = "\
FUNCTION    NAME                STATUS     STARTED               ENDED
order       o-1                 TIMED_OUT  2026-09-21T14:13:20Z  2026-09-21T14:14:21Z
newsletter  a-much-longer-name  RUNNING    2026-09-21T14:13:20Z  wakes 2026-09-22T14:13:20Z
x           y                   RUNNING    2026-09-21T14:13:20Z  -
";
        assert_eq!(table, expected);
    }

    #[test]
    fn json_has_aws_s_members_and_a_line_each() {
        let running = summary("order", "o-2", ExecutionStatus::Running);
        let ended = ExecutionSummary {
            ended_at: Some(Timestamp(EPOCH + 7)),
            ..summary("order", "o-1", ExecutionStatus::Succeeded)
        };
        let lines = lines(&[running, ended]);
        let [first, second] = lines.lines().collect::<Vec<_>>()[..] else { panic!("{lines}") };
        let parsed = |line| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:order:$LATEST";
        let expected = json!({
            "DurableExecutionArn": format!("{arn}/durable-execution/o-1/6f3c"), "DurableExecutionName": "o-1",
            "FunctionArn": arn, "Status": "SUCCEEDED",
            "StartTimestamp": 1_790_000_000.123, "EndTimestamp": 1_790_000_000.13,
        });
        assert_eq!(parsed(second), expected);
        assert_eq!(parsed(first).get("EndTimestamp"), None);
    }

    #[test]
    fn statuses_may_be_written_as_people_write_them() {
        assert_eq!(status("timed-out"), Ok(ExecutionStatus::TimedOut));
        assert_eq!(status("RUNNING"), Ok(ExecutionStatus::Running));
        assert!(status("done").unwrap_err().contains("SUCCEEDED"));
    }
}
