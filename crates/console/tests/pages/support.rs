//! A console, a browser, and what a test says about its responses.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_http::{Payload, Request};
use actix_web::body::BoxBody;
use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::http::header::{HeaderMap, SET_COOKIE};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, Error};
use headcount_console::{Console, routes};
use headcount_core::change::{Actor, Author};
use headcount_core::clock::Clock as _;
use headcount_core::cursor::PlainCursors;
use headcount_core::ids::{RequestId, TenantId};
use headcount_core::memory::MemoryProvider;
use headcount_core::quirks::Quirks;
use headcount_core::schema::Registry;
use headcount_core::service::{Caller, Edit, Limits, Service, Shape};
use headcount_core::work::Work;
use headcount_http_api::{Api, HttpSettings};
use headcount_records::RequestRecord;
use headcount_records::memory::MemoryLog;
use headcount_token_admin::accounts::memory::{MemoryAccounts, MemoryFlashes};
use headcount_token_admin::accounts::{
    AccountKeys, AccountStore as _, Accounts, Admin, AdminRow, ClientNetwork, Flashes, LinkPurpose,
    LinkRow, Password, PasswordCost, Role, Secret, SentBy, SessionRow,
};
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{Policy, Principal, Tenants, TokenHash, Tokens};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::memory::{MemoryActivity, NoContents, TestClock};

/// The password of accounts that have one.
pub(crate) const PASSWORD: &str = "velvet otter quarry";
/// The tenant that exists from the start.
pub(crate) const DEFAULT: TenantId = TenantId::new(1);

type Call = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

/// A console over stores in memory.
pub(crate) struct TestConsole {
    pub(crate) console: Data<Console>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) log: Arc<MemoryLog>,
    pub(crate) activity: Arc<MemoryActivity>,
    pub(crate) accounts: Arc<MemoryAccounts>,
    call: Rc<dyn Fn(Request) -> Call>,
}

impl TestConsole {
    pub(crate) async fn new() -> Self {
        Self::with_settings(HttpSettings::default()).await
    }

    pub(crate) async fn with_settings(settings: HttpSettings) -> Self {
        let clock = Arc::new(TestClock::new());
        let provider = Arc::new(MemoryProvider::default());
        let (stored_tokens, accounts) =
            (Arc::new(MemoryTokens::default()), Arc::new(MemoryAccounts::default()));
        let (log, activity) = (Arc::new(MemoryLog::default()), Arc::new(MemoryActivity::default()));
        let service = Service {
            registry: Arc::new(Registry::builtin().unwrap()),
            provider: provider.clone(),
            clock: clock.clone(),
            ids: clock.clone(),
            cursor_cipher: Arc::new(PlainCursors),
            limits: Limits::default(),
        };
        let tokens = Tokens::new(stored_tokens.clone(), clock.clone(), Policy::default());
        let api = Api::new(service, Arc::new(tokens), clock.clone(), settings);
        let console = Data::new(Console {
            api: Data::new(api),
            accounts: Arc::new(Accounts::with_keys(
                accounts.clone(),
                clock.clone(),
                AccountKeys::new([[7; 32].as_slice()]).unwrap(),
                PasswordCost::TESTS,
            )),
            flashes: Arc::new(Flashes::new(Arc::new(MemoryFlashes::default()), clock.clone())),
            tenants: Arc::new(Tenants::new(stored_tokens, Arc::new(NoContents), clock.clone())),
            changes: provider,
            activity: activity.clone(),
            log: log.clone(),
            refusals: log.clone(),
            policy: Policy::default(),
            program: "headcount --database test.db".to_owned(),
            settings: vec![("limits.page".to_owned(), "100".to_owned())],
        });
        let app = Rc::new(init_service(App::new().configure(routes(Data::clone(&console)))).await);
        let call = Rc::new(move |request| {
            let app = Rc::clone(&app);
            let call: Call = Box::pin(async move { app.call(request).await });
            call
        });
        Self { console, clock, log, activity, accounts, call }
    }

