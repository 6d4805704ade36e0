//! The command line as a user meets it: results, refusals, histories, exit statuses.

#[allow(unreachable_pub)]
mod support;

mod commands {
    mod divergences;
    mod faults;
    mod histories;
    mod outside;
    mod record;
    mod refusals;
    mod results;
    mod verbs;
}
