//! Filters at their limits, and the two that answer them: the database and the PATCH engine.

use std::collections::BTreeSet;

use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Response, Server, on_both, seed};
use serde_json::{Value, json};

fn encode(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn search(client: &Client, filter: &str) -> Response {
    let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter, "count": 1_000, "attributes": ["userName"]});
    client.post("/Users/.search", &body)
}

fn total(client: &Client, filter: &str) -> u64 {
    let response = search(client, filter);
    assert_eq!(response.status, 200, "{filter}: {}", response.text());
    response.json()["totalResults"].as_u64().unwrap()
}

on_both!(flt_032_chains_are_as_long_as_the_limit_allows, |server: &Server| {
    let client = server.client();
    let ids = seed::users(&client, &seed::named("u", 250));
    let chain = |ids: &[String], operator: &str, word: &str| {
        let terms: Vec<String> = ids.iter().map(|id| format!("id {operator} \"{id}\"")).collect();
        terms.join(word)
    };
    assert_eq!(total(&client, &chain(&ids[..150], "eq", " or ")), 150);
    assert_eq!(total(&client, &chain(&ids[..150], "ne", " and ")), 100);
    let titles: Vec<String> = (0..200).map(|n| format!("userName eq \"U{n}\"")).collect();
    assert_eq!(total(&client, &titles.join(" or ")), 200);
    let presences = vec!["userName pr"; 200];
    assert_eq!(total(&client, &presences.join(" and ")), 250);
    // From the left, and "and" before "or": no one, or everyone of the last two terms.
    let mixed = format!("{} and title pr or userName sw \"u24\"", presences.join(" and "));
    assert_eq!(total(&client, &mixed), 11);
    let grouped = format!("{} and (title pr or userName sw \"u24\")", presences.join(" and "));
    assert_eq!(total(&client, &grouped), 11);
    let either = format!("userName sw \"u24\" or {}", vec!["title pr"; 200].join(" and "));
    assert_eq!(total(&client, &either), 11);
});

on_both!(flt_050_flt_051_what_is_over_a_limit_is_refused, |server: &Server| {
    let client = server.client();
    client.create("/Users", &json!({"userName": "someone"}));
    let deep = |n: usize| format!("{}userName pr{}", "(".repeat(n), ")".repeat(n));
    let negated = |n: usize| format!("{}userName pr{}", "not (".repeat(n), ")".repeat(n));
    let terms = |n: usize| vec!["userName pr"; n].join(" or ");
    let long = |n: usize| format!("title eq \"{}\"", "x".repeat(n - 11));
    for filter in [deep(32), negated(32), terms(256), long(8 * 1_024)] {
        let shown: String = filter.chars().take(30).collect();
        assert_eq!(search(&client, &filter).status, 200, "{shown}");
        let plain = filter.replace(' ', "+").replace('"', "%22");
        assert_eq!(client.get(&format!("/Users?filter={plain}")).status, 200, "{shown}");
    }
    for filter in [deep(33), negated(33), terms(257), long(8 * 1_024 + 1)] {
        let shown: String = filter.chars().take(30).collect();
        let plain = filter.replace(' ', "+").replace('"', "%22");
        for response in [search(&client, &filter), client.get(&format!("/Users?filter={plain}"))] {
            assert_eq!(response.status, 400, "{shown}: {}", response.text());
            assert_eq!(response.at("/scimType"), "invalidFilter", "{shown}");
        }
    }
    for flood in ["(", "not (", "not(", "emails[", "userName pr or ", "\"", "and ", "[", "-"] {
        let response = search(&client, &flood.repeat(400_000 / flood.len()));
        assert_eq!(response.status, 400, "{flood}");
        assert_eq!(response.at("/scimType"), "invalidFilter", "{flood}");
    }
    let uri = client.get(&format!("/Users?filter={}", "x".repeat(40_000)));
    uri.assert_status(414);
    uri.assert_at("/status", "414");
    assert_eq!(client.get("/Users").at("/totalResults"), "1", "the server is well");
});

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn one_of<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }
}

const TEXTS: [&str; 20] = [
    "work",
    "WORK",
    "home",
    "wo",
    "k",
    "100%",
    "100",
    "_x",
    "a\\b",
    "*",
    "Ärger",
    "ärger",
    "straße",
    "STRASSE",
    "ΣΟΦΟΣ",
    "σοφος",
    "é",
    "e\u{301}",
    "İ",
    "😀 \"q\"",
];

