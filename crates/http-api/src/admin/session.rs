//! The caller of the admin API, and the tenant of a request.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};
use headcount_core::change::Author;
use headcount_core::ids::TenantId;
use headcount_core::schema::ResourceType;
use headcount_core::service::Caller;
use headcount_token_admin::format::Purpose;
use headcount_token_admin::{Holding, Principal, Scopes};

use super::answer::Answer;
use super::problem::Problem;
use crate::api::Api;
use crate::auth::{Authenticated, Permission};
use crate::blocking;
use crate::error::{ApiError, Cause, Fault};
use crate::identity::TokenIdentity;
use crate::lanes::Lane;

/// Reading events.
pub(super) struct ReadEvents;

impl Permission for ReadEvents {
    const LANE: Lane = Lane::Page;

    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::EVENTS_READ
    }
}

/// Reading everything else.
pub(super) struct ReadAll;

impl Permission for ReadAll {
    const LANE: Lane = Lane::Page;

    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::ADMIN_READ
    }
}

/// Changing tokens and tenants.
pub(super) struct Manage;

impl Permission for Manage {
    const LANE: Lane = Lane::Write;

    fn required_scopes(_kind: Option<&ResourceType>) -> Scopes {
        Scopes::ADMIN_WRITE
    }
}

/// A well-formed token, as in SCIM. Errors are problems.
pub(super) struct AdminAuth<P>(pub(super) Authenticated<P>);

impl<P: Permission> FromRequest for AdminAuth<P> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let authenticated = Authenticated::from_request(request, payload).into_inner();
        ready(authenticated.map(Self).map_err(Problem))
    }
}

impl<P> AdminAuth<P> {
    /// Moves the request to the lane of reads without an index.
    pub(super) fn scanning(self) -> Self {
        Self(self.0.on(Lane::Scan))
    }
}

/// A request whose token is proven.
pub(super) struct Session<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) token: &'a Arc<TokenIdentity>,
    /// The caller, for the use cases of administration.
    pub(super) by: Principal,
}

impl Session<'_> {
    /// Refuses a token that lacks some of these scopes.
    pub(super) fn need(&self, scopes: Scopes) -> Result<(), ApiError> {
        if self.token.scopes.allow(scopes) { Ok(()) } else { Err(Cause::Scope(scopes).into()) }
    }

    /// Returns the tenant of the request: the token's own, or the one that it names.
    pub(super) fn tenant(&self, named: Option<&str>) -> Result<TenantId, ApiError> {
        match named {
            None => Ok(self.caller.tenant),
            Some(name) => Ok(self.api.administration()?.tenants.find(&self.by, name)?.id),
        }
    }
}

/// Makes the caller for the use cases of administration.
fn principal(caller: &Caller, token: &TokenIdentity) -> Principal {
    let author = Author { actor: caller.actor.clone(), request: caller.request.clone() };
    let holding = Holding {
        tenant: token.tenant,
        scopes: token.scopes,
        cidrs: token.cidrs.clone(),
        expires: token.expires,
    };
    Principal::token(author, holding)
}

/// Proves the caller's token and carries out a request on a thread that may wait.
pub(super) async fn run<P: Permission, T: Send + 'static>(
    api: &Data<Api>,
    auth: AdminAuth<P>,
    job: impl FnOnce(&Session<'_>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Problem> {
    // The prefix of an accepted token shows its purpose.
    let purpose = auth.0.bearer.presented.purpose();
    blocking::run(api, auth.0, None, move |api, caller, token| {
        if purpose != Purpose::Administration {
            return Err(Fault::Purpose.into());
        }
        job(&Session { api, caller, token, by: principal(caller, token) })
    })
    .await
    .map_err(|error| match (&error.cause, purpose) {
        (Cause::Scope(_), Purpose::Provisioning) => {
            Problem(ApiError { cause: Cause::Admin(Fault::Purpose), ..error })
        }
        _ => Problem(error),
    })
}

/// As [`run`], for a reader that waits: its token is proven again each time, since it may be revoked.
pub(super) async fn run_again<P: Permission + Sync, T: Send + 'static>(
    api: &Data<Api>,
    auth: &Arc<AdminAuth<P>>,
    job: impl FnOnce(&Session<'_>) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, Problem> {
    run(api, AdminAuth(auth.0.again()), job).await
}

/// As [`run`], for a request that is answered at once.
pub(super) async fn respond<P: Permission>(
    api: &Data<Api>,
    auth: AdminAuth<P>,
    job: impl FnOnce(&Session<'_>) -> Result<Answer, ApiError> + Send + 'static,
) -> Result<Answer, Problem> {
    run(api, auth, |session| Ok(job(session)?.by(session.token))).await
}
