//! Authentication: from the `Authorization` header to a caller. The permission that a handler needs is
//! part of its signature, so that no handler gets a caller without one.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use headcount_core::change::Actor;
use headcount_core::ids::{RequestId, TokenId};
use headcount_core::schema::{Membership, ResourceType};
use headcount_core::service::Caller;
use headcount_core::work::Work;
use headcount_records::{AddressBlock, holds_token};
use headcount_token_admin::{PresentedToken, Scopes, VerifiedToken as Proven};

use crate::api::Api;
use crate::client;
use crate::deadline::Stopwatch;
use crate::error::{ApiError, Cause};
use crate::identity::TokenIdentity;
use crate::lanes::Lane;

/// The longest `Authorization` header that is read, in bytes.
const MAX_HEADER_BYTES: usize = 4 * 1024;

/// The permission that a handler needs.
pub(crate) trait Permission: Send + 'static {
    /// The lane of such requests, unless the handler chooses another one.
    const LANE: Lane = Lane::Point;

    /// Returns the scopes that a request about a resource type needs.
    fn required_scopes(kind: Option<&ResourceType>) -> Scopes;
}

/// Reading, `.search` included.
pub(crate) struct Read;

impl Permission for Read {
    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::SCIM_READ
    }
}

/// Creating, changing and deleting.
pub(crate) struct Provision;

impl Permission for Provision {
    const LANE: Lane = Lane::Write;

    fn required_scopes(kind: Option<&ResourceType>) -> Scopes {
        match kind {
            Some(kind) if kind.membership == Membership::Members => Scopes::GROUPS_WRITE,
            Some(_) => Scopes::USERS_WRITE,
            None => Scopes::default(),
        }
    }
}

/// Any accepted token: for responses that contain nothing of the tenant.
pub(crate) struct AnyToken;

impl Permission for AnyToken {
    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::default()
    }
}

/// A well-formed bearer token, with what is known of its request.
pub(crate) struct Bearer {
    pub(crate) presented: Arc<PresentedToken>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) agent: Option<String>,
    pub(crate) request: RequestId,
    /// The time that the request has taken.
    pub(crate) stopwatch: Stopwatch,
    /// Why it was refused when the body was read, which is before the handler runs.
    refusal: Mutex<Option<ApiError>>,
}

/// A well-formed bearer token for a handler that needs the permission `P`.
///
/// Only the form is checked here. [`crate::blocking`] proves the token together with the work, or
/// [`crate::body`] before it reads a large body.
pub(crate) struct Authenticated<P> {
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) lane: Lane,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Authenticated<P> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let Some(api) = request.app_data::<Data<Api>>() else {
            return ready(Err(Cause::Internal.into()));
        };
        let bearer = Bearer::from_head(request, api).map(Arc::new).map_err(|cause| {
            let block = AddressBlock::of(client::address(request, &api.settings));
            let request = request.extensions().get::<RequestId>().cloned();
            ApiError { request, ..limit_failures(api, &block, cause.into()) }
        });
        ready(bearer.map(|bearer| {
            // For the extractor of the body, which may have to prove it.
            request.extensions_mut().insert(Arc::clone(&bearer));
            Self { bearer, lane: P::LANE, permission: PhantomData }
        }))
    }
}

/// Returns the id of the token that a request presents, proven or not: for the log alone.
pub(crate) fn presented_token(headers: &header::HeaderMap) -> Option<TokenId> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, token) = text.trim().split_once(' ')?;
    PresentedToken::parse(token.trim()).map(|presented| presented.id().clone())
}

/// Returns whether a request has credentials that are not a token of this server's form: for the log alone.
pub(crate) fn is_malformed(headers: &header::HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION) && presented_token(headers).is_none()
}

/// Counts a bad token against its address, and returns 429 instead when there were too many.
fn limit_failures(api: &Api, block: &AddressBlock, error: ApiError) -> ApiError {
    if matches!(error.cause, Cause::BadToken(_)) && !api.may_fail(block) {
        return Cause::TooManyFailures.into();
    }
    error
}

