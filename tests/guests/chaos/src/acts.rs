//! What happens at once: calls of WASI, collections, and the acts of `memory` and `numbers`.

use crate::memory;
use crate::numbers;
use crate::program::Act;
use crate::world::World;
use everstep_sdk::Logger;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::mem::ManuallyDrop;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::fd::FromRawFd as _;
use std::time::{Duration, Instant, SystemTime};
use wasip2::clocks::monotonic_clock;

pub(crate) fn act(world: &World, act: &Act, logger: &Logger) {
    match *act {
        Act::Poll(ref millis) => poll(world, millis),
        Act::Wall => wall(world),
        Act::Monotonic => {
            world.see_clock(monotonic_clock::now());
            world.see(u64::from(Instant::now().elapsed() > Duration::ZERO));
            world.see(monotonic_clock::resolution());
        }
        Act::Random(count) => {
            let mut bytes = vec![0; usize::from(count)];
            getrandom::fill(&mut bytes).expect("randomness never fails");
            world.see_bytes(&bytes);
        }
        Act::Insecure(count) => {
            world.see_bytes(&wasip2::random::insecure::get_insecure_random_bytes(u64::from(count)));
            world.see(wasip2::random::insecure::get_insecure_random_u64());
            world.see(wasip2::random::random::get_random_u64());
        }
        Act::HashSeed => {
            let (low, high) = wasip2::random::insecure_seed::insecure_seed();
            world.see(low);
            world.see(high);
        }
        Act::Environment => {
            let seen: Vec<_> = std::env::vars().collect();
            assert_eq!(seen, *world.environment.borrow(), "the environment is not the frozen one");
            seen.iter().for_each(|(name, value)| world.see_bytes(format!("{name}={value}").as_bytes()));
            world.see_bytes(format!("{:?}", std::env::current_dir()).as_bytes());
        }
        Act::Arguments => {
            let seen: Vec<_> = std::env::args().skip(1).collect();
            assert_eq!(seen, *world.arguments.borrow(), "the arguments are not the frozen ones");
            seen.iter().for_each(|argument| world.see_bytes(argument.as_bytes()));
            world.see(u64::from(std::io::stdin().is_terminal()) + 2 * u64::from(std::io::stdout().is_terminal()));
            world.see(std::thread::available_parallelism().map_or(0, std::num::NonZero::get) as u64);
        }
        Act::Stdin(count) => stdin(world, count),
        Act::Print(count) if world.is_inside() => print_inside(count),
        Act::Print(count) => match count % 3 {
            0 => print!("{:x}", world.digest()),
            1 => println!("{:x} {}", world.digest(), "x".repeat(usize::from(count))),
            _ => {
                let text = vec![b'0' + (count % 10) as u8; usize::from(count)];
                world.see(std::io::stdout().write(&text).unwrap_or(usize::MAX) as u64);
            }
        },
        Act::Complain(count) => eprintln!("{:x} {}", world.digest(), "y".repeat(usize::from(count))),
        Act::Budget => {
            let stdout = wasip2::cli::stdout::get_stdout();
            world.see(stdout.check_write().unwrap_or(u64::MAX));
            world.see(u64::from(stdout.subscribe().ready()));
        }
        Act::Log => {
            let logger = logger.clone().with("sights", world.sights());
            let place = if world.is_inside() { "in" } else { "out" };
            logger.info(format!("{place} {:x}", world.digest()));
        }
        Act::File(number) => file(world, number),
        Act::Socket(number) => socket(world, number),
        Act::Sleep(millis) => {
            let millis = if world.is_inside() { millis.min(1) } else { millis };
            std::thread::sleep(Duration::from_millis(u64::from(millis)));
            wall(world);
        }
        Act::Timers(count, in_order) => timers(world, count, in_order),
        Act::Map(count) => {
            let map: HashMap<u32, u64> =
                (0..u32::from(count)).map(|key| (key, world.digest() ^ u64::from(key))).collect();
            map.iter().for_each(|(key, value)| world.see(value.wrapping_add(u64::from(*key))));
        }
        Act::Set(count) => {
            let set: HashSet<String> = (0..count).map(|number| format!("text {number}")).collect();
            set.iter().for_each(|text| world.see_bytes(text.as_bytes()));
        }
        Act::Tree(count) => {
            let tree: BTreeMap<u64, Box<u64>> = (0..u64::from(count))
                .map(|number| (number.wrapping_mul(world.digest() | 1), Box::new(number)))
                .collect();
            tree.values().for_each(|value| world.see_address(&raw const **value));
        }
        Act::Keep(size) => memory::keep(world, size, 1),
        Act::Aligned(size, power) => memory::keep(world, u32::from(size), 1 << (power % 15)),
        Act::Drop(every) => memory::drop_every(world, every),
        Act::Extend(by) => memory::extend(world, by),
        Act::Leak(size) => memory::leak(world, size),
        Act::Scribble => memory::scribble(world),
        Act::Look => world.look(),
        Act::Count => memory::count(world),
        Act::Pages(count) => memory::pages(world, count),
        Act::Edge => memory::edge(world),
        Act::TooMuch => memory::too_much(world),
        Act::Deep(kib) => world.see(memory::deep(kib.min(400), world.digest())),
        Act::Stack(kib) => memory::stack(world, kib),
        Act::Float(rounds) => numbers::floats(world, rounds),
        Act::Vector(rounds) => numbers::vectors(world, rounds),
    }
}

