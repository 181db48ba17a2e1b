//! The filters of a store agree with the evaluator, tested with random filters.
//!
//! The provider under test and the memory provider, which evaluates filters one resource at a time, store
//! the same random resources. Then both run the same random queries.

use headcount_core::error::Error;
use headcount_core::ids::ResourceId;
use headcount_core::message::SearchRequest;
use headcount_core::provider::Found;
use headcount_core::service::Listing;
use serde_json::{Map, Value, json};

use crate::Subject;
use crate::bench::{Bench, GROUP, USER, member_list};
use crate::random::Random;
use crate::random::values::{TEXTS, TIMES};
use crate::world;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Two benches with the same resources.
pub struct Twins {
    subject: Bench,
    memory: Bench,
    ids: Vec<ResourceId>,
}

impl Twins {
    /// Creates random users and groups in both.
    ///
    /// # Panics
    ///
    /// When one of them refuses what the other accepts.
    pub fn new(subject: Subject, random: &mut Random, users: usize) -> Self {
        let mut twins = Self {
            subject: Bench::new(subject),
            memory: Bench::new(world::memory()),
            ids: Vec::new(),
        };
        for number in 0..users {
            let body = user(random, number);
            twins.create(USER, &body);
        }
        for number in 0..users / 4 {
            let members: Vec<_> =
                (0..random.below(4)).map(|_| random.one(&twins.ids).clone()).collect();
            let members = member_list(&members.iter().collect::<Vec<_>>());
            let body = json!({"displayName": format!("{} {number}", random.one(&TEXTS)), "members": members});
            twins.create(GROUP, &body);
        }
        twins
    }

