//! Shadow replay: before an invocation reports, what it recorded is replayed in a fresh instance. The same host calls,
//! the same end, the same memory; anything else is the workflow's error.

use super::divergence::{Diverged, Divergence};
use super::host::WorkflowHost;
use super::{Worker, conclude, divergence_of, own, summary};
use everstep_core::protocol::{ErrorObject, InvocationError, InvocationOutput};
use everstep_sandbox::{CompiledWorkflow, Ended, SealedMemory, TrapKind};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The guest's memory at the end of a run, kept until this is dropped. What a step's body did to it is undone, hence a
/// replay of the same log leaves the same.
pub struct FinalMemory {
    pub(super) memory: Option<Arc<SealedMemory>>,
    /// First byte that means something: what lies below is dead stack.
    pub(super) from: usize,
}

impl FinalMemory {
    /// What means something of it; none if the guest does not have exactly one memory.
    fn bytes(&self) -> Option<&[u8]> {
        self.memory.as_ref().map(|memory| &memory.bytes()[self.from..])
    }

    /// SHA-256 of all that means something, computed anew with every call.
    pub fn digest(&self) -> Option<[u8; 32]> {
        self.bytes().map(|bytes| Sha256::digest(bytes).into())
    }
}

impl std::fmt::Debug for FinalMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FinalMemory({:?} bytes)", self.bytes().map(<[u8]>::len))
    }
}

impl Worker {
    /// Replays what the run has recorded in a fresh instance, with every effect cut off, and compares: every host call
    /// while it goes on, then how it ended, then memory. Answers why it could not, if so.
    pub(super) fn shadow(
        &self,
        workflow: &CompiledWorkflow,
        live: &WorkflowHost,
        replay: WorkflowHost,
        reported: &InvocationOutput,
        memory: &FinalMemory,
    ) -> Result<Option<String>, Box<Diverged>> {
        let ended_otherwise =
            |requested: String| Box::new(Divergence::End { recorded: summary(reported), requested }.into());
        let guest = self.guest(replay.started(), Arc::new(|_, _: &[u8]| {}));
        let run = guest.run(workflow, Box::new(replay));
        if let Ended::Trapped(trap) = &run.ended
            && trap.kind != TrapKind::Deterministic
        {
            // Slower than the run itself, or short of stack or memory: that says nothing about determinism.
            return Ok(Some(trap.message.clone()));
        }
        let mut replay = own(run.host);
        if let Some(diverged) = divergence_of(&mut replay, &run.backtrace) {
            return Err(diverged);
        }
        let output = match conclude(run.ended, &run.backtrace, &mut replay) {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(ended_otherwise(error.error.to_string())),
            Err(_) => return Err(ended_otherwise("it was abandoned".into())),
        };
        if output != *reported {
            return Err(ended_otherwise(summary(&output)));
        }
        if let Some(diverged) = replay.other_end(live.journal()) {
            return Err(Box::new(diverged));
        }
        let replayed = FinalMemory { memory: run.memory, from: run.memory_from };
        // Unsealed bodies leave their traces in memory, which is no fault as long as nothing depends on them.
        if let (false, Some(before), Some(after)) = (live.unsealed, memory.bytes(), replayed.bytes()) {
            compare_memory(before, after, memory.from).map_err(|divergence| Box::new(divergence.into()))?;
        }
        Ok(None)
    }
}

/// As the execution's error.
pub(super) fn error_of(diverged: &Diverged, host: &WorkflowHost) -> ErrorObject {
    let mut error = diverged.to_error();
    if let (true, Some(message)) = (host.unsealed, &mut error.message) {
        message.push_str(
            "\n   = note: step bodies are not sealed here (`next-unsealed`): does one leave something behind that\n           \
             workflow code uses, a variable that it changes or a random generator that it draws from? Return it as\n           \
             the step's result",
        );
    }
    error
}

/// An unsealed run does not count unless it was replayed.
pub(super) fn unverified(reason: &str) -> InvocationError {
    let message = format!("the invocation could not be verified by replaying it, as unsealed steps require: {reason}");
    InvocationError { error: ErrorObject::new("Sandbox.Unverified", message) }
}

fn compare_memory(recorded: &[u8], replayed: &[u8], from: usize) -> Result<(), Divergence> {
    if recorded == replayed {
        return Ok(());
    }
    let differs = |at: &usize| recorded.get(*at) != replayed.get(*at);
    let longest = recorded.len().max(replayed.len());
    let first = (0..longest).find(differs).unwrap_or(0);
    Err(Divergence::Memory { first: from + first, bytes: (first..longest).filter(differs).count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_byte_by_byte_and_to_the_last() {
        let live: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
        assert!(compare_memory(&live, &live, 4096).is_ok());
        let differs = |replayed: &[u8]| match compare_memory(&live, replayed, 4096) {
            Err(Divergence::Memory { first, bytes }) => (first, bytes),
            other => panic!("{other:?}"),
        };
        let mut other = live.clone();
        other[9_999] ^= 1;
        assert_eq!(differs(&other), (4096 + 9_999, 1));
        other[17] ^= 0x80;
        assert_eq!(differs(&other), (4096 + 17, 2));
        assert_eq!(differs(&live[..9_000]), (4096 + 9_000, 1_000), "memory that grew live only");
        assert_eq!(differs(&[&live[..], &[0; 3]].concat()), (4096 + 10_000, 3), "and on replay only");
    }
}
