//! The two streams of this program: results on one, progress on the other.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the one place")]

/// Says a result.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Says what is going on.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}
