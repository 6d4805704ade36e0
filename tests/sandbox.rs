//! The sandbox, attacked: workflows that try to get out of it, to see what is not theirs, and to use up what they share
//! with others, outside steps and inside. Each is refused or bounded in words that help whoever reads them, and a
//! workflow that runs beside it in the same process comes out right.

#[allow(unreachable_pub, reason = "shared by several programs")]
mod support;

#[path = "deterministic/in_process.rs"]
mod in_process;

#[path = "sandbox/attack.rs"]
mod attack;
#[path = "sandbox/exhaustion.rs"]
mod exhaustion;
#[path = "sandbox/intrusion.rs"]
mod intrusion;
#[path = "sandbox/wasi_table.rs"]
mod wasi_table;
