//! Two servers on one PostgreSQL, and many clients at once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headcount_e2e::http::Connection;
use headcount_e2e::{Client, Database, Server, on_both};
use serde_json::{Value, json};

fn two_servers() -> [Server; 2] {
    let database = Arc::new(Database::postgres());
    [Server::start_with(Arc::clone(&database), &[], &[]), Server::start_with(database, &[], &[])]
}

#[test]
fn etg_015_pat_085_con_01_two_thousand_members_added_in_parallel_are_all_there_on_postgres() {
    let servers = two_servers();
    let first = servers[0].client();
    let mut connection = Connection::open(first.address).unwrap();
    let users: Vec<String> = (0..2_000)
        .map(|n| {
            first
                .on(
                    &mut connection,
                    "POST",
                    "/Users?attributes=id",
                    Some(&json!({"userName": format!("u{n}")})),
                )
                .at("/id")
        })
        .collect();
    let group = first.create("/Groups", &json!({"displayName": "all"}));
    let path = format!("/Groups/{group}?attributes=displayName");
    let acknowledged = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (number, part) in users.chunks(100).enumerate() {
            let client = Client { address: servers[number % 2].address, ..first.clone() };
            let (path, acknowledged) = (&path, &acknowledged);
            scope.spawn(move || {
                let mut connection = Connection::open(client.address).unwrap();
                for user in part {
                    let body = json!({"Operations": [{"op": "add", "path": "members", "value": [{"value": user}]}]});
                    let response = client.on(&mut connection, "PATCH", path, Some(&body));
                    assert_eq!(response.status, 200, "{}", response.text());
                    acknowledged.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(acknowledged.into_inner(), 2_000);
    let second = Client { address: servers[1].address, ..first };
    let group = second.get(&format!("/Groups/{group}")).json();
    let members: HashSet<_> = group["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["value"].to_string())
        .collect();
    assert_eq!(members.len(), 2_000);
    assert_eq!(group["meta"]["version"], "W/\"2001\"", "each add is one version");
}

#[test]
fn chr_018_con_03_one_of_fifty_posts_of_a_name_wins_over_two_servers_on_postgres() {
    let servers = two_servers();
    let first = servers[0].client();
    for round in 0..4 {
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let posts: Vec<_> = (0..50)
                .map(|number| {
                    let client = Client { address: servers[number % 2].address, ..first.clone() };
                    let name: String = format!("Some.Body{round}")
                        .chars()
                        .enumerate()
                        .map(|(at, c)| {
                            if (number >> (at % 6)) & 1 == 1 {
                                c.to_ascii_uppercase()
                            } else {
                                c.to_ascii_lowercase()
                            }
                        })
                        .collect();
                    scope.spawn(move || client.post("/Users", &json!({"userName": name})).status)
                })
                .collect();
            posts.into_iter().map(|post| post.join().unwrap()).collect()
        });
        assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 49, "{statuses:?}");
    }
}

#[test]
fn tok_09_a_revoked_token_is_refused_by_the_other_server_at_once() {
    let servers = two_servers();
    for round in 0..20 {
        let revoker = &servers[round % 2];
        let other = &servers[(round + 1) % 2];
        let client = Client::new(other.address, &revoker.token(&[]));
        assert_eq!(client.get("/Users?count=0").status, 200);
        let id = client.token.as_deref().and_then(|token| token.get(3..19)).unwrap().to_owned();
        assert!(revoker.run(&["token", "revoke", &id]).status.success());
        assert_eq!(client.get("/Users?count=0").status, 401);
    }
}

on_both!(etg_006_con_04_one_of_many_writers_with_the_same_version_wins, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    let path = format!("/Users/{id}");
    for round in 0..10 {
        let tag = client.get(&path).header("etag").unwrap().to_owned();
        let won: usize = std::thread::scope(|scope| {
            let writes: Vec<_> = (0..8)
                .map(|writer| {
                    let (client, path, tag) = (&client, &path, &tag);
                    scope.spawn(move || {
                        let body = json!({"Operations": [{"op": "replace", "path": "title", "value": format!("{round}-{writer}")}]});
                        let response = client.raw("PATCH", path, &[("If-Match", tag)], Some(body.to_string().as_bytes()));
                        assert!(matches!(response.status, 200 | 412), "{}", response.text());
                        usize::from(response.status == 200)
                    })
                })
                .collect();
            writes.into_iter().map(|write| write.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
    }
});

on_both!(etg_015_con_05_patches_of_different_attributes_both_survive, |server: &Server| {
    let client = server.client();
    let id = client.create("/Users", &json!({"userName": "someone"}));
    let path = format!("/Users/{id}");
    std::thread::scope(|scope| {
        for attribute in ["title", "nickName", "userType", "locale", "timezone"] {
            let (client, path) = (&client, &path);
            scope.spawn(move || {
                for round in 0..10 {
                    let change =
                        json!([{"op": "replace", "path": attribute, "value": round.to_string()}]);
                    assert_eq!(client.patch(path, &change).status, 200);
                }
            });
        }
    });
    let user = client.get(&path).json();
    for attribute in ["title", "nickName", "userType", "locale", "timezone"] {
        assert_eq!(user[attribute], "9", "{attribute}");
    }
    assert_eq!(user["meta"]["version"], "W/\"51\"");
});

on_both!(con_06_deleting_a_user_while_adding_it_leaves_no_dangling_member, |server: &Server| {
    let client = server.client();
    let group = client.create("/Groups", &json!({"displayName": "g"}));
    for round in 0..30 {
        let user = client.create("/Users", &json!({"userName": format!("u{round}")}));
        std::thread::scope(|scope| {
            let (client, group, user) = (&client, &group, &user);
            scope.spawn(move || {
                assert_eq!(client.delete(&format!("/Users/{user}")).status, 204);
            });
            scope.spawn(move || {
                let add = json!([{"op": "add", "path": "members", "value": [{"value": user}]}]);
                let response = client.patch(&format!("/Groups/{group}"), &add);
                assert!(matches!(response.status, 200 | 400), "{}", response.text());
            });
        });
        let members = client.get(&format!("/Groups/{group}")).json()["members"].clone();
        assert_eq!(members, Value::Array(Vec::new()));
    }
});
