//! What a hostile or broken client gets: a SCIM error that says what to change, and nothing changed.

mod answers;
mod groups;
mod requests;
mod support;
mod tokens;