    /// A browser without a session.
    pub(crate) fn visitor(&self) -> Browser<'_> {
        Browser { console: self, cookie: String::new(), form_token: String::new() }
    }

    /// A browser with the session of a new account, whose password was just entered.
    ///
    /// Account and session are written to the store as they are: no password is hashed.
    pub(crate) fn signed_in_as(&self, role: Role) -> Browser<'_> {
        let (name, now) = (role.word(), self.clock.now());
        let secret = Secret::of(&format!("link of {name}"));
        let purpose = LinkPurpose::Invite(name.to_owned(), role);
        let expires = now.plus_seconds(60);
        let link = LinkRow { secret: secret.clone(), purpose, expires, giver: None };
        self.accounts.insert_link(&link, now, &operator().author).unwrap();
        let admin = Admin {
            name: name.to_owned(),
            role,
            second_factor: false,
            created: now,
            last_login: None,
        };
        let password =
            Password { hash: TokenHash::from_store(String::new()), stands_alone: Some(true) };
        let row = AdminRow { admin, password, totp: None };
        assert!(self.accounts.redeem(&secret, &row, now, &operator().author).unwrap());
        let cookie = format!("session-of-{name}");
        let session = SessionRow {
            secret: Secret::of(&cookie),
            admin: name.to_owned(),
            created: now,
            seen: now,
            proven: now,
        };
        let by = operator().author;
        self.accounts.insert_session(&session, &ClientNetwork::of(None), &by).unwrap();
        let cookie = format!("headcount={cookie}");
        Browser { console: self, form_token: self.form_token(&cookie), cookie }
    }

    /// Makes the first account, an owner with a password, and returns a browser without a session.
    pub(crate) fn with_owner(&self) -> Browser<'_> {
        let accounts = &self.console.accounts;
        let link = self.setup_link();
        let network = ClientNetwork::of(Some([203, 0, 113, 7].into()));
        accounts
            .redeem(&link, "owner", &PASSWORD.into(), &network, &RequestId::new("setup"))
            .unwrap();
        self.visitor()
    }

    /// Returns the secret of a link for the first account.
    pub(crate) fn setup_link(&self) -> String {
        let link = self.console.accounts.setup_link(&operator()).unwrap();
        link.secret.expose_secret().to_owned()
    }

    /// Returns the form token of the session with this cookie.
    pub(crate) fn form_token(&self, cookie: &str) -> String {
        let (_, value) = cookie.split_once('=').unwrap();
        self.console.accounts.session(value, SentBy::Person).unwrap().unwrap().form_token
    }

    /// Creates a resource in the default tenant and returns its id.
    pub(crate) fn create(&self, kind: &str, body: Value) -> String {
        let service = &self.console.api.service;
        let caller = Caller {
            tenant: DEFAULT,
            actor: Actor::Cli,
            user: None,
            quirks: Quirks::default(),
            request: RequestId::new("create"),
            work: Work::unlimited(),
        };
        let kind = service.registry.kind(kind).unwrap();
        let written = service.create(&caller, kind, body, &Shape::default()).unwrap();
        written.found.resource.id.to_string()
    }

    /// Deletes a resource of the default tenant.
    pub(crate) fn delete(&self, kind: &str, id: &str) {
        let service = &self.console.api.service;
        let caller = Caller {
            tenant: DEFAULT,
            actor: Actor::Cli,
            user: None,
            quirks: Quirks::default(),
            request: RequestId::new("delete"),
            work: Work::unlimited(),
        };
        let kind = service.registry.kind(kind).unwrap();
        let id = headcount_core::ids::ResourceId::new(id);
        service.delete(Edit::unconditional(&caller, kind), &id).unwrap();
    }

    /// Creates a user and returns its id.
    pub(crate) fn user(&self, name: &str) -> String {
        self.create("User", json!({"userName": name}))
    }
}

/// Who acts on the server itself.
pub(crate) fn operator() -> Principal {
    Principal::operator(Author { actor: Actor::Cli, request: RequestId::new("test") })
}

/// Returns the record of a request on a user of the default tenant.
pub(crate) fn request(name: &str, status: u16) -> RequestRecord {
    RequestRecord {
        at: headcount_core::clock::Timestamp::from_micros(1_767_225_600_000_000),
        micros: 1_500,
        request: RequestId::new("r1"),
        tenant: Some(DEFAULT),
        token: None,
        token_name: Some("entra".to_owned()),
        refused: None,
        address: Some("203.0.113.7".to_owned()),
        agent: None,
        idp: Some("entra".to_owned()),
        method: "POST".to_owned(),
        path: "/Users".to_owned(),
        kind: None,
        resource: None,
        name: Some(name.to_owned()),
        names: vec![name.to_owned()],
        query: None,
        status,
        scim_type: None,
        field: None,
        reason: None,
        quirks: Quirks::NONE,
        changed: None,
        proven: true,
        unkept: 0,
        body: None,
        reply: None,
    }
}

