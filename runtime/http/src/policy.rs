//! Who may be asked what: an allow list of requests, and of addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Method;
use url::{Host, Url};

use crate::HttpError;
use crate::address::not_public;

/// What a client may do. The default allows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// A request is allowed if any of these matches it.
    pub rules: Vec<Rule>,
    /// Addresses that may be connected to although they are not public, if a rule allows the request. Exact: port and
    /// form (an IPv4-mapped IPv6 address is not the IPv4 address).
    pub addresses: Vec<SocketAddr>,
}

/// Which addresses a request may reach, by the rules that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public ones.
    Public,
    /// Loopback alone: a rule says `localhost`.
    Loopback,
}

/// What a request is sent to, as far as it may be shown: `host:port`.
pub(crate) struct Site {
    pub(crate) https: bool,
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
}

impl Site {
    /// The site of a URL that can be requested at all: http or https, with a host, without user and password.
    pub(crate) fn of(url: &Url) -> Result<Site, HttpError> {
        let invalid = |problem: &str| Err(HttpError::InvalidUrl { problem: problem.to_owned() });
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return invalid(&format!("has the scheme `{other}`: use https or http")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("holds a user or a password: send them in an `authorization` header");
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if name.trim_end_matches('.').is_empty() => return invalid("has no host"),
            Some(host) => host.to_owned(),
            None => return invalid("has no host"),
        };
        let port = url.port_or_known_default().unwrap_or(if https { 443 } else { 80 });
        Ok(Site { https, host, port })
    }

    fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ipv4(address) => Some((address, self.port).into()),
            Host::Ipv6(address) => Some((address, self.port).into()),
            Host::Domain(_) => None,
        }
    }

    /// The shortest rule that would allow requests with this method here.
    fn rule(&self, method: &Method) -> String {
        let plain = !self.https && !local(&self.host);
        let port =
            if self.port == if self.https { 443 } else { 80 } { String::new() } else { format!(":{}", self.port) };
        format!("{method} {}{}{port}", if plain { "http://" } else { "" }, self.host)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Policy {
    /// Whether a request may be made at all: method, scheme, host and port, and for a host that is an IP address that
    /// address too. Nothing is resolved and nothing is sent; names are held against [`Policy`] again once resolved.
    pub fn allows(&self, method: &Method, url: &Url) -> Result<(), HttpError> {
        self.reach(method, url).map(|_| ())
    }

    pub(crate) fn reach(&self, method: &Method, url: &Url) -> Result<(Reach, Site), HttpError> {
        let site = Site::of(url)?;
        // CONNECT has another form of target, and makes a tunnel of the connection.
        if method == Method::CONNECT {
            return Err(HttpError::InvalidMethod { method: method.to_string() });
        }
        let matching = || self.rules.iter().filter(|rule| rule.matches(method, &site));
        if matching().next().is_none() {
            let grant = site.rule(method);
            return Err(HttpError::Denied { method: method.clone(), site: site.to_string(), grant });
        }
        if let Some(address) = site.address() {
            let named = matching().any(|rule| matches!(rule.host, Pattern::Address(_)));
            if !named && !self.addresses.contains(&address) {
                public(address.ip()).map_err(|what| HttpError::DeniedLiteral {
                    site: site.to_string(),
                    what,
                    grant: site.rule(method),
                })?;
            }
            return Ok((Reach::Public, site));
        }
        let localhost = matching().any(|rule| matches!(&rule.host, Pattern::Name(name) if name == "localhost"));
        Ok((if localhost { Reach::Loopback } else { Reach::Public }, site))
    }

    /// Whether a name that resolved to this address may be connected to. `Err` says what the address is.
    pub(crate) fn admits(&self, reach: Reach, address: SocketAddr) -> Result<(), &'static str> {
        if self.addresses.contains(&address) {
            return Ok(());
        }
        match reach {
            Reach::Public => public(address.ip()),
            Reach::Loopback if address.ip().is_loopback() => Ok(()),
            Reach::Loopback => Err("not loopback"),
        }
    }
}

fn public(address: IpAddr) -> Result<(), &'static str> {
    match not_public(address) {
        Some(what) => Err(what),
        None => Ok(()),
    }
}