/// A value of `roles`, which are found by reading documents, and of `emails`, which are indexed.
fn value(dice: &mut Dice, number: usize) -> Value {
    let mut value = json!({"value": format!("{}{number}", dice.one_of(&TEXTS))});
    for name in ["type", "display"] {
        if dice.below(3) > 0 {
            value[name] = dice.one_of(&TEXTS).into();
        }
    }
    // At most one can be primary.
    if number == 0 && dice.below(2) == 0 {
        value["primary"] = true.into();
    } else if dice.below(2) == 0 {
        value["primary"] = false.into();
    }
    value
}

fn filter(dice: &mut Dice, depth: usize) -> String {
    match if depth == 0 { 0 } else { dice.below(6) } {
        4 => format!("not ({})", filter(dice, depth - 1)),
        5 => {
            let word = dice.one_of(&["and", "or"]);
            format!("({} {word} {})", filter(dice, depth - 1), filter(dice, depth - 1))
        }
        _ => term(dice),
    }
}

fn term(dice: &mut Dice) -> String {
    let name = dice.one_of(&["value", "type", "display"]);
    match dice.below(8) {
        0 => format!("{} pr", dice.one_of(&["value", "type", "display", "primary"])),
        1 => format!("primary {} {}", dice.one_of(&["eq", "ne"]), dice.one_of(&["true", "false"])),
        2 => format!("{name} {} null", dice.one_of(&["eq", "ne"])),
        _ => {
            let operator = dice.one_of(&["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]);
            let text = match dice.below(8) {
                0 => String::new(),
                1 => format!("{}{}", dice.one_of(&TEXTS), dice.below(3)),
                _ => dice.one_of(&TEXTS).to_owned(),
            };
            format!("{name} {operator} {}", Value::from(text))
        }
    }
}

/// Asks the PATCH engine which users have a value that matches, and changes no one: the second
/// operation fails for all, the first for those without such a value.
fn by_patch(
    client: &Client,
    connection: &mut Connection,
    path: &str,
    users: &[String],
) -> BTreeSet<String> {
    let selects = |id: &String| {
        let body = json!({"Operations": [
            {"op": "replace", "path": format!("{path}.display"), "value": "x"},
            {"op": "replace", "path": "ims[type eq \"nobody has this\"].value", "value": "x"},
        ]});
        let response = client.on(connection, "PATCH", &format!("/Users/{id}"), Some(&body));
        let (kind, detail) = (response.at("/scimType"), response.at("/detail"));
        response.assert_status(400);
        assert_eq!(kind.as_str(), "noTarget", "{path}: {detail}");
        detail.contains("operation 2")
    };
    let mut selects = selects;
    users.iter().filter(|id| selects(id)).cloned().collect()
}

on_both!(flt_055_the_database_and_the_patch_engine_agree_about_filters, |server: &Server| {
    let client = server.tenant("strict", "all,-create-by-filter");
    let mut dice = Dice(7_644);
    let bodies: Vec<Value> = (0..40)
        .map(|n| {
            let mut body = json!({"userName": format!("u{n}")});
            for name in ["emails", "roles"] {
                let values: Vec<Value> =
                    (0..dice.below(4)).map(|number| value(&mut dice, number)).collect();
                body[name] = values.into();
            }
            body
        })
        .collect();
    let users = seed::users(&client, &bodies);
    let mut connection = Connection::open(client.address).unwrap();
    let (mut some, mut all) = (0, 0);
    for round in 0..60 {
        let filter = filter(&mut dice, 3);
        let path = format!("{}[{filter}]", ["emails", "roles"][round % 2]);
        let found =
            client.get(&format!("/Users?attributes=id&count=1000&filter={}", encode(&path)));
        assert_eq!(found.status, 200, "{path}: {}", found.text());
        let resources = found.json()["Resources"].as_array().unwrap().clone();
        let found: BTreeSet<String> =
            resources.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(found, by_patch(&client, &mut connection, &path, &users), "{path}");
        all += 1;
        some += usize::from(!found.is_empty() && found.len() < users.len());
    }
    assert!(some * 2 > all, "most filters select some and not all: {some} of {all}");
    for id in &users {
        assert_eq!(client.get(&format!("/Users/{id}")).at("/meta/version"), "W/\"1\"");
    }
});
