//! A server in this process, clients of it, and responses that report which part differs.

use std::cell::Cell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{Service as _, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::HeaderMap;
use actix_web::middleware::{NormalizePath, TrailingSlash, from_fn};
use actix_web::test::{TestRequest, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, Error};
use bytes::Bytes;
use headcount_core::ids::{TenantId, TokenId};
use headcount_core::memory::MemoryProvider;
use headcount_core::quirks::Quirks;
use headcount_http_api::{
    ADMIN_PATH, Administration, Api, BASE_PATH, HttpSettings, observe, routes,
};
use headcount_records::memory::MemoryLog;
use headcount_token_admin::memory::MemoryTokens;
use headcount_token_admin::{Expiry, NewToken, Policy, Scopes, TenantChange, Tenants, Tokens};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::parts::{Counter, operator, service};
use crate::stores::{LogOf, MemoryTrail};

type Call = Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>>;

/// A server over stores in memory. Its tenants are `default` (1) and `second` (2).
pub(crate) struct TestApi {
    api: Data<Api>,
    pub(crate) log: Arc<MemoryLog>,
    call: Rc<dyn Fn(Request) -> Call>,
    names: Cell<u32>,
}

impl TestApi {
    pub(crate) async fn new() -> Self {
        Self::with(HttpSettings::default()).await
    }

    pub(crate) async fn with(settings: HttpSettings) -> Self {
        let counter = Arc::new(Counter::default());
        let memory = Arc::new(MemoryTokens::default());
        let provider = Arc::new(MemoryProvider::default());
        let log = Arc::new(MemoryLog::default());
        let tenants = Tenants::new(memory.clone(), Arc::new(LogOf(log.clone())), counter.clone());
        tenants.create(&operator(), "second", Quirks::ALL).unwrap();
        let change = TenantChange { enabled: None, quirks: Some(Quirks::ALL) };
        tenants.change(&operator(), "default", change).unwrap();
        let tokens = Arc::new(Tokens::new(memory, counter.clone(), Policy::default()));
        let service = service(provider.clone(), counter.clone(), counter.clone());
        let trail = Arc::new(MemoryTrail(provider.clone()));
        let administration = Administration::new(provider, trail, log.clone(), Arc::new(tenants));
        let mut api = Api::new(service, tokens, counter, settings);
        api.administration = Some(administration);
        let api = Data::new(api);
        // The order of the server.
        let app = App::new()
            .wrap(NormalizePath::new(TrailingSlash::Trim))
            .wrap(from_fn(observe))
            .configure(routes(Data::clone(&api)));
        let app = Rc::new(init_service(app).await);
        let call = Rc::new(move |request| {
            let app = Rc::clone(&app);
            let call: Call = Box::pin(async move { app.call(request).await });
            call
        });
        Self { api, log, call, names: Cell::new(0) }
    }

    /// A client of SCIM with a token of the default tenant that an identity provider would have.
    pub(crate) fn scim(&self) -> Client<'_> {
        self.client(BASE_PATH, Scopes::PROVISIONING)
    }

    /// A client of SCIM with other scopes.
    pub(crate) fn scim_with(&self, scopes: Scopes) -> Client<'_> {
        self.client(BASE_PATH, scopes)
    }

    /// A client of SCIM with a token of the tenant `second`.
    pub(crate) fn scim_of_second(&self) -> Client<'_> {
        self.with_token(BASE_PATH, 2, Scopes::PROVISIONING, &[])
    }

    /// A client of SCIM whose token may be used from one network.
    pub(crate) fn scim_within(&self, network: &str) -> Client<'_> {
        self.with_token(BASE_PATH, 1, Scopes::PROVISIONING, &[network])
    }

    /// A client of SCIM without a token.
    pub(crate) fn stranger(&self) -> Client<'_> {
        Client { api: self, base: BASE_PATH, bearer: None, token: None }
    }

    /// A client of the admin API with the scopes of an administrator of the default tenant.
    pub(crate) fn admin(&self) -> Client<'_> {
        self.client(ADMIN_PATH, Scopes::ADMINISTRATION)
    }

    /// A client of the admin API with other scopes.
    pub(crate) fn admin_with(&self, scopes: Scopes) -> Client<'_> {
        self.client(ADMIN_PATH, scopes)
    }

    /// A client of the admin API with all scopes, and thus of every tenant.
    pub(crate) fn root(&self) -> Client<'_> {
        self.client(ADMIN_PATH, Scopes::ADMINISTRATION.with(Scopes::TENANTS_ALL))
    }

    /// Revokes the token of a client.
    pub(crate) fn revoke(&self, client: &Client<'_>) {
        let token = client.token.as_ref().unwrap();
        self.api.tokens.revoke(&operator(), None, token).unwrap();
    }

    fn client(&self, base: &'static str, scopes: Scopes) -> Client<'_> {
        self.with_token(base, 1, scopes, &[])
    }

    fn with_token(
        &self,
        base: &'static str,
        tenant: i64,
        scopes: Scopes,
        networks: &[&str],
    ) -> Client<'_> {
        self.names.set(self.names.get() + 1);
        let new = NewToken {
            name: format!("token {}", self.names.get()),
            scopes,
            expiry: Expiry::Default,
            cidrs: networks.iter().map(|network| network.parse().unwrap()).collect(),
            user: None,
        };
        let issued = self.api.tokens.issue(&operator(), TenantId::new(tenant), new).unwrap();
        Client {
            api: self,
            base,
            bearer: Some(issued.secret.expose_secret().to_owned()),
            token: Some(issued.token.id),
        }
    }
}