    fn create(&mut self, kind: &str, body: &Value) {
        let one =
            self.subject.try_create(0, kind, body.clone()).map(|written| written.found.resource);
        let other =
            self.memory.try_create(0, kind, body.clone()).map(|written| written.found.resource);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one, other, "both store the same of {body}");
                self.ids.push(one.id);
            }
            (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string(), "{body}"),
            (one, other) => panic!("{body}: {one:?} against {other:?}"),
        }
    }

    /// Runs a query in both and compares the replies. Returns whether the query was accepted.
    ///
    /// # Panics
    ///
    /// When the replies differ.
    pub fn ask(&self, kind: &str, request: &SearchRequest) -> bool {
        match (search(&self.subject, kind, request), search(&self.memory, kind, request)) {
            (Ok(one), Ok(other)) => {
                assert_eq!(one.head.total, other.head.total, "{kind} {request:?}");
                assert_eq!(ids(&one.resources), ids(&other.resources), "{kind} {request:?}");
                true
            }
            (Err(one), Err(other)) => {
                assert_eq!(one.to_string(), other.to_string(), "{request:?}");
                false
            }
            (one, other) => panic!("{request:?}: {one:?} against {other:?}"),
        }
    }

    /// Pages through the reply of the provider by cursors, and compares it with the whole reply of the
    /// evaluator.
    ///
    /// # Panics
    ///
    /// When they differ.
    pub fn walk(&self, kind: &str, request: &SearchRequest, page: i64) {
        let all = SearchRequest { count: Some(1_000), start_index: None, ..request.clone() };
        let Ok(whole) = search(&self.memory, kind, &all) else {
            return;
        };
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let request = SearchRequest { cursor: Some(cursor), count: Some(page), ..all.clone() };
            let listing = search(&self.subject, kind, &request)
                .unwrap_or_else(|error| panic!("{request:?}: {error}"));
            assert_eq!(listing.head.total, whole.head.total, "{request:?}");
            walked.extend(listing.resources);
            match listing.head.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        assert_eq!(ids(&walked), ids(&whole.resources), "{request:?} by {page}");
    }

    /// Makes a random filter for a kind.
    pub fn filter(&self, random: &mut Random, kind: &str) -> String {
        self.expression(random, kind, 3)
    }

    fn expression(&self, random: &mut Random, kind: &str, depth: usize) -> String {
        if depth > 0 && random.once_in(2) {
            let (left, right) = (
                self.expression(random, kind, depth - 1),
                self.expression(random, kind, depth - 1),
            );
            return match random.below(5) {
                0 | 1 => format!("{left} and {right}"),
                2 => format!("({left}) or {right}"),
                3 => format!("{left} or {right}"),
                _ => format!("not ({left})"),
            };
        }
        match kind {
            GROUP => self.group_term(random),
            _ => self.user_term(random),
        }
    }

    fn user_term(&self, random: &mut Random) -> String {
        let texts = [
            "userName",
            "displayName",
            "title",
            "nickName",
            "externalId",
            "name.familyName",
            "emails.value",
            "emails.type",
            "emails",
            "phoneNumbers.value",
            "roles.value",
            "profileUrl",
            "groups.display",
            "urn:ietf:params:scim:schemas:core:2.0:User:userType",
        ];
        match random.below(14) {
            0 => format!(
                "active {} {}",
                random.one(&["eq", "ne"]),
                random.one(&["true", "false", "null"])
            ),
            1 => {
                let operator = random.one(&["eq", "ne", "gt", "ge", "lt", "le"]);
                format!(
                    "{} {operator} \"{}\"",
                    random.one(&["meta.created", "meta.lastModified"]),
                    random.one(&TIMES)
                )
            }
            2 => format!(
                "id {} \"{}\"",
                random.one(&["eq", "ne", "gt", "sw"]),
                random.one(&self.ids)
            ),
            3 => format!(
                "{} pr",
                random.one(&[
                    "title",
                    "nickName",
                    "emails",
                    "name",
                    "groups",
                    "externalId",
                    ENTERPRISE_DEPARTMENT,
                    "roles"
                ])
            ),
            4 => {
                let (left, right) = (value_term(random), value_term(random));
                format!("emails[{left} {} {right}]", random.one(&["and", "or"]))
            }
            5 => format!(
                "emails[not ({}) and value {}]",
                value_term(random),
                random.one(&["pr", "co \"a\""])
            ),
            6 => {
                format!("groups.value {} \"{}\"", random.one(&["eq", "ne"]), random.one(&self.ids))
            }
            7 => format!("groups[display {} and type eq \"direct\"]", compare_text(random)),
            8 => format!(
                "{ENTERPRISE}:{} {}",
                random.one(&["department", "manager.value", "manager"]),
                compare_text(random)
            ),
            9 => format!("roles[primary eq {}]", random.one(&["true", "false"])),
            _ => format!("{} {}", random.one(&texts), compare_text(random)),
        }
    }

    fn group_term(&self, random: &mut Random) -> String {
        let id = random.one(&self.ids);
        match random.below(6) {
            0 => format!("members.value {} \"{id}\"", random.one(&["eq", "ne", "sw"])),
            1 => format!(
                "members[value eq \"{id}\" and type {} \"user\"]",
                random.one(&["eq", "ne"])
            ),
            2 => format!("members.type {} \"Group\"", random.one(&["eq", "ne", "co"])),
            3 => (*random.one(&[
                "members pr",
                "not (members pr)",
                "members.display pr",
                "meta.version eq \"W/\\\"1\\\"\"",
            ]))
            .to_owned(),
            _ => format!("displayName {}", compare_text(random)),
        }
    }
}

fn search(bench: &Bench, kind: &str, request: &SearchRequest) -> Result<Listing, Error> {
    bench.service.search(&bench.caller(0), &[bench.kind(kind)], request)
}

fn ids(resources: &[Found]) -> Vec<&str> {
    resources.iter().map(|found| found.resource.id.as_str()).collect()
}

const ENTERPRISE_DEPARTMENT: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department";

fn value_term(random: &mut Random) -> String {
    format!("{} {}", random.one(&["type", "value", "value", "display"]), compare_text(random))
}