impl Bearer {
    fn from_head(request: &HttpRequest, api: &Api) -> Result<Self, Cause> {
        let mut headers = request.headers().get_all(header::AUTHORIZATION);
        let value = headers.next().ok_or(Cause::NoToken)?;
        if headers.next().is_some() {
            return Err(Cause::AmbiguousToken);
        }
        let text = value
            .to_str()
            .ok()
            .filter(|text| text.len() <= MAX_HEADER_BYTES)
            .ok_or(Cause::BadToken(None))?;
        // RFC 9110 §11.1: the scheme is case-insensitive, one or more spaces follow it.
        let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Cause::NoToken);
        }
        let presented = PresentedToken::parse(token.trim()).ok_or(Cause::BadToken(None))?;
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            presented: Arc::new(presented),
            address: client::address(request, &api.settings),
            agent: agent
                .filter(|agent| !agent.is_empty() && !holds_token(agent))
                .map(str::to_owned),
            request: request.extensions().get::<RequestId>().cloned().ok_or(Cause::Internal)?,
            stopwatch: Stopwatch::start(),
            refusal: Mutex::default(),
        })
    }

    /// Returns the addresses that failures of the token are counted against.
    pub(crate) fn block(&self) -> AddressBlock {
        AddressBlock::of(self.address)
    }

    /// Keeps the refusal of the token for the handler, which responds with it.
    pub(crate) fn refuse(&self, error: ApiError) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Takes the refusal of the token, if there is one.
    pub(crate) fn take_refusal(&self) -> Option<ApiError> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Proves the token. Runs on a thread that may wait.
    pub(crate) fn accept(&self, api: &Api) -> Result<Proven, ApiError> {
        api.tokens
            .verify(&self.presented)
            .map_err(|error| limit_failures(api, &self.block(), ApiError::from(error)))
    }
}

impl<P> Authenticated<P> {
    /// Copies itself for a request that proves its token several times. Its time begins again.
    pub(crate) fn again(&self) -> Self {
        let bearer = Bearer {
            presented: Arc::clone(&self.bearer.presented),
            address: self.bearer.address,
            agent: self.bearer.agent.clone(),
            request: self.bearer.request.clone(),
            stopwatch: Stopwatch::start(),
            refusal: Mutex::default(),
        };
        Self { bearer: Arc::new(bearer), lane: self.lane, permission: PhantomData }
    }

    /// Chooses a lane other than that of the permission.
    #[must_use]
    pub(crate) fn on(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }
}

impl<P: Permission> Authenticated<P> {
    /// Proves the token, then checks its networks and scopes. Runs on a thread that may wait.
    pub(crate) fn caller(
        &self,
        api: &Api,
        kind: Option<&ResourceType>,
        work: Work,
    ) -> Result<(Caller, Arc<TokenIdentity>), ApiError> {
        let bearer = &self.bearer;
        let accepted = bearer.accept(api)?;
        let token = accepted.token;
        let identity = Arc::new(TokenIdentity {
            id: token.id.clone(),
            name: token.name.clone(),
            tenant: token.tenant,
            scopes: token.scopes,
            cidrs: token.cidrs.clone(),
            expires: token.expires,
        });
        // The address first: a client that may not use the token here learns nothing about its scopes.
        let address = bearer.address.map(|address| address.to_canonical());
        let needed = P::required_scopes(kind);
        let refusal = if !identity.allows_address(address.as_ref()) {
            Some(Cause::Network)
        } else if !identity.scopes.allow(needed) {
            Some(Cause::Scope(needed))
        } else {
            None
        };
        if let Some(cause) = refusal {
            return Err(ApiError { token: Some(identity), ..cause.into() });
        }
        api.tokens.record_use(&token, bearer.address, bearer.agent.as_deref());
        let caller = Caller {
            tenant: token.tenant,
            actor: Actor::Token(token.id),
            user: token.user,
            quirks: accepted.quirks,
            request: bearer.request.clone(),
            work,
        };
        Ok((caller, identity))
    }
}
