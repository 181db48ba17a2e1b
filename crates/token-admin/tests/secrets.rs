//! What no type with a secret can do (TOK-14). Each assertion stops the build when it no longer holds.

use std::fmt::{Debug, Display};

use headcount_token_admin::accounts::{AdminRow, Link, SignedIn, TotpSecret};
use headcount_token_admin::{IssuedToken, PresentedToken, Rotated, TokenHash};
use serde::Serialize;
use static_assertions::assert_not_impl_any;

// A presented token cannot be printed, written, compared by a comparison that takes time, or kept twice.
assert_not_impl_any!(PresentedToken: Debug, Display, Serialize, Clone, PartialEq, AsRef<str>);
// The secrets of accounts can be stored, but not written; what `Debug` prints of them is redacted: see below.
assert_not_impl_any!(TotpSecret: Display, Serialize, AsRef<[u8]>);
assert_not_impl_any!(AdminRow: Debug, Display, Serialize);
assert_not_impl_any!(TokenHash: Display, Serialize);
// What was just made is handed on whole, and cannot be written by accident.
assert_not_impl_any!(IssuedToken: Display, Serialize, Clone);
assert_not_impl_any!(Rotated: Display, Serialize, Clone);
assert_not_impl_any!(SignedIn: Display, Serialize, Clone);
assert_not_impl_any!(Link: Display, Serialize, Clone);

#[test]
fn tok_14_a_secret_that_is_printed_is_redacted() {
    let text = "a-cookie-of-a-session";
    let session = SignedIn { name: "olga".to_owned(), cookie: text.into(), device: text.into() };
    let printed = format!("{session:?}");
    assert!(printed.contains("olga") && !printed.contains(text), "{printed}");
}

#[test]
fn tok_14_the_secret_of_a_second_factor_is_redacted() {
    let secret = TotpSecret::generate();
    assert!(!format!("{secret:?}").contains(secret.text().as_str()));
}