/// What a test sends requests with.
pub(crate) struct Browser<'c> {
    console: &'c TestConsole,
    /// The text of the header `Cookie`.
    pub(crate) cookie: String,
    pub(crate) form_token: String,
}

impl Browser<'_> {
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(TestRequest::get().uri(path)).await
    }

    /// Sends a form as a page of the console does: from the same origin, with the session's form token.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let token = ("token", self.form_token.as_str());
        let request = TestRequest::post().uri(path);
        let request = request.insert_header(("Sec-Fetch-Site", "same-origin"));
        self.send(request.set_form([&[token], fields].concat())).await
    }

    /// Sends a form and opens the page that it leads to, if it leads to one.
    pub(crate) async fn post_and_follow(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let response = self.post(path, fields).await;
        match response.header_text("location").filter(|_| response.status == 303) {
            Some(location) => self.get(location).await,
            None => response,
        }
    }

    /// Sends any request with the cookie.
    pub(crate) async fn send(&self, request: TestRequest) -> Response {
        let request = request.insert_header(("Cookie", self.cookie.as_str())).to_request();
        self.call(request).await
    }

    /// Sends a request with the cookie and a body that arrives as the test wants.
    pub(crate) async fn send_with(&self, request: TestRequest, body: Payload) -> Response {
        let request = request.insert_header(("Cookie", self.cookie.as_str())).to_request();
        self.call(request.replace_payload(body).0).await
    }

    async fn call(&self, request: Request) -> Response {
        let line = format!("{} {}", request.method(), request.uri());
        let response = (self.console.call)(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        Response { line, status, headers, body }
    }
}

/// A response. Its methods fail with the request, what was expected and what came instead.
pub(crate) struct Response {
    line: String,
    status: u16,
    headers: HeaderMap,
    pub(crate) body: String,
}

impl Response {
    #[track_caller]
    pub(crate) fn status(&self, status: u16) -> &Self {
        let Self { line, body, .. } = self;
        assert_eq!(self.status, status, "status of {line}\n{body}");
        self
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str, value: &str) -> &Self {
        assert_eq!(self.header_text(name), Some(value), "header {name} of {}", self.line);
        self
    }

    #[track_caller]
    pub(crate) fn redirects_to(&self, path: &str) -> &Self {
        self.status(303).header("location", path)
    }

    #[track_caller]
    pub(crate) fn lacks_header(&self, name: &str) -> &Self {
        assert_eq!(self.header_text(name), None, "header {name} of {}", self.line);
        self
    }

    /// The body contains a text.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) -> &Self {
        let Self { line, body, .. } = self;
        assert!(body.contains(text), "{line} does not show {text:?}\n{body}");
        self
    }

    /// The body does not contain a text.
    #[track_caller]
    pub(crate) fn hides(&self, text: &str) -> &Self {
        let Self { line, body, .. } = self;
        assert!(!body.contains(text), "{line} shows {text:?}\n{body}");
        self
    }

    /// The only `Set-Cookie` header, but for that of the device: the cookie and its attributes, sorted.
    #[track_caller]
    pub(crate) fn set_cookie(&self) -> (String, Vec<String>) {
        self.only_cookie(false)
    }

    /// The `Set-Cookie` header of the device: the cookie and its attributes, sorted.
    #[track_caller]
    pub(crate) fn device_cookie(&self) -> (String, Vec<String>) {
        self.only_cookie(true)
    }

    #[track_caller]
    fn only_cookie(&self, of_device: bool) -> (String, Vec<String>) {
        let cookies = self.headers.get_all(SET_COOKIE).map(|cookie| cookie.to_str().unwrap());
        let cookies: Vec<&str> =
            cookies.filter(|cookie| cookie.contains("-device=") == of_device).collect();
        assert_eq!(cookies.len(), 1, "cookies of {}: {cookies:?}", self.line);
        let mut parts = cookies[0].split("; ").map(str::to_owned);
        let cookie = parts.next().unwrap();
        let mut attributes: Vec<String> = parts.collect();
        attributes.sort();
        (cookie, attributes)
    }

    /// The value of an input field in the body.
    #[track_caller]
    pub(crate) fn input(&self, id: &str) -> String {
        let Self { line, body, .. } = self;
        let start = format!("<input id=\"{id}\" ");
        let input = body.split_once(&start).and_then(|(_, rest)| rest.split_once('>'));
        let value = input.and_then(|(input, _)| input.split_once("value=\""));
        let Some((_, rest)) = value else { panic!("{line} has no input {id:?}\n{body}") };
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    pub(crate) fn header_text(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
