//! The console: pages for administrators, rendered by the server.
//!
//! It must never know SQL, argon2 or the wire format of SCIM. A page is a function from a `PageContext`,
//! which is one authorized request, to a `PageResponse`; it runs where waiting is allowed, over the same
//! services as the protocol. Everything works without JavaScript, which only adds comfort.
//!
//! Start with [`routes`], then `guard.rs`, which decides who gets to a page.

mod assets;
mod context;
mod error;
mod format;
mod guard;
mod guides;
mod pages;
mod request;
mod response;
mod state;

use actix_web::Resource;
use actix_web::web::{self, Data, ServiceConfig};
use headcount_token_admin::accounts::Role;

use crate::guard::Effort::{Lookup, Scan, Search, Write};
use crate::guard::{Access, Effort, Handler, get, not_found, post};

pub use state::Console;

/// The path of the console.
pub const PATH: &str = "/console";

const AUDITOR: Access = Access::Role(Role::Auditor);
const ADMIN: Access = Access::Role(Role::Admin);

/// Adds the console to an application that has the routes of `headcount-http-api`.
pub fn routes(console: Data<Console>) -> impl FnOnce(&mut ServiceConfig) {
    use pages::{
        account, audit, connect, explain, log, login, overview, resources, settings, setup, tokens,
    };
    move |config| {
        let routes = Routes(console);
        config.service(
            web::scope(PATH)
                .service(web::resource("/assets/{file}").route(web::get().to(assets::serve)))
                .service(routes.public("/login", login::show, login::log_in))
                .service(routes.public("/setup/{link}", setup::show, setup::redeem))
                .service(routes.act("/logout", AUDITOR, login::log_out))
                .service(routes.read("", Scan, overview::show))
                .service(routes.form("/connect", connect::show, ADMIN, connect::create))
                .service(routes.read("/connect/heard", Lookup, connect::status))
                .service(routes.form("/tokens", tokens::list, ADMIN, tokens::create))
                .service(routes.act("/tokens/file", ADMIN, tokens::download))
                .service(routes.read("/tokens/{id}/secret", Lookup, tokens::reveal))
                .service(routes.form("/tokens/{id}", tokens::show, ADMIN, tokens::change))
                .service(routes.read("/resources/{endpoint}", Search, resources::list).route(post(
                    &routes.0,
                    ADMIN,
                    Scan,
                    resources::export,
                )))
                // A resource is shown with its history.
                .service(routes.read("/resources/{endpoint}/{id}", Scan, resources::show))
                .service(routes.read("/log", Scan, log::list))
                .service(routes.read("/log/tail", Scan, log::tail))
                .service(routes.read("/log/{seq}", Lookup, log::show))
                .service(routes.read("/explain", Scan, explain::show))
                .service(routes.read("/audit", Lookup, audit::list))
                .service(routes.form("/account", account::show, AUDITOR, account::change))
                .service(routes.form("/settings", settings::show, ADMIN, settings::change))
                .default_service(not_found(&routes.0)),
        );
    }
}

/// Makes the routes of one console.
struct Routes(Data<Console>);

impl Routes {
    /// Returns a page that every role may read.
    fn read(&self, path: &str, effort: Effort, show: Handler) -> Resource {
        web::resource(path).route(get(&self.0, AUDITOR, effort, show))
    }

    /// Returns a page that every role may read, with a form.
    fn form(&self, path: &str, show: Handler, access: Access, act: Handler) -> Resource {
        self.read(path, Lookup, show).route(post(&self.0, access, Write, act))
    }

    /// Returns a form of another page.
    fn act(&self, path: &str, access: Access, act: Handler) -> Resource {
        web::resource(path).route(post(&self.0, access, Write, act))
    }

    /// Returns a page with a form for visitors without a session.
    fn public(&self, path: &str, show: Handler, act: Handler) -> Resource {
        web::resource(path).route(get(&self.0, Access::Public, Lookup, show)).route(post(
            &self.0,
            Access::Public,
            Write,
            act,
        ))
    }
}
