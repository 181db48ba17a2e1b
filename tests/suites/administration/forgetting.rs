//! A deleted tenant leaves nothing behind, whichever door it was deleted through.

use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::{psql, wait_for};
use headcount_e2e::visitor::OURS;
use headcount_e2e::{Client, Database, Server, Visitor, on_both};
use serde_json::json;

/// The names in the provisioning log, of all tenants.
fn log(admin: &Client) -> String {
    admin.get("/log?everywhere=yes&limit=1000").text()
}

on_both!(ten_008_the_log_of_a_tenant_goes_with_it_behind_every_door, |server: &Server| {
    let admin = server.admin("administration tenants:all");
    for name in ["by-command", "by-api", "by-console"] {
        let marked = format!("{name}@example.com");
        let user = json!({"userName": marked});
        assert_eq!(server.tenant(name, "all").post("/Users", &user).status, 201);
        let logged =
            wait_for(Duration::from_secs(10), || log(&admin).contains(&marked).then_some(()));
        assert!(logged.is_some(), "{name} is in the log");
    }
    assert!(server.run(&["tenant", "delete", "by-command", "--yes"]).status.success());
    assert_eq!(admin.delete("/tenants/by-api").status, 204);
    let owner = Visitor::make_owner(server);
    let form = format!("token={}&act=delete-tenant&name=by-console", owner.form_token());
    let deleted = owner.post("/console/settings?tenant=by-console", &[OURS], &form);
    assert_eq!(deleted.status, 303, "{}", deleted.text());
    for name in ["by-command", "by-api", "by-console"] {
        assert!(!log(&admin).contains(&format!("{name}@example.com")), "{name}");
    }
});

#[test]
fn ten_008_pruning_completes_a_deletion_that_was_interrupted_on_postgres() {
    let database = Arc::new(Database::postgres());
    let count = |what: &str| psql(&database.url, &format!("SELECT count(*) FROM {what}"));
    let server = Server::start_with(Arc::clone(&database), &[], &[]);
    let user = json!({"userName": "jane@example.com"});
    assert_eq!(server.client().post("/Users", &user).status, 201);
    let logged = wait_for(Duration::from_secs(10), || (count("requests") != "0").then_some(()));
    assert!(logged.is_some(), "the request is in the log");
    drop(server);
    // As after a crash between the two steps of a deletion: records of a tenant that is gone.
    for table in ["requests", "request_names"] {
        psql(&database.url, &format!("UPDATE {table} SET tenant = 999"));
    }
    let _server = Server::start_with(Arc::clone(&database), &[], &[]);
    let left = || format!("{} {}", count("requests"), count("request_names"));
    let gone = wait_for(Duration::from_secs(10), || (left() == "0 0").then_some(()));
    assert!(gone.is_some(), "{}", left());
}
