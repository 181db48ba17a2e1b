//! Every route with every kind of token, as `scopes.tsv` says: the status of each request, for resources
//! of the token's own tenant and for those of another one (SCO-01, SCO-02).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headcount_e2e::server::wait_for;
use headcount_e2e::{Client, Database, Response, Server};
use serde_json::{Value, json};

const TABLE: &str = include_str!("scopes.tsv");
/// Tokens that are accepted, and what they are made with.
const TOKENS: [(&str, &[&str]); 10] = [
    ("read", &["--scope", "scim:read"]),
    ("users", &["--scope", "users:write"]),
    ("groups", &["--scope", "groups:write"]),
    ("schema", &["--scope", "schema:write"]),
    ("idp", &[]),
    ("user", &["--user", "jane"]),
    ("events", &["--scope", "events:read"]),
    ("admin-read", &["--scope", "admin:read"]),
    ("admin-write", &["--scope", "admin:write"]),
    ("all", &["--scope", "administration tenants:all"]),
];
/// Credentials that are not accepted: each has the outcome of the column `bad`.
const BAD: [&str; 4] = ["garbled", "expired", "revoked", "off"];

/// A line of the table.
struct Row {
    /// The method, the path, and perhaps a word about the body.
    request: &'static str,
    /// A column and its outcome.
    cells: Vec<(&'static str, &'static str)>,
}

impl Row {
    fn method(&self) -> &'static str {
        self.request.split(' ').next().unwrap()
    }

    fn path(&self) -> &'static str {
        self.request.split(' ').nth(1).unwrap()
    }
}

fn rows() -> Vec<Row> {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let columns: Vec<&str> = lines.next().unwrap().split('\t').skip(1).collect();
    let mut rows = Vec::new();
    for line in lines {
        let mut fields = line.split('\t');
        let request = fields.next().unwrap();
        let cells: Vec<_> = columns.iter().copied().zip(fields).collect();
        assert_eq!(cells.len(), columns.len(), "{line}");
        rows.push(Row { request, cells });
    }
    rows
}

/// Starts a server that does not slow down a client whose tokens fail.
fn start(database: Database) -> Server {
    let patient = [("HEADCOUNT__LIMITS__FAILURES_BURST", "100000")];
    Server::start_with(Arc::new(database), &[], &patient)
}

#[test]
fn sco_02_every_route_with_every_token_has_the_outcome_of_the_table_on_sqlite() {
    compare(&start(Database::sqlite()));
}

#[test]
fn sco_02_every_route_with_every_token_has_the_outcome_of_the_table_on_postgres() {
    compare(&start(Database::postgres()));
}

fn compare(server: &Server) {
    let world = World::new(server);
    let mut found = String::new();
    let mut differences = Vec::new();
    for row in rows() {
        found.push_str(row.request);
        for (column, expected) in &row.cells {
            let outcome = world.attempt(column, &row);
            found.push('\t');
            found.push_str(&outcome);
            if outcome != *expected {
                differences.push(format!("{} as {column}: {outcome}, not {expected}", row.request));
            }
        }
        found.push('\n');
    }
    assert!(differences.is_empty(), "{}\nfound:\n{found}", differences.join("\n"));
}

#[test]
fn iso_02_what_belongs_to_another_tenant_is_answered_like_what_is_nowhere() {
    let server = start(Database::sqlite());
    let world = World::new(&server);
    for row in rows().into_iter().filter(|row| row.path().contains("{foreign-")) {
        for (column, _) in TOKENS.iter().filter(|(column, _)| *column != "all") {
            let foreign = world.send(column, &row, &world.path(row.path()));
            let nowhere = world.send(column, &row, &World::nowhere(row.path()));
            assert_eq!(foreign.status, nowhere.status, "{} as {column}", row.request);
        }
    }
}

