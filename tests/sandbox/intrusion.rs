//! Reaching for what is not the workflow's own.

use crate::attack::{Attack, GUEST, Process};
use crate::support::{Place, guest};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener, UdpSocket};

const SECRET: &str = "a secret of the host";

/// The real binary, in a directory with a secret in it, in an environment with another.
fn run(place: &Place, input: &Value, options: &[&str]) -> Value {
    let component = guest(GUEST);
    let input = input.to_string();
    let arguments = ["run", component.to_str().expect("text"), "--input", &input, "--simulate", "7"];
    let mut command = place.everstep(&[&arguments[..], options].concat());
    let output = command.env("HOST_SECRET", SECRET).output().expect("everstep runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(!stdout.contains(SECRET) && !stderr.contains(SECRET), "{stdout}{stderr}");
    let result: Value = serde_json::from_str(&stdout).expect("the result is JSON");
    result.get("value").cloned().unwrap_or(result)
}

#[test]
fn files_of_the_host_cannot_be_read_listed_or_written() {
    let place = Place::new();
    let secret = place.path().join("secret.txt");
    std::fs::write(&secret, SECRET).expect("it can be written");
    let up = "../".repeat(20);
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let paths = [
        "/etc/passwd".to_owned(),
        format!("{up}etc/passwd"),
        format!("/{up}etc/passwd"),
        "/proc/self/environ".to_owned(),
        "/proc/self/maps".to_owned(),
        "/proc/self/cwd/secret.txt".to_owned(),
        "secret.txt".to_owned(),
        "./secret.txt".to_owned(),
        text(&secret),
        "everstep.db".to_owned(),
        text(&place.database()),
        text(place.path()),
        "/tmp".to_owned(),
        "/proc/self/fd".to_owned(),
    ];
    for inside in [false, true] {
        let input = json!({ "case": "files", "inside": inside, "targets": paths });
        let tried = run(&place, &input, &[]);
        for access in ["read", "listed", "appended"] {
            let outcomes = tried[access].as_object().expect("an outcome for each path");
            assert_eq!(outcomes.len(), paths.len());
            for (path, outcome) in outcomes {
                assert!(outcome["error"].is_string(), "{access} {path}: {outcome}");
            }
        }
        // What lies at the top is nothing of the host's, whatever it is.
        let input = json!({ "case": "files", "inside": inside, "targets": ["/", ".", ".."] });
        let listed = run(&place, &input, &[])["listed"].to_string();
        for name in ["secret.txt", "everstep.db", "etc", "proc"] {
            assert!(!listed.contains(name), "{listed}");
        }
    }
    assert_eq!(std::fs::read_to_string(&secret).expect("readable"), SECRET);
}

#[test]
fn environment_and_arguments_are_those_that_were_given() {
    let place = Place::new();
    for inside in [false, true] {
        let input = json!({ "case": "surroundings", "inside": inside });
        let seen = run(&place, &input, &["--env", "GIVEN=1", "--", "argument"]);
        assert_eq!(seen["environment"], json!([["GIVEN", "1"]]));
        assert_eq!(seen["arguments"], json!([GUEST, "argument"]));
        assert_eq!(seen["stdin"], json!(input.to_string()));
        assert_eq!(seen["terminals"], json!([false, false, false]));
        assert!(matches!(seen["cwd"].as_str(), None | Some("/")), "{seen}");
    }
}

/// A listener of each kind, which nobody may have reached in the end.
struct Trap {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Trap {
    fn new() -> Self {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
            // The same port, so that one entry of the allow list would do for both.
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().expect("an address")) {
                tcp.set_nonblocking(true).expect("it can be");
                udp.set_nonblocking(true).expect("it can be");
                return Self { tcp, udp };
            }
        }
    }

    fn address(&self) -> SocketAddr {
        self.tcp.local_addr().expect("an address")
    }

    /// Connections and datagrams since the last call.
    fn caught(&self) -> (usize, usize) {
        let connections = std::iter::from_fn(|| self.tcp.accept().ok()).count();
        let mut datagram = [0; 64];
        (connections, std::iter::from_fn(|| self.udp.recv(&mut datagram).ok()).count())
    }
}

#[test]
fn only_granted_addresses_can_be_reached() {
    let (granted, forbidden) = (Trap::new(), Trap::new());
    let (ours, theirs) = (granted.address().port(), forbidden.address().port());
    let others = [
        format!("127.0.0.1:{theirs}"),
        format!("localhost:{theirs}"),
        format!("[::ffff:127.0.0.1]:{ours}"),
        format!("[::ffff:7f00:1]:{theirs}"),
        format!("[::1]:{ours}"),
        format!("0.0.0.0:{ours}"),
        format!("[::]:{ours}"),
        format!("127.0.0.2:{ours}"),
        format!("255.255.255.255:{ours}"),
        "127.0.0.1:0".to_owned(),
    ];
    let all: Vec<String> = others.iter().cloned().chain([granted.address().to_string()]).collect();
    for case in ["connect", "send"] {
        let outside = Attack::outside(case).on(&all).allowing(&[granted.address()]).run();
        for address in &all {
            assert!(outside.value()[address]["error"].is_string(), "{case} {address} outside: {outside:?}");
        }
        assert_eq!((granted.caught(), forbidden.caught()), ((0, 0), (0, 0)), "{case} outside");

        let inside = Attack::inside(case).on(&all).allowing(&[granted.address()]).run();
        for address in &others {
            assert!(inside.value()[address]["error"].is_string(), "{case} {address} inside: {inside:?}");
        }
        let denied =
            format!("everstep: {0} is not on the allow list; grant it with --allow-net {0}", forbidden.address());
        assert!(inside.notices.contains(&denied), "{inside:?}");
        assert!(inside.value()[granted.address().to_string()]["got"].is_string(), "{inside:?}");
        let expected = if case == "connect" { (1, 0) } else { (0, 1) };
        assert_eq!((granted.caught(), forbidden.caught()), (expected, (0, 0)), "{case} inside");
    }
    // Nothing is granted: names are not even looked up.
    let nothing = Attack::inside("connect").on([format!("localhost:{theirs}")]).run();
    assert!(nothing.value()[format!("localhost:{theirs}")]["error"].is_string(), "{nothing:?}");
}

/// What is granted is to connect to an address, not to be reached there.
#[test]
fn nobody_listens() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let places = ["0.0.0.0:0".to_owned(), "127.0.0.1:0".to_owned(), "[::]:0".to_owned(), free.to_string()];
    for attack in [Attack::outside("listen"), Attack::inside("listen")] {
        let outcome = attack.on(&places).allowing(&[free]).run();
        for place in &places {
            assert!(outcome.value()[place]["error"].is_string(), "{place}: {outcome:?}");
        }
    }
}

/// Same component, same database, same process: nothing of one execution is in another.
#[test]
fn executions_do_not_see_each_other() {
    let process = Process::new();
    for inside in [false, true] {
        let attack = |case| if inside { Attack::inside(case) } else { Attack::outside(case) };
        let mut identities = Vec::new();
        for _ in 0..2 {
            let marked = process.run(attack("leave_a_mark"));
            let looked = process.run(attack("look_for_marks"));
            assert_eq!(looked.value()["found"], json!(0), "{looked:?}");
            identities.extend([marked, looked].map(|outcome| outcome.value().clone()));
        }
        for member in ["random", "hash_seed"] {
            let mut seen: Vec<String> = identities.iter().map(|identity| identity[member].to_string()).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 4, "{member}: {identities:?}");
        }
    }
}
