//! Bounds of the durable-execution API, with their sources.

/// Default of [`ExecutionConfig::max_operations`](super::ExecutionConfig): AWS's quota page.
pub const MAX_OPERATIONS: u32 = 3_000;
/// Default of [`ExecutionConfig::log_bytes`](super::ExecutionConfig): AWS's quota page (100 MB of data written by an
/// execution).
pub const LOG_BYTES: u64 = 100 << 20;
/// Payload of one operation, bytes (`OperationUpdate.Payload` for STEP, CONTEXT and the rest).
pub const OPERATION_PAYLOAD_BYTES: usize = 1 << 20;
/// Longest result of a CONTEXT that is recorded, bytes: where AWS's SDKs draw the line. A longer one is left out, since
/// the context's body re-executes.
pub const CONTEXT_RESULT_BYTES: usize = 256 << 10;
/// Longest timeout of a callback, seconds (`CallbackOptions.TimeoutSeconds` and `HeartbeatTimeoutSeconds`).
pub const MAX_CALLBACK_SECONDS: u32 = 99_999_999;
/// Longest name of a function to invoke (`NamespacedFunctionName`) and longest tenant id, characters.
pub const FUNCTION_NAME: usize = 256;
/// Input and result of an execution, bytes (`OperationPayload`: 0..6,291,456).
pub const EXECUTION_PAYLOAD_BYTES: usize = 6 << 20;
/// All fields of one error together, bytes, unless [`ExecutionConfig::error_bytes`](super::ExecutionConfig) says
/// otherwise.
pub const ERROR_BYTES: usize = 1 << 20;
/// Longest operation name, characters of `[\x20-\x7E]`.
pub const OPERATION_NAME: usize = 256;
/// Longest execution name, characters of `[a-zA-Z0-9-_]`.
pub const EXECUTION_NAME: usize = 64;
/// Longest operation id, characters of `[a-zA-Z0-9-_]`.
pub const OPERATION_ID: usize = 64;
/// Longest wait, retry delay and execution timeout, seconds (366 days); the shortest is 1.
pub const MAX_SECONDS: u32 = 31_622_400;
/// Payload of an operation above which its execution warns, bytes: AWS's bound at launch, which its SDKs still go by.
pub const LARGE_PAYLOAD_BYTES: usize = 256 << 10;
/// How long a caller can wait for an execution that it starts synchronously, seconds.
pub const SYNCHRONOUS_SECONDS: u32 = 900;
/// CHAINED_INVOKEs that may lead from an execution that nobody invoked to another: as many as Lambda lets a function go
/// round in a loop.
pub const INVOKE_DEPTH: u32 = 16;
/// An execution timeout nobody chose, seconds: a day.
pub const DEFAULT_EXECUTION_TIMEOUT: u32 = 86_400;
/// Failed invocations at one log position after which the execution FAILS.
pub const MAX_INVOCATION_FAILURES: u32 = 3;
/// Invocations lost with their host (power, `kill -9`) at one log position after which the execution FAILS: more than
/// for faults of the guest, since a host may die for reasons that are none of the guest's.
pub const MAX_LOST_INVOCATIONS: u32 = 10;
