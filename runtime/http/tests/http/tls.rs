//! TLS, against an authority of the test's own.

use std::io::{BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use everstep_http::{CertificateDer, Client, HttpError, Options, Request};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::server::{Names, answering, client, fail, ok, perform, policy, receive, request, serve};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority"))
    }

    fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// An https server for `secure.example` that redirects `/to/TARGET` and answers everything else.
    fn server(&self) -> SocketAddr {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["secure.example".to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .expect("a configuration");
        let config = Arc::new(config);
        serve(move |stream| {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            while let Ok(request) = receive(&mut stream) {
                let answer = match request.line.split_once("/to/") {
                    Some((_, target)) => {
                        let target = target.split('?').next().unwrap_or_default();
                        format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n")
                    }
                    None => ok("sealed"),
                };
                if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        })
    }
}

fn secure(roots: Option<Vec<CertificateDer<'static>>>, server: SocketAddr) -> Client {
    let names = Names::default().with("secure.example", &[&["127.0.0.1"]]).with("other.example", &[&["127.0.0.1"]]);
    let policy = policy(&["*:*", "http://*:*"], &[server]);
    Client::with_options(policy, Options { resolver: Some(Arc::new(names)), roots })
}

fn get(host: &str, server: SocketAddr, path: &str) -> Request {
    let mut request = request("GET", &format!("https://{host}:{}{path}", server.port()));
    request.redirects = 1;
    request
}

#[test]
fn certificates_are_checked() {
    let authority = Authority::new();
    let server = authority.server();
    let client = secure(Some(vec![authority.root()]), server);
    for _ in 0..2 {
        assert_eq!(perform(&client, get("secure.example", server, "/")).expect("an answer").body, "sealed");
    }
    // The right authority and another name; the right name and another authority.
    let stranger = secure(Some(vec![Authority::new().root()]), server);
    for (client, host) in [(&client, "other.example"), (&stranger, "secure.example")] {
        let error = fail(client, get(host, server, "/"));
        assert!(matches!(error, HttpError::TlsCertificate { .. }), "{error}");
        assert_eq!(
            (error.code(), error.is_transient(), error.before_sending()),
            ("TLS-certificate-error", false, true),
            "{error}"
        );
    }
}

#[test]
fn https_does_not_redirect_to_http() {
    let authority = Authority::new();
    let server = authority.server();
    let plain = answering(|_| ok("open"));
    let client = secure(Some(vec![authority.root()]), server);
    let error = fail(&client, get("secure.example", server, &format!("/to/{plain}")));
    let site = format!("secure.example:{}", server.port());
    assert_eq!(error, HttpError::InsecureRedirect { site, to: plain.to_string() });
    assert_eq!((error.code(), error.before_sending()), ("HTTP-request-denied", false));
}

#[test]
fn plain_on_tls_and_tls_on_plain() {
    let plain = serve(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    let error = fail(&client(), request("GET", &format!("https://{plain}/")));
    assert_eq!(
        (error.code(), error.is_transient(), error.before_sending()),
        ("TLS-protocol-error", false, true),
        "{error}"
    );
    let error = fail(&client(), request("GET", &format!("http://{}/", Authority::new().server())));
    assert_eq!((error.code(), error.before_sending()), ("HTTP-protocol-error", false), "{error}");
}

/// The platform's certificates, as `SSL_CERT_FILE` says, in a process of its own and in an
/// environment full of proxies.
#[test]
fn the_platform_is_trusted() {
    let authority = Authority::new();
    let server = authority.server();
    let file = std::env::temp_dir().join(format!("everstep-http-{}.pem", std::process::id()));
    std::fs::write(&file, authority.0.pem()).expect("written");
    let child = |certificates: &std::path::Path| {
        let mut child = Command::new(std::env::current_exe().expect("this test"));
        child.args(["tls::in_a_process_of_its_own", "--exact", "--ignored", "--nocapture"]);
        child
            .env("SSL_CERT_FILE", certificates)
            .env_remove("SSL_CERT_DIR")
            .env("EVERSTEP_TEST_SERVER", server.to_string());
        // Proxies are not for this client.
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
            child.env(name, "http://127.0.0.1:1");
        }
        String::from_utf8(child.output().expect("a process").stdout).expect("text")
    };
    let trusting = child(&file);
    std::fs::remove_file(&file).expect("removed");
    assert!(trusting.contains("outcome: sealed"), "{trusting}");
    let bare = child(&file);
    assert!(bare.contains("outcome: configuration-error"), "{bare}");
}

#[test]
#[ignore = "started by the_platform_is_trusted"]
fn in_a_process_of_its_own() {
    let server = std::env::var("EVERSTEP_TEST_SERVER").expect("a server").parse().expect("an address");
    match perform(&secure(None, server), get("secure.example", server, "/")) {
        Ok(answer) => println!("outcome: {}", String::from_utf8_lossy(&answer.body)),
        Err(error) => println!("outcome: {} {error}", error.code()),
    }
}
