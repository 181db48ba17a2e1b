//! What changes where there are more resources than anybody wants to wait for.

use headcount_e2e::on_both;
use serde_json::json;

use crate::visitor::{OURS, Visitor};

on_both!(with_many_users_documents_are_read_only_when_somebody_asks_for_it, |server| {
    let owner = Visitor::make_owner(server);
    let client = server.client();
    let hidden = json!({"userName": "u@example.com", "displayName": "Somebody Else"});
    let id = client.create("/Users", &hidden);
    let search =
        |rest: &str| owner.get(&format!("/console/resources/Users?q=Somebody{rest}")).text();
    let explain = |name: &str| owner.get(&format!("/console/explain?name={name}")).text();
    assert!(search("").contains("u@example.com"), "few are read at once");
    assert!(!explain("nobody").contains("not searched"));
    for thousand in 0..5 {
        let operations: Vec<_> = (0..1_000)
            .map(|n| {
                let data = json!({"userName": format!("{thousand}-{n}@example.com")});
                json!({"method": "POST", "path": "/Users", "bulkId": format!("{n}"), "data": data})
            })
            .collect();
        let bulk = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations,
        });
        assert_eq!(client.post("/Bulk", &bulk).status, 200);
    }
    let page = search("");
    assert!(page.contains("Nothing found") && page.contains("Also search all names"), "{page}");
    assert!(search("&in=all").contains("u@example.com"));
    // A whole name is looked up; parts of names are searched when a person asks for that.
    client.create("/Users", &json!({"userName": "99@example.com"}));
    let search =
        |rest: &str| owner.get(&format!("/console/resources/Users?q=99%40example.com{rest}"));
    let page = search("").text();
    assert!(page.contains(">99@example.com<") && !page.contains("0-99@example.com"), "{page}");
    assert!(page.contains("in=part") && page.contains("Only whole names were searched"), "{page}");
    // Another resource may have the name in another attribute; the file has what the page shows.
    client.create("/Users", &json!({"userName": "other", "emails": [{"value": "99@example.com"}]}));
    assert!(search("").text().contains(">other<"), "every attribute of whole names is compared");
    let form = format!("token={}&as=json&q=99%40example.com", owner.form_token());
    let file = owner.post("/console/resources/Users", &[OURS], &form).json();
    assert_eq!(file.as_array().map(Vec::len), Some(2), "{file}");
    let page = search("&in=part").text();
    assert!(page.contains("0-99@example.com") && page.contains("Also search all names"), "{page}");
    let page = explain("nobody");
    assert!(page.contains("not searched") && page.contains("q=nobody&#38;in=all"), "{page}");
    // Whom an index or the log knows is found as before.
    for name in ["u%40example.com", &id, "4-999%40example.com"] {
        let page = explain(name);
        assert!(page.contains("is here") && !page.contains("not searched"), "{name}: {page}");
    }
});
