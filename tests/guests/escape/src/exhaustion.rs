//! Using up what there is.

use durable::{BoxError, DurableContext, RetryDecision};
use everstep_sdk as durable;
use serde_json::{Value, json};
use std::hint::black_box;
use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

/// Grows linear memory until that is refused; the refusal is an answer. MiB.
pub(crate) fn memory() -> Value {
    let mut blocks = Vec::new();
    loop {
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            break json!(blocks.len());
        }
        block.resize(1 << 20, 1);
        blocks.push(black_box(block));
    }
}

/// Timers, by the handle, until there are no more of them.
pub(crate) fn handles() -> Value {
    let mut timers = Vec::new();
    for _ in 0..1_000_000 {
        timers.push(wasip2::clocks::monotonic_clock::subscribe_duration(1 << 60));
    }
    json!(timers.len())
}

/// One timer, a million times in a list that the host has to build.
pub(crate) fn long_poll_list() -> Value {
    let timer = wasip2::clocks::monotonic_clock::subscribe_duration(0);
    let many: Vec<_> = std::iter::repeat_n(&timer, 1 << 20).collect();
    json!(wasip2::io::poll::poll(&many).len())
}

/// Sockets until one is refused, with the reason.
pub(crate) fn sockets() -> Value {
    use wasip2::sockets::network::IpAddressFamily;
    use wasip2::sockets::tcp_create_socket::create_tcp_socket;
    use wasip2::sockets::udp_create_socket::create_udp_socket;
    let (mut tcp, mut udp) = (Vec::new(), Vec::new());
    let refused = loop {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => tcp.push(socket),
            Err(code) => break code,
        }
        match create_udp_socket(IpAddressFamily::Ipv6) {
            Ok(socket) => udp.push(socket),
            Err(code) => break code,
        }
    };
    json!({ "sockets": tcp.len() + udp.len(), "refused": refused.name() })
}

/// Looks a name up until that is refused, with the reason.
pub(crate) fn look_ups() -> Value {
    use wasip2::sockets::instance_network::instance_network;
    use wasip2::sockets::ip_name_lookup::resolve_addresses;
    let network = instance_network();
    let mut made = 0;
    loop {
        // An address in words: nobody has to be asked for it.
        match resolve_addresses(&network, "192.0.2.1") {
            Ok(_) => made += 1,
            Err(code) => break json!({ "made": made, "refused": code.name() }),
        }
    }
}

#[allow(unconditional_recursion, reason = "overflowing the stack is what this is for")]
pub(crate) fn stack(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    stack(depth + 1).wrapping_add(black_box(frame)[depth as usize % 64])
}

pub(crate) fn output() -> ! {
    let line = "output without end ".repeat(1_000);
    loop {
        println!("{line}");
    }
}

/// Log lines without end.
pub(crate) fn log(logger: &durable::Logger, message: &str) -> ! {
    loop {
        logger.info(message);
    }
}

/// More random bytes than anybody needs.
pub(crate) fn randomness() -> Value {
    json!(wasip2::random::random::get_random_bytes(1 << 30).len())
}

pub(crate) fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Reads from somebody who never answers.
pub(crate) fn block(addresses: &[String]) -> Result<Value, BoxError> {
    if addresses.is_empty() {
        let never = wasip2::clocks::monotonic_clock::subscribe_duration(u64::MAX);
        never.block();
    }
    let mut streams = addresses.iter().map(TcpStream::connect).collect::<Result<Vec<_>, _>>()?;
    let mut answer = [0; 1];
    Ok(json!(streams.iter_mut().map(|stream| stream.read(&mut answer)).filter(Result::is_ok).count()))
}

/// Operations without end.
pub(crate) async fn operations(ctx: &DurableContext) -> Result<Value, BoxError> {
    loop {
        ctx.step(|_| async { Ok(()) }).await?;
    }
}

/// A mebibyte a step.
pub(crate) async fn large_results(ctx: &DurableContext) -> Result<Value, BoxError> {
    loop {
        ctx.step(|_| async { Ok("x".repeat((1 << 20) - 2)) }).name("large").await?;
    }
}

/// A step that is retried for ever, with a long error.
pub(crate) async fn retries(ctx: &DurableContext) -> Result<Value, BoxError> {
    let step = ctx.step(|_| async { Err::<(), BoxError>("once more ".repeat(50_000).into()) }).name("again");
    let forever = |_: &durable::StepError, _| RetryDecision::Retry { delay: Duration::from_secs(1) };
    step.retry_strategy(forever).await?;
    Ok(Value::Null)
}

/// A step of that name.
pub(crate) async fn name(ctx: &DurableContext, names: Vec<String>) -> Result<Value, BoxError> {
    for name in names {
        ctx.step(|_| async { Ok(()) }).name(name).await?;
    }
    Ok(Value::Null)
}
