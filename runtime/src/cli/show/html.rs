//! The execution as a page of its own: no script, nothing loaded from anywhere.
//!
//! Names and payloads are users'. Everything goes through [`escaped`], and the page's policy forbids scripts and
//! requests besides.

mod events;
mod timeline;

use super::Record;
use super::notation::{duration, instant};
use crate::cli::is_for_people;
use everstep_core::protocol::ExecutionStatus;
use std::fmt::Write;

const STYLE: &str = include_str!("html/page.css");

/// Characters of one payload that the page shows; `--format json` has all of it.
const LONGEST_PAYLOAD: usize = 20_000;

pub(super) fn render(record: &Record) -> String {
    let description = &record.description;
    let name = escaped(&description.started.name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name} · {status}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
        status = description.status.as_str(),
    );
    head(&mut out, record, &name);
    timeline::render(&mut out, record);
    events::render(&mut out, record);
    out += "</main>\n</body>\n</html>\n";
    out
}

fn head(out: &mut String, record: &Record, name: &str) {
    let description = &record.description;
    let started = &description.started;
    let status = description.status.as_str();
    let class = match description.status {
        ExecutionStatus::Running => "running",
        ExecutionStatus::Succeeded => "good",
        _ => "bad",
    };
    let _ = writeln!(out, "<header>\n<h1>{name} <span class=\"status {class}\">{status}</span></h1>");
    let _ = writeln!(out, "<p class=\"arn\">{}</p>", escaped(description.arn.as_str()));
    let mut facts = vec![
        ("Function", format!("{}:{}", started.function, started.version)),
        ("Started", instant(description.started_at)),
    ];
    match description.ended_at {
        Some(ended_at) => {
            facts.push(("Ended", instant(ended_at)));
            facts.push(("Took", duration(description.started_at.millis_until(ended_at))));
        }
        None => facts.push(("Times out", instant(description.timeout_at))),
    }
    facts.push(("Operations", description.operations.to_string()));
    out.push_str("<dl>\n");
    for (term, value) in facts {
        let _ = writeln!(out, "<div><dt>{term}</dt><dd>{}</dd></div>", escaped(&value));
    }
    out.push_str("</dl>\n</header>\n");
    let warnings = record.warnings.iter().filter(|warned| is_for_people(warned));
    let warnings: Vec<_> = warnings.map(ToString::to_string).collect();
    let payloads = [
        ("Input", started.input.clone()),
        ("Result", description.result.clone()),
        ("Error", description.error.as_ref().map(ToString::to_string)),
        ("Warnings", Some(warnings.join("\n")).filter(|text| !text.is_empty())),
    ];
    let shown: Vec<_> = payloads.into_iter().filter_map(|(title, text)| Some((title, text?))).collect();
    if shown.is_empty() {
        return;
    }
    out.push_str("<section class=\"payloads\">\n");
    for (title, text) in shown {
        let _ = writeln!(out, "<div><h2>{title}</h2><pre>{}</pre></div>", escaped(&readable(&text)));
    }
    out.push_str("</section>\n");
}

/// JSON is laid out; other text stays as it is. Long ones are cut.
fn readable(payload: &str) -> String {
    let laid_out = match serde_json::from_str::<serde_json::Value>(payload) {
        Ok(value) if value.is_object() || value.is_array() => format!("{value:#}"),
        _ => payload.to_owned(),
    };
    match laid_out.char_indices().nth(LONGEST_PAYLOAD) {
        Some((cut, _)) => {
            let left = laid_out[cut..].chars().count();
            format!("{}… ({left} more characters: see --format json)", &laid_out[..cut])
        }
        None => laid_out,
    }
}

/// Text as HTML shows it, in elements and in quoted attributes. Control characters would be errors in a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            _ if c.is_control() => out.extend(c.escape_default()),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn nothing_of_a_user_is_markup() {
        let page = render(&sample::record());
        for markup in ["<script", "<b>", "\u{1b}", "& '", "src=", "href=", "http://", "https://", "url("] {
            assert!(!page.contains(markup), "{markup:?} is in the page");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#39;tea&#39;"));
        assert!(page.contains("charge: card #1; &lt;b&gt;"), "a name");
        assert!(page.contains("declined: try again; &lt;later&gt;"), "an error");
        assert!(page.contains("&lt;b&gt;today&lt;/b&gt;"), "the execution's error");
    }

    #[test]
    fn every_element_that_opens_closes() {
        for page in [render(&sample::record()), render(&sample::waiting())] {
            let body = &page[page.find("<main>").unwrap()..page.find("</body>").unwrap()];
            let mut open = Vec::new();
            for tag in body.split('<').skip(1) {
                let name: String =
                    tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
                if tag.starts_with('/') {
                    assert_eq!(open.pop(), Some(name.clone()), "</{name}> closes");
                } else {
                    open.push(name);
                }
            }
            assert!(open.is_empty(), "left open: {open:?}");
        }
    }

    #[test]
    fn long_payloads_are_cut_and_say_so() {
        assert_eq!(readable("{\"a\":1}"), "{\n  \"a\": 1\n}");
        assert_eq!(readable("not json"), "not json");
        let long = readable(&"é".repeat(LONGEST_PAYLOAD + 5));
        assert!(long.ends_with("é… (5 more characters: see --format json)"), "{}", &long[long.len() - 60..]);
    }
}
