//! What was derived by another key function is known as such, and made again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::sync::Arc;

use headcount_core::index::{self, FOLD_VERSION};
use headcount_core::quirks::Quirks;
use headcount_core::resource::Document;
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, USER, status};
use headcount_store_diesel::Store;
use serde_json::json;

fn i18_006(store: &Store, subject: Subject) {
    let bench = Bench::new(subject);
    let user = bench.user("Jane");
    let kind = bench.kind(USER);
    let now = index::fingerprint(&kind);
    let current = |quirks: Quirks, document: &Document| index::derive(&kind, quirks, document);
    store.rebuild(&kind.kind, &now, &current).unwrap();
    assert!(store.is_derived(&kind.kind, &now).unwrap());
    // A release before this one had another key function.
    let before = now.replace(&format!("fold {FOLD_VERSION} "), "fold 0 ");
    assert_ne!(before, now, "the version of the key function is part of the fingerprint");
    let older = |quirks: Quirks, document: &Document| {
        let mut derived = index::derive(&kind, quirks, document)?;
        derived.columns.name_key = derived.columns.name_key.map(|key| format!("old {key}"));
        for key in &mut derived.unique {
            key.folded = format!("old {}", key.folded);
        }
        Ok(derived)
    };
    assert_eq!(store.rebuild(&kind.kind, &before, &older).unwrap(), 1);
    assert!(!store.is_derived(&kind.kind, &now).unwrap(), "it is noticed");
    assert_eq!(bench.filter(USER, "userName eq \"JANE\""), Vec::<String>::new());
    assert_eq!(store.rebuild(&kind.kind, &now, &current).unwrap(), 1);
    assert!(store.is_derived(&kind.kind, &now).unwrap());
    assert_eq!(bench.filter(USER, "userName eq \"JANE\""), ["Jane"]);
    assert_eq!(status(bench.try_create(0, USER, json!({"userName": "jane"}))), 409);
    assert!(bench.get(0, USER, &user).is_some());
}

#[cfg(feature = "sqlite")]
#[test]
fn i18_006_keys_are_made_again_sqlite() {
    let scratch = support::Scratch::new();
    let store = support::sqlite_store(&scratch);
    let subject = support::subject(Arc::clone(&store), Box::new(scratch));
    i18_006(&store, subject);
}

#[cfg(feature = "postgres")]
#[test]
fn i18_006_keys_are_made_again_postgres() {
    let database = support::Database::new();
    let store = support::postgres_store(&database);
    let subject = support::subject(Arc::clone(&store), Box::new(database));
    i18_006(&store, subject);
}
