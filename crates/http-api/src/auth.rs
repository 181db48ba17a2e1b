//! Authentication: from the `Authorization` header to a caller. The permission that a handler needs
//! is part of its signature, so that no handler can reach a caller without one.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use headcount_core::change::Actor;
use headcount_core::ids::{RequestId, TokenId};
use headcount_core::schema::{Membership, ResourceType};
use headcount_core::service::Caller;
use headcount_core::work::Work;
use headcount_records::AddressBlock;
use headcount_token_admin::{Accepted as Proven, Presented, Scopes};

use crate::api::Api;
use crate::client;
use crate::deadline::Stopwatch;
use crate::error::{ApiError, Cause};
use crate::identity::TokenIdentity;
use crate::lanes::Lane;

/// The longest `Authorization` header that is looked at.
const LONGEST_HEADER: usize = 4 * 1024;

/// What a handler needs of the caller's token.
pub(crate) trait Permission: Send + 'static {
    /// The lane of requests with it, unless a handler knows better.
    const LANE: Lane = Lane::Point;

    /// Returns the scopes, given the kind of resource that the request is about.
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

/// Any token that is accepted: for answers that hold nothing of the tenant.
pub(crate) struct AnyToken;

impl Permission for AnyToken {
    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::default()
    }
}

/// A bearer token of the right shape, and how it came.
pub(crate) struct Bearer {
    pub(crate) presented: Arc<Presented>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) agent: Option<String>,
    pub(crate) request: RequestId,
    /// What the request has taken so far.
    pub(crate) stopwatch: Stopwatch,
    /// Why it was refused when the body asked, before the handler could.
    refusal: Mutex<Option<ApiError>>,
}

/// A bearer token of the right shape, and a handler that needs `P`.
///
/// Only the form is checked here; whether the token is accepted is found out in [`crate::blocking`],
/// together with the work, or by [`crate::body`] before a large body is read.
pub(crate) struct Authenticated<P> {
    pub(crate) bearer: Arc<Bearer>,
    pub(crate) lane: Lane,
    permission: PhantomData<P>,
}

impl<P: Permission> FromRequest for Authenticated<P> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let bearer = Bearer::from_head(request).map(Arc::new).map_err(|cause| {
            let request_id = request.extensions().get::<RequestId>().cloned();
            ApiError { request: request_id, ..refusal(request, cause) }
        });
        ready(bearer.map(|bearer| {
            // For the body, which may have to know whose it is.
            request.extensions_mut().insert(Arc::clone(&bearer));
            Self { bearer, lane: P::LANE, permission: PhantomData }
        }))
    }
}

/// The id of the token that a request presents, proven or not: for the log alone.
pub(crate) fn claimed(headers: &header::HeaderMap) -> Option<TokenId> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, token) = text.trim().split_once(' ')?;
    Presented::parse(token.trim()).map(|presented| presented.id().clone())
}

/// A wrong token counts against its address.
fn refusal(request: &HttpRequest, cause: Cause) -> ApiError {
    let api = request.app_data::<actix_web::web::Data<Api>>();
    let block = api.map(|api| AddressBlock::of(client::address(request, &api.settings)));
    match (api, block) {
        (Some(api), Some(block))
            if matches!(cause, Cause::BadToken(_)) && !api.may_fail(&block) =>
        {
            Cause::TooManyFailures.into()
        }
        _ => cause.into(),
    }
}

impl Bearer {
    fn from_head(request: &HttpRequest) -> Result<Self, Cause> {
        let mut headers = request.headers().get_all(header::AUTHORIZATION);
        let value = headers.next().ok_or(Cause::NoToken)?;
        if headers.next().is_some() {
            return Err(Cause::AmbiguousToken);
        }
        let text = value
            .to_str()
            .ok()
            .filter(|text| text.len() <= LONGEST_HEADER)
            .ok_or(Cause::BadToken(None))?;
        // RFC 9110 §11.1: the scheme is case-insensitive, one or more spaces follow it.
        let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Cause::NoToken);
        }
        let presented = Presented::parse(token.trim()).ok_or(Cause::BadToken(None))?;
        let api = request.app_data::<actix_web::web::Data<Api>>().ok_or(Cause::Internal)?;
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self {
            presented: Arc::new(presented),
            address: client::address(request, &api.settings),
            agent: agent.filter(|agent| !agent.is_empty()).map(str::to_owned),
            request: request.extensions().get::<RequestId>().cloned().ok_or(Cause::Internal)?,
            stopwatch: Stopwatch::start(),
            refusal: Mutex::default(),
        })
    }

    /// Returns what failures of the token are counted against.
    pub(crate) fn block(&self) -> AddressBlock {
        AddressBlock::of(self.address)
    }

    /// Keeps why the token was refused for the handler, which answers.
    pub(crate) fn refuse(&self, error: ApiError) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Takes why the token was refused.
    pub(crate) fn take_refusal(&self) -> Option<ApiError> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Proves the token. Runs where waiting is allowed.
    pub(crate) fn accept(&self, api: &Api) -> Result<Proven, ApiError> {
        api.tokens.verify(&self.presented).map_err(|error| {
            let error = ApiError::from(error);
            let wrong = matches!(error.cause, Cause::BadToken(_));
            match wrong && !api.may_fail(&self.block()) {
                true => Cause::TooManyFailures.into(),
                false => error,
            }
        })
    }
}

impl<P> Authenticated<P> {
    /// Returns the same once more, for a request that proves its token several times; its time begins anew.
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

    /// Names the lane of the request, where it is not that of the permission.
    #[must_use]
    pub(crate) fn on(self, lane: Lane) -> Self {
        Self { lane, ..self }
    }
}

impl<P: Permission> Authenticated<P> {
    /// Proves the token, then applies what it may be used for. Runs where waiting is allowed.
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
        // The address first: whoever may not use the token here learns nothing about its scopes.
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
        api.tokens.used(&token, bearer.address, bearer.agent.as_deref());
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
