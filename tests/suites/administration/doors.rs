//! Every act of an administrator at every door, as `doors.tsv` says.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use headcount_e2e::visitor::{OURS, PASSWORD};
use headcount_e2e::{Client, Database, Server, Visitor};
use serde_json::{Value, json};

const TABLE: &str = include_str!("doors.tsv");
/// What the tokens at the door `/api/v1` are made with.
const TOKENS: [(&str, &[&str]); 5] = [
    ("all", &["--scope", "administration tenants:all", "--expires", "730d"]),
    ("write", &["--scope", "administration"]),
    ("narrow", &["--scope", "administration", "--cidr", "127.0.0.0/8"]),
    ("read", &["--scope", "admin:read"]),
    ("events", &["--scope", "events:read"]),
];

/// A line of the table.
struct Row {
    key: &'static str,
    sentence: &'static str,
    /// Who acts, and what comes of it.
    cells: Vec<(&'static str, &'static str)>,
}

fn rows() -> Vec<Row> {
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let actors: Vec<&str> = lines.next().unwrap().split('\t').skip(3).collect();
    let row = |line: &'static str| {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), actors.len() + 3, "{line}");
        let cells = actors.iter().copied().zip(fields[3..].iter().copied()).collect();
        Row { key: fields[0], sentence: fields[2], cells }
    };
    lines.map(row).collect()
}

#[test]
fn who_may_do_everything_meets_the_same_rules_at_every_door() {
    for row in rows() {
        let strongest = ["operator", "owner", "all"];
        let offered =
            row.cells.iter().filter(|(actor, cell)| strongest.contains(actor) && *cell != "-");
        let mut outcomes: Vec<&str> = offered.map(|(_, outcome)| *outcome).collect();
        outcomes.dedup();
        assert_eq!(outcomes.len(), 1, "{}", row.key);
    }
}

