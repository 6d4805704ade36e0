//! Everstep's HTTP client.
