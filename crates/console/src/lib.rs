//! The console: pages for administrators, rendered by the server.
//!
//! It must never know SQL, argon2 or the wire format of SCIM. A page is a function from a [`Desk`], which
//! is one request of somebody who may make it, to an [`Answer`]; it runs where waiting is allowed, over
//! the same services as the protocol. Everything works without JavaScript, which only adds comfort.
//!
//! Start with [`routes`], then `gate.rs`, which decides who gets to a page.
//!
//! [`Desk`]: crate::desk::Desk
//! [`Answer`]: crate::answer::Answer

mod answer;
mod assets;
mod desk;
mod format;
mod gate;
mod guides;
mod pages;
mod state;
mod visit;

use actix_web::web::{self, Data, ServiceConfig};
use headcount_token_admin::accounts::Role;

use crate::gate::{Door, get, post};

pub use state::{Console, Parts};

/// The path under which the console stands.
pub const PATH: &str = "/console";

/// Adds the console to an application that has the routes of `headcount-http-api`.
pub fn routes(console: Data<Console>) -> impl FnOnce(&mut ServiceConfig) {
    use pages::{
        account, audit, connect, explain, log, login, overview, resources, settings, setup, tokens,
    };
    move |config| {
        let read = |path: &str, page| {
            web::resource(path).route(get(&console, Door::Session(Role::Auditor), page))
        };
        let form = |path: &str, show, role, act| {
            web::resource(path)
                .route(get(&console, Door::Session(Role::Auditor), show))
                .route(post(&console, Door::Session(role), act))
        };
        let act = |path: &str, role, act| {
            web::resource(path).route(post(&console, Door::Session(role), act))
        };
        let open = |path: &str, show, act| {
            web::resource(path).route(get(&console, Door::Open, show)).route(post(
                &console,
                Door::Open,
                act,
            ))
        };
        config.service(
            web::scope(PATH)
                .service(web::resource("/assets/{file}").route(web::get().to(assets::serve)))
                .service(open("/login", login::show, login::log_in))
                .service(open("/setup/{link}", setup::show, setup::redeem))
                .service(act("/logout", Role::Auditor, login::log_out))
                .service(read("", overview::show))
                .service(form("/connect", connect::show, Role::Admin, connect::create))
                .service(read("/connect/heard", connect::heard))
                .service(form("/tokens", tokens::list, Role::Admin, tokens::create))
                .service(act("/tokens/file", Role::Admin, tokens::file))
                .service(form("/tokens/{id}", tokens::show, Role::Admin, tokens::change))
                .service(form(
                    "/resources/{endpoint}",
                    resources::list,
                    Role::Admin,
                    resources::export,
                ))
                .service(read("/resources/{endpoint}/{id}", resources::show))
                .service(read("/log", log::list))
                .service(read("/log/tail", log::tail))
                .service(read("/log/{seq}", log::show))
                .service(read("/explain", explain::show))
                .service(read("/audit", audit::list))
                .service(form("/account", account::show, Role::Auditor, account::change))
                .service(form("/settings", settings::show, Role::Admin, settings::change))
                .default_service(gate::lost(&console)),
        );
    }
}
