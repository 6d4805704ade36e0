use super::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn allows(rules: &[&str], method: &str, url: &str) -> Result<(), HttpError> {
    let policy = Policy { rules: rules.iter().map(|text| rule(text)).collect(), addresses: Vec::new() };
    policy.allows(&method.parse().expect(method), &Url::parse(url).expect(url))
}

#[test]
fn rules_print_what_they_parse() {
    for text in [
        "api.example.com",
        "*",
        "*.example.com",
        "GET api.example.com",
        "GET,POST https://api.example.com:8443",
        "http://api.example.com",
        "PURGE *:*",
        "127.0.0.1:*",
        "[::1]:8080",
        "http://[2001:db8::1]",
        "localhost:3000",
    ] {
        assert_eq!(rule(text).to_string(), text);
    }
    for (text, plain) in [
        ("  get   API.Example.COM.  ", "GET api.example.com"),
        ("HTTPS://bücher.example", "https://xn--bcher-kva.example"),
        ("0x7f.1:80", "127.0.0.1:80"),
        ("[0:0::1]", "[::1]"),
    ] {
        assert_eq!(rule(text).to_string(), plain, "{text}");
    }
}

#[test]
fn malformed_rules_say_what_is_wrong() {
    for (text, problem) in [
        ("", "the rule `` is empty"),
        ("GET", "has a method and no host"),
        ("GET, POST example.com", "has more than two parts: methods are separated by commas, without spaces"),
        ("GET,, example.com", "has the method ``, which cannot be requested"),
        ("CONNECT example.com", "has the method `CONNECT`, which cannot be requested"),
        ("ftp://example.com", "has the scheme `ftp`: use https or http"),
        ("https://", "has no host"),
        (":80", "has no host"),
        ("example.com/v1", "has a path"),
        ("example.com/", "has a path"),
        ("example.com:", "has the port ``: use 1 to 65535, or `*`"),
        ("example.com:0", "has the port `0`"),
        ("example.com:65536", "has the port `65536`"),
        ("example.com:http", "has the port `http`"),
        ("::1", "an IPv6 address goes in brackets"),
        ("::1:80", "an IPv6 address goes in brackets"),
        ("[::1", "has a `[` without a `]`"),
        ("[::1]80", "goes on with `80` behind the host"),
        ("[fe80::1%eth0]", "`%` in the host"),
        ("*.10.0.0.1", "has `*.` before an IP address"),
        ("api.*.com", "has a `*` inside the host `api.*.com`"),
        ("*example.com", "has a `*` inside the host"),
        ("*.", "`*.`"),
        ("a..example.com", "has an empty part in the host"),
        ("1.2.3.4.5", "has the host `1.2.3.4.5`"),
        ("ex(a mple.com", "cannot be requested"),
    ] {
        let message = text.parse::<Rule>().expect_err(text).to_string();
        assert!(message.contains(problem), "`{text}` says: {message}");
        assert!(message.ends_with("a right one is `GET,POST https://api.example.com:8443`, or just `api.example.com`"));
    }
    // Whoever pasted a whole URL may have pasted a secret.
    for text in ["https://user:hunter2@example.com", "https://example.com?key=hunter2"] {
        let message = text.parse::<Rule>().expect_err(text).to_string();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn rules_match_method_scheme_host_and_port() {
    let table = [
        // rule, method, url, allowed
        ("api.example.com", "DELETE", "https://api.example.com/any?thing#here", true),
        ("api.example.com", "GET", "https://API.example.com./", true),
        ("api.example.com.", "GET", "https://api.example.com/", true),
        ("api.example.com", "GET", "http://api.example.com/", false),
        ("api.example.com", "GET", "https://api.example.com:8443/", false),
        ("api.example.com", "GET", "https://example.com/", false),
        ("api.example.com", "GET", "https://api.example.com.evil.net/", false),
        ("api.example.com", "GET", "https://evil-api.example.com/", false),
        ("api.example.com:8443", "GET", "https://api.example.com:8443/", true),
        ("api.example.com:*", "GET", "https://api.example.com:1/", true),
        ("http://api.example.com", "GET", "http://api.example.com/", true),
        ("http://api.example.com", "GET", "https://api.example.com/", false),
        ("GET,HEAD api.example.com", "HEAD", "https://api.example.com/", true),
        ("GET,HEAD api.example.com", "POST", "https://api.example.com/", false),
        ("GET api.example.com", "get", "https://api.example.com/", false),
        ("*.example.com", "GET", "https://a.b.example.com/", true),
        ("*.example.com", "GET", "https://a.example.com./", true),
        ("*.example.com", "GET", "https://example.com/", false),
        ("*.example.com", "GET", "https://.example.com/", false),
        ("*.example.com", "GET", "https://aexample.com/", false),
        ("*", "GET", "https://anything.example/", true),
        ("*", "GET", "http://anything.example/", false),
        ("*", "CONNECT", "https://anything.example/", false),
        ("localhost:8080", "GET", "http://localhost:8080/", true),
        ("localhost:8080", "GET", "https://localhost:8080/", true),
        ("localhost", "GET", "http://localhost/", true),
        ("localhost", "GET", "http://localhost.:80/", true),
        ("localhost", "GET", "http://localhost:8080/", false),
        ("localhost:*", "GET", "http://127.0.0.1:8080/", false),
        ("[::1]:8080", "GET", "http://[0::1]:8080/", true),
        ("127.0.0.1:*", "GET", "http://127.1:9/", true),
        ("127.0.0.1:*", "GET", "http://[::ffff:127.0.0.1]:9/", false),
        ("10.0.0.1", "GET", "https://10.0.0.1/", true),
        ("10.0.0.1", "GET", "http://10.0.0.1/", false),
        // Userinfo is refused whatever the rule.
        ("*", "GET", "https://user@anything.example/", false),
        ("*", "GET", "https://:password@anything.example/", false),
        ("*", "GET", "ftp://anything.example/", false),
    ];
    for (rule, method, url, allowed) in table {
        assert_eq!(allows(&[rule], method, url).is_ok(), allowed, "{rule} / {method} {url}");
    }
    assert!(allows(&[], "GET", "https://api.example.com/").is_err(), "the default denies");
}

/// A host that is an address is judged by what it means, however it is spelled.
#[test]
fn address_hosts_are_public_or_named() {
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.0.0.0x1",
        "127.0.0.1.",
        "%31%32%37.1",
        "１２７.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0xA9FEA9FE",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:10.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a00:1]",
        "[64:ff9b:1::1]",
        "[2002:a00:1::]",
        "[2001::1]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[100::1]",
        "[::8.8.8.8]",
    ] {
        let url = format!("http://{host}:8080/");
        let error = allows(&["http://*:*", "localhost:*"], "GET", &url).expect_err(&url);
        assert_eq!(error.code(), "destination-IP-prohibited", "{url}: {error}");
        // The rule that the message names is the one that is missing.
        let message = error.to_string();
        let grant = message.split('\'').nth(1).expect("a rule in quotes");
        allows(&[grant], "GET", &url).unwrap_or_else(|error| panic!("{url} with {grant}: {error}"));
    }
    for host in ["8.8.8.8", "134744072", "[2606:4700::1111]", "[::ffff:8.8.8.8]"] {
        allows(&["*"], "GET", &format!("https://{host}/")).expect(host);
    }
    let listed =
        Policy { rules: vec![rule("http://*:*")], addresses: vec!["10.0.0.1:80".parse().expect("an address")] };
    let get = |url: &str| listed.allows(&Method::GET, &Url::parse(url).expect(url)).is_ok();
    assert!(get("http://10.0.0.1/"));
    assert!(!get("http://10.0.0.1:81/") && !get("http://10.0.0.2/") && !get("http://[::ffff:10.0.0.1]/"));
}

