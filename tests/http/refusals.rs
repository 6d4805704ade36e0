//! Where requests may not go, they do not go: not by another spelling of the address, not by a redirect, not from a
//! step's body. And no secret of a refused request is kept.

use crate::execution::Execution;
use crate::server::Server;
use serde_json::{Value, json};

/// Runs a list of requests, outside of steps and in a body, under these rules.
fn listed(server: Server, rules: &[&str], requests: &[String]) -> (Execution, Vec<String>, Vec<String>) {
    let options: Vec<&str> = rules.iter().flat_map(|rule| ["--allow-http", rule]).collect();
    let execution = Execution::with(server, &json!({"case": "listed", "requests": requests}), &options);
    let result = execution.result();
    let texts = |list: &Value| -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        list.as_array().unwrap().iter().map(text).collect()
    };
    let (outside, inside) = (texts(&result["outside"]), texts(&result["inside"]));
    assert_eq!((outside.len(), inside.len()), (requests.len(), requests.len()));
    (execution, outside, inside)
}

#[test]
fn a_rule_for_every_host_reaches_no_address_that_is_not_public() {
    let server = Server::start();
    let port = server.port();
    let at = |host: &str| format!("GET http://{host}:{port}/echo?secret=query-12345");
    let prohibited = [
        at("localhost"),
        at("127.0.0.1"),
        at("2130706433"),
        at("0x7f.1"),
        at("0177.0.0.1"),
        at("127.1"),
        at("[::1]"),
        at("[::ffff:127.0.0.1]"),
        at("[::ffff:7f00:1]"),
        at("[64:ff9b::7f00:1]"),
        at("0.0.0.0"),
        at("[::]"),
        "GET http://169.254.169.254/latest/meta-data?secret=query-12345".to_owned(),
    ];
    let invalid = [at("user:pass-12345@127.0.0.1"), at("pass-12345@[::1]")];
    let requests: Vec<String> = prohibited.iter().chain(&invalid).cloned().collect();

    let (execution, outside, inside) = listed(server.clone(), &["http://*:*"], &requests);
    for ((request, outside), inside) in requests.iter().zip(&outside).zip(&inside) {
        let (code, in_body) = match prohibited.contains(request) {
            true => ("destination-IP-prohibited: ", "DestinationIpProhibited"),
            false => ("HTTP-request-URI-invalid: ", "HttpRequestUriInvalid"),
        };
        assert!(outside.starts_with(code), "{request}: {outside}");
        assert!(inside.contains(in_body), "{request}: {inside}");
    }
    assert!(outside[0].contains("localhost") && outside[0].contains("loopback"), "{}", outside[0]);
    assert!(outside[1].contains("--allow-http 'GET 127.0.0.1:"), "{}", outside[1]);
    // Without a scheme and a port it is https at 443 alone.
    let (_, denied, in_body) = listed(server.clone(), &["*"], &prohibited);
    for (outside, inside) in denied.iter().zip(&in_body) {
        assert!(
            outside.starts_with("HTTP-request-denied: ") && inside.contains("HttpRequestDenied"),
            "{outside} {inside}"
        );
    }
    assert_eq!(server.all_hits(), 0);

    // What the input said is in the history's first event, and nowhere else.
    let history = execution.history()[1..].join("\n");
    assert!(history.contains("127.0.0.1") && history.contains("169.254.169.254"), "{history}");
    assert!(!history.contains("12345"), "{history}");
}

#[test]
fn a_redirect_leads_nowhere_that_a_request_could_not_go() {
    let (server, other) = (Server::start(), Server::start());
    let targets = [
        other.url(),
        format!("http://localhost:{}", other.port()),
        format!("http://2130706433:{}", other.port()),
        format!("http://[::ffff:127.0.0.1]:{}", other.port()),
        "http://169.254.169.254".to_owned(),
    ];
    let redirect = |target: &String| format!("GET {}/redirect?to={target}/echo", server.url());
    let requests: Vec<String> = targets.iter().map(redirect).collect();
    let named = server.authority();
    for (rules, code) in [
        (&[named.as_str()][..], "HTTP-request-denied: "),
        (&[named.as_str(), "http://*:*"][..], "destination-IP-prohibited: "),
    ] {
        let (_, outside, inside) = listed(server.clone(), rules, &requests);
        for error in &outside {
            assert!(error.starts_with(code) && error.contains(&format!("redirected by {named}")), "{error}");
        }
        // In a body a redirect is an answer.
        assert_eq!(inside, vec!["302"; targets.len()]);
    }
    assert_eq!(other.all_hits(), 0);
    assert_eq!(server.all_hits(), 4 * targets.len());
}

#[test]
fn a_method_that_is_not_allowed_is_refused() {
    let server = Server::start();
    let requests = ["DELETE", "PATCH", "get", "CONNECT"].map(|method| format!("{method} {}/echo", server.url()));
    let (_, outside, inside) = listed(server.clone(), &[&format!("GET,POST {}", server.authority())], &requests);
    for (error, method) in outside.iter().zip(["DELETE", "PATCH"]) {
        assert!(error.starts_with("HTTP-request-denied: ") && error.contains(&format!("'{method} ")), "{error}");
    }
    assert!(outside[3].starts_with("HTTP-request-method-invalid: "), "{}", outside[3]);
    assert!(inside[..2].iter().all(|error| error.contains("HttpRequestDenied")), "{inside:?}");
    assert!(!outside[2].starts_with("200") && !inside[3].starts_with("200"), "{outside:?} {inside:?}");
    assert_eq!(server.all_hits(), 0);
}
