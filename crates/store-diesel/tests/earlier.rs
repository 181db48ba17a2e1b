//! What an earlier release has stored stays: it stops neither a start nor a change of something else.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod support;

use std::sync::Arc;

use diesel::connection::{Connection, SimpleConnection};
use headcount_core::index;
use headcount_core::quirks::Quirks;
use headcount_core::resource::Document;
use headcount_core::schema::Registry;
use headcount_core::schema::registry::{IndexMarks, SchemaFile};
use headcount_core::service::{Caller, Edit, Shape};
use headcount_provider_conformance::Subject;
use headcount_provider_conformance::bench::{Bench, status};
use headcount_store_diesel::{DatabaseUrl, OlderSchema, Settings, Store};
use serde_json::{Value, json};

const THING: &str = "Thing";
const URN: &str = "urn:example:params:scim:schemas:Thing";

/// A kind with bytes, some of which never change, and a decimal.
fn registry() -> Arc<Registry> {
    let schema = json!({
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"], "id": URN, "name": "Thing",
    "attributes": [
        {"name": "title"},
        {"name": "key", "type": "binary", "mutability": "immutable"},
        {"name": "keys", "type": "binary", "multiValued": true},
        {"name": "weight", "type": "decimal"},
    ]});
    let kind = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "name": THING, "endpoint": "/Things", "schema": URN});
    let files = [("schema.json", schema), ("kind.json", kind)]
        .map(|(file, content)| SchemaFile { file: file.to_owned(), content });
    let marks = IndexMarks::from([(THING.to_owned(), vec!["weight".to_owned()])]);
    Arc::new(Registry::from_documents(&files, &marks).unwrap())
}

/// Forms that were stored once, and what is sent now in their place.
const FORMS: [(&str, &str); 3] = [
    (r#""key":"+/8=""#, r#""key":"-_8""#),
    (r#""keys":["AQID","+/8="]"#, r#""keys":["-_8","+/8="]"#),
    (r#""weight":5"#, r#""weight":9007199254740993"#),
];

fn earlier_values_stay(
    store: &Store,
    subject: Subject,
    registry: &Arc<Registry>,
    write: &mut dyn FnMut(&str),
) {
    let bench = Bench::over(subject, Arc::clone(registry));
    let kind = bench.kind(THING);
    let body = json!({
        "title": "old", "key": "+/8=", "keys": ["AQID", "+/8="], "weight": 5, "schemas": [URN]});
    let id = bench.create(THING, body);
    for (sent, stored) in FORMS {
        write(&format!("UPDATE documents SET text = replace(text, '{sent}', '{stored}')"));
    }
    let text = || {
        let found = bench.get(0, THING, &id).unwrap();
        found.resource.document.text().to_owned()
    };
    for (_, stored) in FORMS {
        assert!(text().contains(stored), "{}", text());
    }
    // A start with other marks derives its rows again.
    let derive = |quirks: Quirks, document: &Document| index::derive(&kind, quirks, document);
    assert_eq!(store.rebuild(&kind.kind, "fold 0 of others", &derive).unwrap(), 1);
    assert_eq!(bench.filter(THING, "weight gt 9007199254740000").len(), 1);
    // A change of something else, by a tenant that takes the RFC to the letter.
    let caller = Caller { quirks: Quirks::NONE, ..bench.caller(0) };
    let (edit, all) = (Edit::unconditional(&caller, &kind), Shape::default());
    let patch = |path: &str, value: Value| {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": path, "value": value}]});
        status(bench.service.patch(edit, &id, body, &all))
    };
    assert_eq!(patch("title", json!("new")), 200);
    let document: Value = serde_json::from_str(&text()).unwrap();
    assert_eq!(document["title"], "new");
    assert_eq!((&document["key"], &document["keys"]), (&json!("+/8="), &json!(["+/8="])));
    assert_eq!(document["weight"], json!(9_007_199_254_740_993_i64));
    // What is sent is held to the rules as before.
    assert_eq!(patch("keys", json!(["-_8="])), 400);
    assert_eq!(patch("weight", json!(9_007_199_254_740_993_i64)), 400);
    assert_eq!(patch("key", json!("AQID")), 400);
    let body = json!({"title": "put", "schemas": [URN]});
    let put = bench.service.replace(edit, &id, body, &all);
    assert_eq!(status(put), 200);
    assert!(text().contains(r#""key":"+/8=""#), "{}", text());
}

#[cfg(feature = "sqlite")]
#[test]
fn values_of_an_earlier_release_stay_sqlite() {
    let (scratch, registry) = (support::Scratch::new(), registry());
    let path = scratch.0.join("test.db");
    let url = DatabaseUrl::Sqlite(path.clone());
    let store = Store::open(&Settings::serve(url), &support::plan(&registry), OlderSchema::Migrate)
        .unwrap();
    let subject = support::subject(Arc::clone(&store), Box::new(scratch));
    earlier_values_stay(&store, subject, &registry, &mut |sql| {
        let mut connection = diesel::SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection.batch_execute(sql).unwrap();
    });
}

#[cfg(feature = "postgres")]
#[test]
fn values_of_an_earlier_release_stay_postgres() {
    let (database, registry) = (support::Database::new(), registry());
    let url = DatabaseUrl::parse(&database.url).unwrap();
    let store = Store::open(&Settings::serve(url), &support::plan(&registry), OlderSchema::Migrate)
        .unwrap();
    let address = database.url.clone();
    let subject = support::subject(Arc::clone(&store), Box::new(database));
    earlier_values_stay(&store, subject, &registry, &mut |sql| {
        let mut connection = diesel::PgConnection::establish(&address).unwrap();
        connection.batch_execute(sql).unwrap();
    });
}