#[test]
fn sco_01_the_table_has_every_route() {
    let server = start(Database::sqlite());
    let world = World::new(&server);
    let mut known: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for row in rows() {
        let path = row.path().split('?').next().unwrap();
        // A kind that does not exist has the methods of all kinds.
        if path.contains("/Nothing") {
            continue;
        }
        // A row about another tenant's is one more of the same route.
        known.entry(path.replace("foreign-", "")).or_default().insert(row.method());
    }
    for (path, methods) in &known {
        let answer = world.tokens["all"].raw("OPTIONS", &world.path(path), &[], None);
        let allowed = answer.header("allow").unwrap_or_default();
        for method in allowed.split(", ").filter(|method| !matches!(*method, "" | "HEAD")) {
            assert!(methods.contains(method), "{method} {path}");
        }
    }
    let described = world.tokens["all"].get("/api/v1/openapi.json").json();
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "{token}").replace("{name}", "{tenant}");
        for method in methods.as_object().unwrap().keys() {
            let rows = known.get(&path);
            let method = method.to_uppercase();
            assert!(rows.is_some_and(|rows| rows.contains(method.as_str())), "{method} {path}");
        }
    }
}

struct World {
    tokens: BTreeMap<&'static str, Client>,
    /// A provisioning token of another tenant.
    foreign: Client,
    /// Makes what a request needs to be there.
    idp: Client,
    admin: Client,
}

impl World {
    fn new(server: &Server) -> Self {
        let root =
            |token: &str| Client { base: String::new(), ..Client::new(server.address, token) };
        let (idp, admin) = (server.client(), server.admin("administration tenants:all"));
        let foreign = server.tenant("other", "all");
        idp.create("/Users", &json!({"userName": "jane"}));
        let mut tokens: BTreeMap<_, _> =
            TOKENS.iter().map(|(column, flags)| (*column, root(&server.token(flags)))).collect();
        let revoked = server.token(&[]);
        assert!(server.run(&["token", "revoke", revoked.get(3..19).unwrap()]).status.success());
        let off = server.tenant("off", "all");
        assert!(server.run(&["tenant", "set", "off", "--enabled", "false"]).status.success());
        let expired = root(&server.token(&["--expires", "1s"]));
        let over = wait_for(Duration::from_secs(10), || {
            (expired.get("/scim/v2/Users").status == 401).then_some(())
        });
        assert!(over.is_some(), "a token ends with its time");
        tokens.insert("none", Client { token: None, ..expired.clone() });
        tokens.insert("garbled", expired.with_token(Some("hc_x")));
        tokens.insert("expired", expired);
        tokens.insert("revoked", root(&revoked));
        tokens.insert("off", root(off.token.as_deref().unwrap()));
        Self { tokens, foreign, idp, admin }
    }

    /// Sends the request of a row and returns its status; for a bulk request, that of its operation, too.
    fn attempt(&self, column: &str, row: &Row) -> String {
        if column != "bad" {
            return outcome(&self.send(column, row, &self.path(row.path())));
        }
        let answers = BAD.map(|bad| outcome(&self.send(bad, row, &self.path(row.path()))));
        if answers.iter().all(|answer| *answer == answers[0]) {
            answers[0].clone()
        } else {
            format!("{BAD:?}: {answers:?}")
        }
    }

    fn send(&self, column: &str, row: &Row, path: &str) -> Response {
        let client = &self.tokens[column];
        match self.body(row) {
            Some(body) => client.send(row.method(), path, &body),
            None => client.raw(row.method(), path, &[], None),
        }
    }

    /// Puts ids of new objects into a path.
    fn path(&self, path: &str) -> String {
        let Some((before, rest)) = path.split_once('{') else { return path.to_owned() };
        let (name, after) = rest.split_once('}').unwrap();
        let id = match name {
            "user" => user(&self.idp),
            "foreign-user" => user(&self.foreign),
            "group" => group(&self.idp),
            "foreign-group" => group(&self.foreign),
            "token" => self.token("default"),
            "foreign-token" => self.token("other"),
            "tenant" => "default".to_owned(),
            "foreign-tenant" => self.tenant(),
            "number" => self.number(),
            other => panic!("{other} is no placeholder"),
        };
        format!("{before}{id}{after}")
    }