#[test]
fn names_reach_public_addresses_and_localhost_reaches_loopback() {
    let policy = Policy {
        rules: vec![rule("GET localhost:*"), rule("http://*:*")],
        addresses: vec!["10.0.0.1:80".parse().expect("an address")],
    };
    let admits = |method: &str, host: &str, address: &str| {
        let url = Url::parse(&format!("http://{host}/")).expect(host);
        let (reach, _) = policy.reach(&method.parse().expect(method), &url).expect("allowed");
        policy.admits(reach, address.parse().expect(address)).is_ok()
    };
    assert!(admits("GET", "localhost", "127.0.0.1:80") && admits("GET", "localhost.", "[::1]:80"));
    assert!(!admits("GET", "localhost", "8.8.8.8:80") && !admits("GET", "localhost", "[::ffff:127.0.0.1]:80"));
    // The rule that names localhost is for GET: POST is allowed by the other one, which leads to public addresses.
    assert!(!admits("POST", "localhost", "127.0.0.1:80"));
    assert!(admits("GET", "internal.example", "8.8.8.8:80") && admits("GET", "internal.example", "10.0.0.1:80"));
    assert!(!admits("GET", "internal.example", "10.0.0.1:81") && !admits("GET", "internal.example", "127.0.0.1:80"));
}

#[test]
fn a_denial_names_the_rule_that_is_missing() {
    for (method, url, grant) in [
        ("GET", "https://api.example.com/secret/path?key=hunter2", "GET api.example.com"),
        ("POST", "http://api.example.com:8080/", "POST http://api.example.com:8080"),
        ("GET", "https://api.example.com:8443/", "GET api.example.com:8443"),
        ("PUT", "http://localhost:3000/", "PUT localhost:3000"),
        ("PUT", "http://[::1]/", "PUT [::1]"),
    ] {
        let error = allows(&["other.example.com"], method, url).expect_err(url);
        assert!(error.to_string().ends_with(&format!("grant it with --allow-http '{grant}'")), "{error}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("hunter2"), "{error}");
        assert_eq!((error.code(), error.is_transient(), error.before_sending()), ("HTTP-request-denied", false, true));
        allows(&[grant], method, url).expect("granted");
    }
}