/// One line of an allow list: `[METHOD[,METHOD...] ][SCHEME://]HOST[:PORT]`.
///
/// * `HOST`: a name; `*.example.com` for every name below it, at any depth, and not for itself; `*` for every host; an
///   IPv4 address, or an IPv6 address in brackets. Names are held against what the URL says, without the dot that may
///   end them, never against what they resolve to.
/// * No method: every method.
/// * No scheme: https. For `localhost`, 127.0.0.0/8 and `[::1]`: http and https.
/// * No port: the scheme's own, 443 or 80. `:*`: any.
///
/// A host that is an IP address may be reached whatever kind of address it is; `localhost` may reach loopback addresses
/// only; every other host may reach public addresses only (see [`Policy::addresses`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Empty: all.
    methods: Vec<Method>,
    https: Option<bool>,
    host: Pattern,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Pattern {
    Any,
    /// The part behind `*.`.
    Below(String),
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Port {
    OfScheme,
    Any,
    Number(u16),
}

/// `localhost` and loopback addresses, where http is as good as https.
fn local<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => undotted(name.as_ref()) == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn undotted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Rule {
    fn matches(&self, method: &Method, site: &Site) -> bool {
        let scheme = match self.https {
            Some(https) => https == site.https,
            None => site.https || self.host.local(),
        };
        let port = match self.port {
            Port::Any => true,
            Port::Number(port) => port == site.port,
            Port::OfScheme => site.port == if site.https { 443 } else { 80 },
        };
        scheme && port && (self.methods.is_empty() || self.methods.contains(method)) && self.host.matches(&site.host)
    }
}

impl Pattern {
    fn matches(&self, host: &Host<String>) -> bool {
        match (self, host) {
            (Pattern::Any, _) => true,
            (Pattern::Name(name), Host::Domain(host)) => undotted(host) == name,
            (Pattern::Below(apex), Host::Domain(host)) => undotted(host)
                .strip_suffix(apex)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|sub| !sub.is_empty()),
            (Pattern::Address(address), Host::Ipv4(host)) => address == host,
            (Pattern::Address(address), Host::Ipv6(host)) => address == host,
            _ => false,
        }
    }

    fn local(&self) -> bool {
        match self {
            Pattern::Name(name) => name == "localhost",
            Pattern::Address(address) => address.is_loopback(),
            Pattern::Any | Pattern::Below(_) => false,
        }
    }

    fn parse(text: &str) -> Result<Pattern, String> {
        if text == "*" {
            return Ok(Pattern::Any);
        }
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name.contains('*') {
            return Err(format!("has a `*` inside the host `{text}`: it stands alone or first, as in `*.example.com`"));
        }
        if name.contains('%') {
            return Err(format!("has a `%` in the host `{text}`: write the host as it is"));
        }
        match Host::parse(name).map_err(|error| format!("has the host `{text}`: {error}"))? {
            Host::Domain(name) => {
                let name = undotted(&name);
                if name.is_empty() || name.split('.').any(str::is_empty) {
                    return Err(format!("has an empty part in the host `{text}`"));
                }
                Ok(if below { Pattern::Below(name.to_owned()) } else { Pattern::Name(name.to_owned()) })
            }
            _ if below => Err(format!("has `*.` before an IP address (`{text}`): list each address")),
            Host::Ipv4(address) => Ok(Pattern::Address(address.into())),
            Host::Ipv6(address) => Ok(Pattern::Address(address.into())),
        }
    }
}

/// Why a text is not a [`Rule`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rule {shown} {problem}; a right one is `GET,POST https://api.example.com:8443`, or just `api.example.com`"
)]
pub struct RuleError {
    shown: String,
    problem: String,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Rule, RuleError> {
        parse(text).map_err(|problem| {
            // Whoever pasted a whole URL may have pasted a secret.
            let secret = text.contains(['@', '?']);
            RuleError { shown: if secret { "(not shown)".to_owned() } else { format!("`{}`", text.trim()) }, problem }
        })
    }
}

fn parse(text: &str) -> Result<Rule, String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let (methods, target) = match parts[..] {
        [] => return Err("is empty".to_owned()),
        [target] => (Vec::new(), target),
        [methods, target] => (methods.split(',').map(method).collect::<Result<_, _>>()?, target),
        _ => return Err("has more than two parts: methods are separated by commas, without spaces".to_owned()),
    };
    let (https, rest) = match target.split_once("://") {
        None => (None, target),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(true), rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(false), rest),
        Some((scheme, _)) => return Err(format!("has the scheme `{scheme}`: use https or http")),
    };
    if rest.contains('@') {
        return Err("holds a user or a password: leave them out".to_owned());
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err("has a path: a rule ends after the host and the port".to_owned());
    }
    let (host, port) = split_port(rest)?;
    if host.is_empty() {
        return Err("has no host".to_owned());
    }
    if parts.len() == 1 && https.is_none() && KNOWN_METHODS.contains(&host) {
        return Err("has a method and no host".to_owned());
    }
    Ok(Rule { methods, https, host: Pattern::parse(host)?, port })
}

const KNOWN_METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

fn method(text: &str) -> Result<Method, String> {
    let method =
        Method::from_bytes(text.to_ascii_uppercase().as_bytes()).ok().filter(|method| *method != Method::CONNECT);
    method.ok_or_else(|| format!("has the method `{text}`, which cannot be requested"))
}

fn split_port(rest: &str) -> Result<(&str, Port), String> {
    let end = if rest.starts_with('[') {
        rest.find(']').ok_or("has a `[` without a `]`")? + 1
    } else {
        rest.find(':').unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at(end);
    let number = match port.strip_prefix(':') {
        None if port.is_empty() => return Ok((host, Port::OfScheme)),
        None => return Err(format!("goes on with `{port}` behind the host")),
        Some("*") => return Ok((host, Port::Any)),
        Some(number) if number.contains(':') => {
            return Err("has more than one `:`: an IPv6 address goes in brackets".to_owned());
        }
        Some(number) => number,
    };
    match number.parse() {
        Ok(0) | Err(_) => Err(format!("has the port `{number}`: use 1 to 65535, or `*`")),
        Ok(port) => Ok((host, Port::Number(port))),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, method) in self.methods.iter().enumerate() {
            write!(f, "{}{method}", if index > 0 { "," } else { "" })?;
        }
        if !self.methods.is_empty() {
            f.write_str(" ")?;
        }
        match self.https {
            Some(true) => f.write_str("https://")?,
            Some(false) => f.write_str("http://")?,
            None => {}
        }
        match &self.host {
            Pattern::Any => f.write_str("*")?,
            Pattern::Below(name) => write!(f, "*.{name}")?,
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Pattern::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match self.port {
            Port::OfScheme => Ok(()),
            Port::Any => f.write_str(":*"),
            Port::Number(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests;