    /// Puts ids of nothing into a path.
    fn nowhere(path: &str) -> String {
        let (before, rest) = path.split_once('{').unwrap();
        let (name, after) = rest.split_once('}').unwrap();
        let id = match name {
            "foreign-token" => "AAAAAAAAAAAAAAAA".to_owned(),
            "foreign-tenant" => "nowhere".to_owned(),
            _ => "01a21d72-0000-7000-8000-000000000000".to_owned(),
        };
        format!("{before}{id}{after}")
    }

    fn body(&self, row: &Row) -> Option<Value> {
        let (path, word) = (row.path(), row.request.split(' ').nth(2));
        Some(match (row.method(), path) {
            (_, path) if path.ends_with("/.search") => json!({"schemas": [
                "urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": "id pr"}),
            ("POST", "/scim/v2/Users") => json!({"userName": unique()}),
            ("POST", "/scim/v2/Groups") => json!({"displayName": unique()}),
            ("POST", "/scim/v2/Bulk") => bulk(word.unwrap()),
            ("PUT", path) if path.contains("Users") => json!({"userName": unique()}),
            ("PUT", "/scim/v2/Me") => json!({"userName": "jane"}),
            ("PUT", _) => json!({"displayName": unique()}),
            ("PATCH", "/api/v1/tenants/{tenant}" | "/api/v1/tenants/{foreign-tenant}") => {
                json!({"quirks": ["bare-words"]})
            }
            ("PATCH", _) => {
                let operation = match word {
                    Some("foreign-member") => json!({"op": "add", "path": "members",
                        "value": [{"value": user(&self.foreign)}]}),
                    _ => json!({"op": "add", "path": "externalId", "value": unique()}),
                };
                json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [operation]})
            }
            ("POST", "/api/v1/tokens") => json!({"name": unique(), "scopes": ["scim:read"]}),
            ("POST", "/api/v1/tenants") => json!({"name": unique()}),
            ("POST", path) if path.ends_with("/rotate") => json!({}),
            ("POST", _) => json!({"userName": unique()}),
            _ => return None,
        })
    }

    fn token(&self, tenant: &str) -> String {
        let body = json!({"name": "x", "scopes": ["scim:read"]});
        let made = self.admin.post(&format!("/tokens?tenant={tenant}"), &body);
        made.assert_status(201);
        made.at("/id")
    }

    fn tenant(&self) -> String {
        let name = unique();
        self.admin.post("/tenants", &json!({"name": name})).assert_status(201);
        name
    }

    /// Returns the number of a request of this tenant in the provisioning log.
    fn number(&self) -> String {
        let first = wait_for(Duration::from_secs(10), || {
            let page = self.admin.get("/log?tenant=default");
            page.json().pointer("/requests/0/number").map(Value::to_string)
        });
        first.expect("a request is in the log")
    }
}

/// Returns a name that nothing has yet.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("n{}", COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

fn user(client: &Client) -> String {
    client.create("/Users", &json!({"userName": unique()}))
}

fn group(client: &Client) -> String {
    client.create("/Groups", &json!({"displayName": unique()}))
}

fn bulk(word: &str) -> Value {
    let (path, data) = match word {
        "user" => ("/Users", json!({"userName": unique()})),
        _ => ("/Groups", json!({"displayName": unique()})),
    };
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{"method": "POST", "path": path, "bulkId": "b", "data": data}]})
}

fn outcome(answer: &Response) -> String {
    match answer.json().pointer("/Operations/0/status") {
        Some(inner) => format!("{}/{}", answer.status, inner.as_str().unwrap_or_default()),
        None => answer.status.to_string(),
    }
}
