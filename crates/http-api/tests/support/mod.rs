//! A server over a provider in memory whose scans last until they are released.

mod parts;

use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::from_fn;
use actix_web::rt::task::JoinHandle;
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, Error, rt};
use headcount_core::clock::Clock as _;
use headcount_core::ids::TenantId;
use headcount_core::memory::MemoryProvider;
use headcount_core::provider::{ProviderError, Query};
use headcount_core::quirks::Quirks;
use headcount_core::service::{Cost, of_filter};
use headcount_core::work::{Halt, Work};
use headcount_http_api::{Api, HttpSettings, observe, routes};
use headcount_provider_conformance::watched::Watched;
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{
    Expiry, NewToken, Policy, PresentedToken, Scopes, TenantStore as _, Tokens,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use parts::{Counter, operator, service};

/// Waits for a condition, at most as long as a test may take.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        rt::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition did not become true");
}

/// Searches that wait before they begin.
#[derive(Default)]
struct Slow {
    state: Mutex<State>,
    changed: Condvar,
    ignores_halts: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The tenant of each scan, in the order in which they began.
    began: Vec<i64>,
    /// How many may end.
    released: usize,
    ended: usize,
    halts: Vec<Halt>,
}

impl Slow {
    fn wait(&self, tenant: TenantId, query: &Query<'_>) -> Result<(), ProviderError> {
        let mut state = self.state.lock().unwrap();
        state.began.push(tenant.key());
        while state.ended >= state.released {
            if let Err(halt) = query.work.check()
                && !self.ignores_halts.load(Ordering::SeqCst)
            {
                state.halts.push(halt);
                return Err(halt.into());
            }
            state = self.changed.wait_timeout(state, Duration::from_millis(5)).unwrap().0;
        }
        state.ended += 1;
        Ok(())
    }
}

/// A token, and its secret.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) name: String,
    secret: String,
}

type Answer = ServiceResponse<BoxBody>;
type Call = Pin<Box<dyn Future<Output = Result<Answer, Error>>>>;

/// The server.
pub(crate) struct Server {
    pub(crate) api: Data<Api>,
    slow: Arc<Slow>,
    call: Rc<dyn Fn(Request) -> Call>,
    /// The names of tokens in the order in which their requests were answered.
    answered: Rc<std::cell::RefCell<Vec<String>>>,
    issued: std::cell::RefCell<HashMap<String, headcount_core::ids::TokenId>>,
}

impl Server {
    pub(crate) async fn start(settings: HttpSettings) -> Self {
        let counter = Arc::new(Counter::default());
        let memory = Arc::new(MemoryTokens::default());
        let by = operator().author;
        memory.create_tenant("second", Quirks::default(), counter.now(), &by).unwrap();
        let tokens = Arc::new(Tokens::new(memory, counter.clone(), Policy::default()));
        let slow = Arc::new(Slow::default());
        let waits = Arc::clone(&slow);
        let watched = Watched::new(Arc::new(MemoryProvider::default()), &Work::unlimited());
        let provider = watched.before_find(move |tenant, query| match &query.filter {
            Some(filter) if of_filter(filter) == Cost::Scan => waits.wait(tenant, query),
            _ => Ok(()),
        });
        let service = service(Arc::new(provider), counter.clone(), counter.clone());
        let api = Data::new(Api::new(service, tokens, counter, settings));
        let app = App::new().wrap(from_fn(observe)).configure(routes(Data::clone(&api)));
        let app = Rc::new(init_service(app).await);
        let call = Rc::new(move |request| {
            let app = Rc::clone(&app);
            let call: Call = Box::pin(async move { app.call(request).await });
            call
        });
        Self { api, slow, call, answered: Rc::default(), issued: Default::default() }
    }

    /// Makes a token of a tenant, and has the server accept it once.
    pub(crate) fn token(&self, tenant: i64) -> Token {
        let token = self.new_token(tenant);
        let presented = PresentedToken::parse(&token.secret).unwrap();
        assert!(self.api.tokens.verify(&presented).is_ok());
        token
    }

