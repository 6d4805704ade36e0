//! `everstep explain`: the page that explains an error.

use super::deliver;
use super::exit::{Exit, Failure};

/// `docs/errors`, in the binary.
const PAGES: [(&str, &str); 7] = [
    ("E0101", include_str!("../../../docs/errors/E0101.md")),
    ("E0102", include_str!("../../../docs/errors/E0102.md")),
    ("E0103", include_str!("../../../docs/errors/E0103.md")),
    ("E0104", include_str!("../../../docs/errors/E0104.md")),
    ("E0105", include_str!("../../../docs/errors/E0105.md")),
    ("E0106", include_str!("../../../docs/errors/E0106.md")),
    ("E0107", include_str!("../../../docs/errors/E0107.md")),
];

#[derive(clap::Args)]
pub(crate) struct Explain {
    /// The error's code, in any case
    code: String,
}

impl Explain {
    pub(crate) fn execute(self) -> Result<Exit, Failure> {
        match PAGES.iter().find(|(code, _)| code.eq_ignore_ascii_case(&self.code)) {
            Some((_, page)) => deliver(page),
            None => {
                let codes: Vec<_> = PAGES.iter().map(|(code, _)| *code).collect();
                let code = &self.code;
                Err(Failure::wrong(format!(
                    "there is no error with the code {code:?}; give one of {}",
                    codes.join(", ")
                )))
            }
        }
    }
}