/// Someone who sends requests.
pub(crate) struct Client<'a> {
    api: &'a TestApi,
    base: &'static str,
    bearer: Option<String>,
    token: Option<TokenId>,
}

impl<'a> Client<'a> {
    /// The same client with another token.
    pub(crate) fn with_bearer(&self, bearer: &str) -> Client<'a> {
        Client { bearer: Some(bearer.to_owned()), token: None, ..*self }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Response {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Response {
        self.send_json(Method::POST, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Response {
        self.send_json(Method::PUT, path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Response {
        self.send_json(Method::PATCH, path, body).await
    }

    async fn send_json(&self, method: Method, path: &str, body: Value) -> Response {
        self.send(self.request(method, path).set_payload(body.to_string())).await
    }

    /// Begins a request below the base path, with the client's token.
    pub(crate) fn request(&self, method: Method, path: &str) -> TestRequest {
        let request = TestRequest::with_uri(&format!("{}{path}", self.base))
            .method(method)
            .peer_addr(SocketAddr::from(([192, 0, 2, 1], 5000)));
        match &self.bearer {
            Some(bearer) => request.insert_header(("Authorization", format!("Bearer {bearer}"))),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: TestRequest) -> Response {
        let response = (self.api.call)(request.to_request()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Response { status, headers, body: read_body(response).await }
    }

    /// Sends a request whose response does not end, and returns its head.
    pub(crate) async fn open(&self, request: TestRequest) -> Response {
        let response = (self.api.call)(request.to_request()).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Response { status, headers, body: Bytes::new() }
    }

    /// Creates a user and returns its id.
    pub(crate) async fn create_user(&self, name: &str) -> String {
        let response = self.post("/Users", serde_json::json!({"userName": name})).await;
        response.status(201).text("/id")
    }
}

/// A response. Each check names the part that differs, and shows the body.
#[derive(Debug)]
pub(crate) struct Response {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    #[track_caller]
    pub(crate) fn status(&self, expected: u16) -> &Self {
        assert_eq!(self.status, expected, "status, with the body {}", self.shown());
        self
    }

    /// Checks the error of SCIM: status and `scimType`, which is empty where there is none.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, scim_type: &str) -> &Self {
        self.status(status).header("content-type", "application/scim+json");
        let found =
            self.json().get("scimType").and_then(Value::as_str).unwrap_or_default().to_owned();
        assert_eq!(found, scim_type, "scimType in {}", self.shown());
        self.at("/schemas/0", "urn:ietf:params:scim:api:messages:2.0:Error")
    }

    /// Checks the problem of the admin API: status and type, without its prefix.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> &Self {
        self.status(status).header("content-type", "application/problem+json");
        self.at("/type", format!("urn:headcount:problem:{kind}")).at("/status", status)
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str, expected: &str) -> &Self {
        assert_eq!(self.header_text(name).as_deref(), Some(expected), "header {name}");
        self
    }

    #[track_caller]
    pub(crate) fn no_header(&self, name: &str) -> &Self {
        assert_eq!(self.header_text(name), None, "header {name}");
        self
    }

    /// Checks the value at a JSON pointer.
    #[track_caller]
    pub(crate) fn at(&self, pointer: &str, expected: impl Into<Value>) -> &Self {
        let json = self.json();
        assert_eq!(json.pointer(pointer), Some(&expected.into()), "{pointer} in {}", self.shown());
        self
    }

    /// Checks that there is no value at a JSON pointer.
    #[track_caller]
    pub(crate) fn absent(&self, pointer: &str) -> &Self {
        assert_eq!(self.json().pointer(pointer), None, "{pointer} in {}", self.shown());
        self
    }

    /// Checks that the text at a JSON pointer has a part.
    #[track_caller]
    pub(crate) fn contains(&self, pointer: &str, part: &str) -> &Self {
        let text = self.text(pointer);
        assert!(text.contains(part), "{pointer} is {text:?}, without {part:?}");
        self
    }

    #[track_caller]
    pub(crate) fn empty(&self) -> &Self {
        assert!(self.body.is_empty(), "body is {}", self.shown());
        self
    }

    /// Returns the text at a JSON pointer.
    #[track_caller]
    pub(crate) fn text(&self, pointer: &str) -> String {
        let json = self.json();
        let text = json.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no text at {pointer} in {}", self.shown())).to_owned()
    }

    pub(crate) fn header_text(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the body {}", self.shown()))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