    /// Makes a token of a tenant that the server has not seen yet.
    pub(crate) fn new_token(&self, tenant: i64) -> Token {
        let name = format!("t{}", self.issued.borrow().len());
        let new = NewToken {
            name: name.clone(),
            scopes: Scopes::PROVISIONING,
            expiry: Expiry::Default,
            cidrs: Vec::new(),
            user: None,
        };
        let issued = self.api.tokens.issue(&operator(), TenantId::new(tenant), new).unwrap();
        self.issued.borrow_mut().insert(name.clone(), issued.token.id);
        Token { name, secret: issued.secret.expose_secret().to_owned() }
    }

    pub(crate) fn revoke(&self, token: &Token) {
        let issued = self.issued.borrow();
        self.api.tokens.revoke(&operator(), None, issued.get(&token.name).unwrap()).unwrap();
    }

    fn request(&self, token: &Token, request: TestRequest) -> Request {
        let bearer = format!("Bearer {}", token.secret);
        request.insert_header(("Authorization", bearer)).to_request()
    }

    /// Creates a user and returns its id.
    pub(crate) async fn create(&self, token: &Token, name: &str) -> String {
        let request = TestRequest::post().uri("/scim/v2/Users");
        let request = request.set_payload(json!({"userName": name}).to_string());
        let answer = (self.call)(self.request(token, request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let body: Value = serde_json::from_slice(&read_body(answer).await).unwrap();
        body.get("id").unwrap().as_str().unwrap().to_owned()
    }

    /// Sends a request and returns the response.
    pub(crate) async fn answer(&self, token: &Token, path: &str) -> Answer {
        (self.call)(self.request(token, TestRequest::get().uri(path))).await.unwrap()
    }

    /// Sends a request and returns the status.
    pub(crate) async fn get(&self, token: &Token, path: &str) -> StatusCode {
        self.answer(token, path).await.status()
    }

    /// Sends a request without waiting for its response.
    pub(crate) fn spawn(&self, token: &Token, path: &str) -> JoinHandle<StatusCode> {
        let call = (self.call)(self.request(token, TestRequest::get().uri(path)));
        let (answered, name) = (Rc::clone(&self.answered), token.name.clone());
        rt::spawn(async move {
            let status = call.await.unwrap().status();
            answered.borrow_mut().push(name);
            status
        })
    }

    pub(crate) fn answered(&self) -> Vec<String> {
        self.answered.borrow().clone()
    }

    /// Returns the tenants of the scans that have begun.
    pub(crate) fn scans(&self) -> Vec<i64> {
        self.slow.state.lock().unwrap().began.clone()
    }

    /// Returns why scans ended before they were released.
    pub(crate) fn halts(&self) -> Vec<Halt> {
        self.slow.state.lock().unwrap().halts.clone()
    }

    /// Makes scans continue although they were asked to stop.
    pub(crate) fn ignore_halts(&self) {
        self.slow.ignores_halts.store(true, Ordering::SeqCst);
    }

    pub(crate) fn release_one(&self) {
        self.slow.state.lock().unwrap().released += 1;
        self.slow.changed.notify_all();
    }

    pub(crate) fn release_all(&self) {
        self.slow.state.lock().unwrap().released = usize::MAX;
        self.slow.changed.notify_all();
    }

    fn lane(&self, name: &str) -> (usize, usize) {
        let lanes = self.api.snapshot().lanes;
        lanes.iter().find(|lane| lane.0 == name).map(|lane| (lane.1, lane.2)).unwrap()
    }

    /// Returns how many requests wait on a lane.
    pub(crate) fn waiting(&self, lane: &str) -> usize {
        self.lane(lane).1
    }

    /// Returns how many requests are at work on a lane.
    pub(crate) fn at_work(&self, lane: &str) -> usize {
        self.lane(lane).0
    }
}
