//! What a guest sees is the same live and replayed: sealing, sources of chance, and the executable model as oracle.

#[allow(unreachable_pub)] // shared by several programs
mod support;

#[path = "deterministic/chance.rs"]
mod chance;
#[path = "deterministic/in_process.rs"]
mod in_process;
#[path = "deterministic/oracle.rs"]
mod oracle;
#[path = "deterministic/outside.rs"]
mod outside;
#[path = "deterministic/sealing.rs"]
mod sealing;