fn compare_text(random: &mut Random) -> String {
    if random.once_in(12) {
        return (*random.one(&["eq null", "ne null", "co \"\"", "sw \"\"", "ew \"\""])).to_owned();
    }
    let operator = random.one(&["eq", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]);
    format!("{operator} {}", json!(random.one(&TEXTS)))
}

/// Makes a random user.
fn user(random: &mut Random, number: usize) -> Value {
    let mut body = Map::new();
    let name = if random.once_in(8) {
        (*random.one(&TEXTS)).to_owned()
    } else {
        format!("{}{number}", random.one(&TEXTS))
    };
    body.insert("userName".to_owned(), name.into());
    for attribute in ["displayName", "title", "nickName", "externalId", "userType", "profileUrl"] {
        if random.once_in(2) {
            body.insert(attribute.to_owned(), (*random.one(&TEXTS)).into());
        }
    }
    if random.once_in(2) {
        body.insert("active".to_owned(), random.once_in(2).into());
    }
    if random.once_in(2) {
        body.insert("name".to_owned(), json!({"familyName": random.one(&TEXTS)}));
    }
    for attribute in ["emails", "phoneNumbers", "roles"] {
        let mut values = Vec::new();
        for index in 0..random.below(3) {
            let mut value = Map::new();
            if !random.once_in(6) {
                value.insert("value".to_owned(), (*random.one(&TEXTS)).into());
            }
            if random.once_in(2) {
                value.insert(
                    "type".to_owned(),
                    (*random.one(&["work", "Work", "home", "ä"])).into(),
                );
            }
            if index == 0 && random.once_in(3) {
                value.insert("primary".to_owned(), random.once_in(2).into());
            }
            values.push(Value::Object(value));
        }
        body.insert(attribute.to_owned(), values.into());
    }
    if random.once_in(3) {
        body.insert(
            ENTERPRISE.to_owned(),
            json!({"department": random.one(&TEXTS), "manager": {"value": random.one(&TEXTS)}}),
        );
    }
    Value::Object(body)
}

/// Random filters select the same resources from the provider as from the evaluator.
pub fn random_filters_select_what_the_evaluator_selects(subject: Subject) {
    let mut random = Random::new(7);
    let twins = Twins::new(subject, &mut random, 60);
    let mut answered = 0;
    for round in 0..300 {
        let kind = if random.once_in(4) { GROUP } else { USER };
        let filter = twins.filter(&mut random, kind);
        let start_index =
            if round % 3 == 0 { Some(i64::try_from(random.below(9)).unwrap_or(0)) } else { None };
        let request = SearchRequest {
            filter: Some(filter),
            start_index,
            count: Some(1_000),
            ..SearchRequest::default()
        };
        answered += usize::from(twins.ask(kind, &request));
    }
    assert!(answered > 200, "most random filters are valid: {answered}");
}

/// Random orders over random filters give the same pages.
pub fn random_sorts_order_like_the_evaluator(subject: Subject) {
    let mut random = Random::new(11);
    let twins = Twins::new(subject, &mut random, 40);
    for _ in 0..80 {
        let sort_by = *random.one(&[
            "userName",
            "displayName",
            "title",
            "externalId",
            "active",
            "emails.value",
            "name.familyName",
            "meta.created",
            "meta.lastModified",
            "id",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
        ]);
        let request = SearchRequest {
            filter: random.once_in(2).then(|| twins.filter(&mut random, USER)),
            sort_by: Some(sort_by.to_owned()),
            sort_order: Some((*random.one(&["ascending", "descending"])).to_owned()),
            start_index: Some(i64::try_from(random.below(20)).unwrap_or(0)),
            count: Some(i64::try_from(random.below(30)).unwrap_or(0)),
            ..SearchRequest::default()
        };
        twins.ask(USER, &request);
        let page = i64::try_from(1 + random.below(15)).unwrap_or(1);
        twins.walk(USER, &request, page);
    }
}
