//! Whole workflows on a disk that fails, tears, lies and stops.

mod support;