#[test]
fn adm_13_every_act_at_every_door_has_the_outcome_of_the_table() {
    let server = Server::start(Database::sqlite());
    let world = World::new(&server);
    let mut differences = Vec::new();
    for row in rows() {
        for (actor, expected) in &row.cells {
            let (found, text) = world.attempt(actor, row.key);
            if found != *expected {
                differences.push(format!("{} as {actor}: {found}, not {expected}", row.key));
            } else if found == "refused" && !text.contains(row.sentence) {
                differences.push(format!("{} as {actor} does not say why", row.key));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// How one act is asked for at each door that offers it.
#[derive(Default)]
struct Doors {
    /// The words of the command.
    command: Option<Vec<String>>,
    /// The path in the console, and the form; without a form the page is read.
    console: Option<(String, Option<String>)>,
    /// Method, path and body in the admin API.
    api: Option<(&'static str, String, Option<Value>)>,
}

fn words(command: &str) -> Option<Vec<String>> {
    // A word in brackets may be empty or hold spaces.
    let word = |word: &str| word.trim_matches(['[', ']']).replace('_', " ");
    Some(command.split(' ').map(word).collect())
}

fn form(path: impl Into<String>, form: impl Into<String>) -> Option<(String, Option<String>)> {
    Some((path.into(), Some(form.into())))
}

struct World<'s> {
    server: &'s Server,
    /// May do everything, for what an act needs to be there.
    root: Client,
    accounts: RefCell<HashMap<String, Visitor>>,
    tokens: HashMap<&'static str, Client>,
    count: Cell<u32>,
}

impl<'s> World<'s> {
    fn new(server: &'s Server) -> Self {
        let owner = Visitor::make_owner(server);
        let others =
            ["admin", "auditor"].map(|role| (role.to_owned(), owner.invite(server, role, role)));
        let mut accounts = HashMap::from(others);
        accounts.insert("owner".to_owned(), owner);
        let client = |more: &[&str]| {
            let token = server.token(more);
            Client { base: "/api/v1".to_owned(), ..Client::new(server.address, &token) }
        };
        let tokens = TOKENS.map(|(name, more)| (name, client(more)));
        let root = client(TOKENS[0].1);
        let (accounts, tokens) = (RefCell::new(accounts), HashMap::from(tokens));
        Self { server, root, accounts, tokens, count: Cell::new(0) }
    }

    /// Returns a name that nothing has yet.
    fn name(&self) -> String {
        self.count.set(self.count.get() + 1);
        format!("n{}", self.count.get())
    }

    fn make(&self, path: &str, body: &Value) -> String {
        let made = json_body(&self.root, "POST", path, Some(body));
        assert_eq!(made.status, 201, "{}", made.text());
        made.at("/id")
    }

    fn tenant(&self) -> String {
        let name = self.name();
        self.make("/tenants", &json!({"name": name}));
        name
    }

    fn token(&self, tenant: &str, scopes: &[&str]) -> String {
        self.make(&format!("/tokens?tenant={tenant}"), &json!({"name": "x", "scopes": scopes}))
    }

    /// Makes a token that works from this machine alone.
    fn near_token(&self, scopes: &[&str]) -> String {
        let body = json!({"name": "x", "scopes": scopes, "cidrs": ["127.0.0.1"]});
        self.make("/tokens?tenant=default", &body)
    }

    fn revoked(&self) -> String {
        let id = self.token("default", &["scim:read"]);
        assert_eq!(self.root.delete(&format!("/tokens/{id}")).status, 204);
        id
    }

    fn account(&self) -> String {
        let name = self.name();
        let invited = self.server.run(&["admin", "invite", &name, "--role", "auditor"]);
        let link = String::from_utf8_lossy(&invited.stdout).trim().to_owned();
        let path = format!("/console{}", link.rsplit_once("/console").unwrap().1);
        let password = PASSWORD.replace(' ', "+");
        let form = format!("new={password}&again={password}");
        assert_eq!(Visitor::of(self.server).post(&path, &[OURS], &form).status, 303);
        name
    }

    /// Tries an act and returns its outcome in the words of the table, with what was said.
    fn attempt(&self, actor: &str, key: &str) -> (&'static str, String) {
        let doors = self.doors(key);
        match actor {
            "operator" => doors.command.map(|command| self.run(&command)),
            "owner" | "admin" | "auditor" => {
                doors.console.map(|(path, form)| self.visit(actor, &path, form))
            }
            token => doors.api.map(|(method, path, body)| {
                let answer = json_body(&self.tokens[token], method, &path, body.as_ref());
                (outcome(answer.status), answer.text())
            }),
        }
        .unwrap_or(("-", String::new()))
    }

    fn run(&self, command: &[String]) -> (&'static str, String) {
        let done = self.server.run(&command.iter().map(String::as_str).collect::<Vec<_>>());
        let outcome = if done.status.success() { "done" } else { "refused" };
        (outcome, String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn visit(&self, account: &str, path: &str, form: Option<String>) -> (&'static str, String) {
        let mut accounts = self.accounts.borrow_mut();
        let visitor = accounts.get_mut(account).unwrap();
        // What was done before may have ended its session.
        if !visitor.is_in() {
            *visitor = Visitor::log_in_as(self.server, account, &[], PASSWORD);
        }
        let path = format!("/console{path}");
        let answer = match form {
            None => visitor.get(&path),
            Some(form) => {
                let (token, password) = (visitor.form_token(), PASSWORD.replace(' ', "+"));
                let form = format!("token={token}&password={password}&{form}");
                visitor.post(&path, &[OURS], &form)
            }
        };
        (outcome(answer.status), answer.text())
    }

    /// Makes what an act needs to be there and says how it is asked for.
    fn doors(&self, key: &str) -> Doors {
        match key.split_once('.') {
            Some(("tenants", act)) => self.tenants(act),
            Some(("tokens", act)) => match act.split_once('.').unwrap_or((act, "")) {
                ("issue", what) => self.issue(what),
                ("rotate", what) => self.rotate(what),
                ("revoke", what) => self.revoke(what),
                _ => Doors {
                    command: words("token list"),
                    console: Some(("/tokens".to_owned(), None)),
                    api: Some(("GET", "/tokens".to_owned(), None)),
                },
            },
            Some(("accounts", act)) => self.accounts(act),
            _ => panic!("{key}"),
        }
    }

    fn tenants(&self, act: &str) -> Doors {
        let create = |name: &str| Doors {
            command: words(&format!("tenant create {name}")),
            console: form("/settings", format!("act=create-tenant&name={name}")),
            api: Some(("POST", "/tenants".to_owned(), Some(json!({"name": name})))),
        };
        let change = |name: &str, flags: &str, fields: &str, body: Value| Doors {
            command: words(&format!("tenant set {name} {flags}")),
            console: form(format!("/settings?tenant={name}"), format!("act=switches&{fields}")),
            api: Some(("PATCH", format!("/tenants/{name}"), Some(body))),
        };
        let delete = |name: &str| Doors {
            command: words(&format!("tenant delete {name} --yes")),
            console: form(
                format!("/settings?tenant={name}"),
                format!("act=delete-tenant&name={name}"),
            ),
            api: Some(("DELETE", format!("/tenants/{name}"), None)),
        };
        let none = || json!({"quirks": []});
        match act {
            "list" => Doors {
                command: words("tenant list"),
                console: Some(("/settings".to_owned(), None)),
                api: Some(("GET", "/tenants".to_owned(), None)),
            },
            "create" => create(&self.name()),
            "create.name" => create("Not-A-Name"),
            "create.taken" => create("default"),
            "change" => change("default", "--quirks none", "enabled=on", none()),
            "change.quirk" => change(
                "default",
                "--quirks nonsense",
                "enabled=on&quirk=nonsense",
                json!({"quirks": ["nonsense"]}),
            ),
            "change.other" => change(&self.tenant(), "--quirks none", "enabled=on", none()),
            // The console shows the tenants that there are.
            "change.missing" => {
                Doors { console: None, ..change("nowhere", "--quirks none", "", none()) }
            }
            "off" => {
                let body = json!({"enabled": false});
                change(&self.tenant(), "--enabled false", "enabled=off", body)
            }
            "delete" => delete(&self.tenant()),
            "delete.default" => delete("default"),
            "delete.missing" => Doors { console: None, ..delete("nowhere") },
            other => panic!("{other}"),
        }
    }

    fn issue(&self, what: &str) -> Doors {
        let scim = "--scope scim:read";
        let read = "&scope=scim%3Aread";
        let issue = |flags: &str, fields: &str, more: Value| {
            let mut body = json!({"name": "x", "scopes": ["scim:read"]});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Doors {
                command: words(&format!("token create --name x {flags}")),
                console: form("/tokens", format!("name=x&again=x{fields}")),
                api: Some(("POST", "/tokens".to_owned(), Some(body))),
            }
        };
        let with = |flags: &str, fields: &str, more: Value| {
            issue(&format!("{scim} {flags}"), &format!("{read}{fields}"), more)
        };
        match what {
            "" => issue(scim, read, json!({})),
            "near" => with(
                "--cidr 127.0.0.1 --cidr 127.1.0.0/16",
                "&cidrs=127.0.0.1+127.1.0.0%2F16",
                json!({"cidrs": ["127.0.0.1", "127.1.0.0/16"]}),
            ),
            "far" => with(
                "--cidr 198.51.100.7",
                "&cidrs=198.51.100.7",
                json!({"cidrs": ["198.51.100.7"]}),
            ),
            "other" => {
                let tenant = self.tenant();
                let made = with(&format!("--tenant {tenant}"), "", json!({}));
                let at = |path: &str| format!("{path}?tenant={tenant}");
                Doors {
                    command: made.command,
                    console: made.console.map(|(path, form)| (at(&path), form)),
                    api: made.api.map(|(method, path, body)| (method, at(&path), body)),
                }
            }
            "events" => issue(
                "--scope events:read",
                "&scope=events%3Aread",
                json!({"scopes": ["events:read"]}),
            ),
            "admin" => issue(
                "--scope administration",
                "&scope=admin%3Aread&scope=admin%3Awrite&scope=events%3Aread",
                json!({"scopes": ["administration"]}),
            ),
            "all" => issue(
                "--scope admin:read --scope tenants:all",
                "&scope=admin%3Aread&scope=tenants%3Aall",
                json!({"scopes": ["admin:read", "tenants:all"]}),
            ),
            "name" => Doors {
                command: words("token create --name [_]"),
                console: form("/tokens", format!("name=++{read}")),
                api: Some(("POST", "/tokens".to_owned(), Some(json!({"name": " "})))),
            },
            "scope" => issue("--scope [_]", "", json!({"scopes": []})),
            // The console has a box for each scope that there is.
            "unknown" => Doors {
                console: None,
                ..issue("--scope nonsense", "", json!({"scopes": ["nonsense"]}))
            },
            "network" => with("--cidr here", "&cidrs=here", json!({"cidrs": ["here"]})),
            "outlive" => {
                with("--expires 200d", "&days=200", json!({"expiresIn": 200 * 24 * 60 * 60}))
            }
            "short" => with("--expires 0s", "&days=0", json!({"expiresIn": 0})),
            "long" => {
                with("--expires 1000d", "&days=1000", json!({"expiresIn": 1000 * 24 * 60 * 60}))
            }
            // A body has no word for it.
            "never" => Doors { api: None, ..with("--expires never", "&days=never", json!({})) },
            other => panic!("{other}"),
        }
    }

    fn rotate(&self, what: &str) -> Doors {
        let rotate = |id: &str, tenant: &str| Doors {
            command: words(&format!("token rotate {id}")),
            console: form(format!("/tokens/{id}"), "act=rotate&hours=24"),
            api: Some(("POST", format!("/tokens/{id}/rotate?tenant={tenant}"), None)),
        };
        let (scim, tenant) = (&["scim:read"], "default");
        match what {
            "" => rotate(&self.token(tenant, scim), tenant),
            "other" => {
                let other = self.tenant();
                rotate(&self.token(&other, scim), &other)
            }
            "near" => rotate(&self.near_token(scim), tenant),
            "all" => rotate(&self.token(tenant, &["admin:read", "tenants:all"]), tenant),
            "revoked" => rotate(&self.revoked(), tenant),
            "missing" => rotate("0000000000000000", tenant),
            "overlap" => {
                let id = self.token(tenant, scim);
                let body = json!({"overlap": 30 * 24 * 60 * 60 + 1});
                Doors {
                    command: words(&format!("token rotate {id} --overlap 31d")),
                    console: form(format!("/tokens/{id}"), "act=rotate&hours=721"),
                    api: Some(("POST", format!("/tokens/{id}/rotate"), Some(body))),
                }
            }
            other => panic!("{other}"),
        }
    }

    fn revoke(&self, what: &str) -> Doors {
        let revoke = |id: &str, tenant: &str| Doors {
            command: words(&format!("token revoke {id}")),
            console: form(format!("/tokens/{id}"), "act=revoke"),
            api: Some(("DELETE", format!("/tokens/{id}?tenant={tenant}"), None)),
        };
        let tenant = "default";
        match what {
            "" => revoke(&self.token(tenant, &["scim:read"]), tenant),
            "again" => revoke(&self.revoked(), tenant),
            "other" => {
                let other = self.tenant();
                revoke(&self.token(&other, &["scim:read"]), &other)
            }
            "admin" => revoke(&self.token(tenant, &["administration"]), tenant),
            "near" => revoke(&self.near_token(&["administration"]), tenant),
            "all" => revoke(&self.token(tenant, &["admin:read", "tenants:all"]), tenant),
            "missing" => revoke("0000000000000000", tenant),
            other => panic!("{other}"),
        }
    }

    fn accounts(&self, act: &str) -> Doors {
        let doors = |command: &str, fields: &str| Doors {
            command: words(&format!("admin {command}")),
            console: form("/settings", fields),
            api: None,
        };
        let invite = |name: &str| {
            let fields = format!("act=invite&role=auditor&name={}", name.replace('_', "+"));
            doors(&format!("invite {name} --role auditor"), &fields)
        };
        let role = |name: &str| {
            doors(&format!("role {name} admin"), &format!("act=role&role=admin&name={name}"))
        };
        let remove =
            |name: &str| doors(&format!("remove {name}"), &format!("act=remove&name={name}"));
        let alone = |command: &str| Doors { command: words(command), ..Doors::default() };
        match act {
            "list" => Doors {
                command: words("admin list"),
                console: Some(("/settings".to_owned(), None)),
                api: None,
            },
            "invite" => invite(&self.name()),
            "invite.owner" => {
                let name = self.name();
                let fields = format!("act=invite&role=owner&name={name}");
                doors(&format!("invite {name} --role owner"), &fields)
            }
            "invite.name" => invite("no_name"),
            "invite.taken" => invite("owner"),
            "role" => role(&self.account()),
            "role.missing" => role("nobody"),
            "role.last" => role("owner"),
            "remove" => remove(&self.account()),
            "remove.missing" => remove("nobody"),
            "remove.last" => remove("owner"),
            "log-out" => doors("log-out", "act=everybody"),
            "log-out.own" => {
                Doors { console: form("/account", "act=everywhere"), ..Doors::default() }
            }
            "recover" => alone(&format!("admin recover {}", self.account())),
            "recover.missing" => alone("admin recover nobody"),
            "setup" => alone("admin setup-link"),
            "export" => Doors { console: form("/resources/Users", "as=csv"), ..Doors::default() },
            other => panic!("{other}"),
        }
    }
}

fn json_body(
    client: &Client,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> headcount_e2e::Response {
    let headers = [("Content-Type", "application/json")];
    let headers = if body.is_some() { headers.as_slice() } else { &[] };
    client.raw(method, path, headers, body.map(|body| body.to_string().into_bytes()).as_deref())
}

/// The word of the table for a status.
fn outcome(status: u16) -> &'static str {
    match status {
        200..=399 => "done",
        403 => "forbidden",
        400 | 404 | 409 | 422 => "refused",
        other => panic!("status {other}"),
    }
}