pub(crate) fn wall(world: &World) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    world.see_clock(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX));
}

/// Unbuffered: the position is the host's.
fn stdin(world: &World, count: u16) {
    // SAFETY: standard input is open from start to end, and `ManuallyDrop` leaves it open.
    let mut stdin = ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(0) });
    let mut bytes = vec![0; usize::from(count)];
    let length = stdin.read(&mut bytes).unwrap_or(0);
    world.see_bytes(&bytes[..length]);
}

/// What bodies print goes to standard error, so that standard output is the workflow's alone and can be compared.
fn print_inside(count: u16) {
    eprint!("{}", "z".repeat(usize::from(count)));
}

fn see_result<T>(world: &World, result: std::io::Result<T>) {
    match result {
        Ok(_) => world.see(1),
        Err(error) => world.see_bytes(format!("{:?} {:?}", error.kind(), error.raw_os_error()).as_bytes()),
    }
}

fn file(world: &World, number: u8) {
    let name = format!("/file-{}", number / 8 % 4);
    match number % 8 {
        0 => see_result(world, std::fs::write(&name, world.digest().to_le_bytes())),
        1 => match std::fs::read(&name) {
            Ok(content) => world.see_bytes(&content),
            Err(error) => see_result::<()>(world, Err(error)),
        },
        2 => match std::fs::read_dir("/") {
            Ok(entries) => entries.for_each(|entry| {
                let name = entry.map(|entry| entry.file_name());
                world.see_bytes(format!("{name:?}").as_bytes());
            }),
            Err(error) => see_result::<()>(world, Err(error)),
        },
        3 => match std::fs::metadata(&name) {
            Ok(metadata) => {
                let modified = metadata.modified().ok();
                let nanos = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
                world.see(nanos.map_or(0, |nanos| nanos.as_nanos() as u64));
                world.see(metadata.len());
            }
            Err(error) => see_result::<()>(world, Err(error)),
        },
        4 => see_result(world, std::fs::remove_file(&name)),
        5 => see_result(world, std::fs::rename(&name, "/file-0")),
        6 => {
            let appended = std::fs::File::options().append(true).create(true).open(&name);
            see_result(world, appended.and_then(|mut file| file.write_all(b"more")));
        }
        _ => see_result(world, std::fs::create_dir("/directory")),
    }
}

/// Outside bodies all of it is refused; inside, it may connect to where nobody listens.
///
/// A UDP socket is not connected: libc gives its handles back in another order then, see `program::Act::Timers`.
fn socket(world: &World, number: u8) {
    match number % 4 {
        0 => see_result(world, TcpStream::connect(("127.0.0.1", 9))),
        1 => see_result(world, UdpSocket::bind(("127.0.0.1", 0))),
        2 => see_result(world, TcpListener::bind(("127.0.0.1", 9))),
        _ => see_result(world, ("everstep.invalid", 9).to_socket_addrs().map(Iterator::count)),
    }
}

fn poll(world: &World, millis: &[u16]) {
    let unit = if world.is_inside() { 1_000 } else { 1_000_000 };
    let timers: Vec<_> =
        millis.iter().map(|millis| monotonic_clock::subscribe_duration(u64::from(*millis) * unit)).collect();
    if !timers.is_empty() {
        let ready = wasip2::io::poll::poll(&timers.iter().collect::<Vec<_>>());
        ready.into_iter().for_each(|index| world.see(u64::from(index)));
    }
    timers.into_iter().rev().for_each(drop);
}

fn timers(world: &World, count: u8, in_order: bool) {
    let mut timers: Vec<_> =
        (0..u64::from(count)).map(|number| monotonic_clock::subscribe_duration(number << 40)).collect();
    for timer in &timers {
        world.see(u64::from(timer.handle()));
        world.see(u64::from(timer.ready()));
    }
    if !in_order {
        timers.reverse();
    }
    timers.into_iter().for_each(drop);
}
