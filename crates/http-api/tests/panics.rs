//! A defect in the server fails one request: it gets a response, and the next request is served.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/parts.rs"]
mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, rt};
use headcount_core::clock::{Clock, IdSource, Timestamp};
use headcount_core::ids::{ResourceId, TenantId};
use headcount_core::memory::MemoryProvider;
use headcount_http_api::{Api, HttpSettings, observe, routes};
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{Expiry, NewToken, Policy, Scopes, Tokens};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use parts::{Counter, operator, service};

/// Time and ids of a server that has a defect while `broken` is set.
struct Machine {
    count: AtomicI64,
    broken: AtomicBool,
}

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + self.count.fetch_add(1, Ordering::SeqCst))
    }
}

impl IdSource for Machine {
    fn next_id(&self) -> ResourceId {
        assert!(!self.broken.load(Ordering::SeqCst), "a secret of the server: /home/x.rs");
        ResourceId::new(format!("id-{}", self.count.fetch_add(1, Ordering::SeqCst)))
    }
}

#[test]
fn err_010_err_012_a_panic_is_one_answer_and_the_process_lives() {
    let machine = Arc::new(Machine { count: AtomicI64::new(0), broken: AtomicBool::new(false) });
    let tokens = Arc::new(Tokens::new(
        Arc::new(MemoryTokens::default()),
        machine.clone(),
        Policy::default(),
    ));
    let issued = tokens.issue(
        &operator(),
        TenantId::new(1),
        NewToken {
            name: "test".to_owned(),
            scopes: Scopes::PROVISIONING,
            expiry: Expiry::Default,
            cidrs: Vec::new(),
            user: None,
        },
    );
    let bearer = format!("Bearer {}", issued.unwrap().secret.expose_secret());
    let provider = Arc::new(MemoryProvider::default());
    let service = service(provider, machine.clone(), machine.clone());
    let request_ids = Arc::new(Counter::default());
    let api = Data::new(Api::new(service, tokens, request_ids, HttpSettings::default()));
    rt::System::new().block_on(async {
        let app = App::new().wrap(from_fn(observe)).configure(routes(api));
        let app = init_service(app).await;
        let create = |name: &str| {
            TestRequest::post()
                .uri("/scim/v2/Users")
                .insert_header(("Authorization", bearer.clone()))
                .set_payload(json!({"userName": name}).to_string())
                .to_request()
        };
        assert_eq!(call_service(&app, create("before")).await.status(), StatusCode::CREATED);
        machine.broken.store(true, Ordering::SeqCst);
        for _ in 0..200 {
            let answer = call_service(&app, create("during")).await;
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let header =
                |name: &str| answer.headers().get(name).unwrap().to_str().unwrap().to_owned();
            assert_eq!(header("content-type"), "application/scim+json");
            let id = header("x-request-id");
            let body: Value = serde_json::from_slice(&read_body(answer).await).unwrap();
            let urn = "urn:ietf:params:scim:api:messages:2.0:Error";
            assert_eq!((&body["schemas"], &body["status"]), (&json!([urn]), &json!("500")));
            let detail = body["detail"].as_str().unwrap();
            assert!(detail.contains(&id) && !detail.contains("secret"), "{detail}");
        }
        machine.broken.store(false, Ordering::SeqCst);
        assert_eq!(call_service(&app, create("after")).await.status(), StatusCode::CREATED);
    });
}
