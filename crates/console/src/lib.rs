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

use crate::gate::Effort::{Page, Scan, Search, Write};
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
        let auditor = Door::Session(Role::Auditor);
        let read = |path: &str, effort, page| {
            web::resource(path).route(get(&console, auditor, effort, page))
        };
        let form = |path: &str, show, role, act| {
            web::resource(path).route(get(&console, auditor, Page, show)).route(post(
                &console,
                Door::Session(role),
                Write,
                act,
            ))
        };
        let act = |path: &str, role, act| {
            web::resource(path).route(post(&console, Door::Session(role), Write, act))
        };
        let open = |path: &str, show, act| {
            let show = get(&console, Door::Open, Page, show);
            web::resource(path).route(show).route(post(&console, Door::Open, Write, act))
        };
        let resources = web::resource("/resources/{endpoint}")
            .route(get(&console, auditor, Search, resources::list))
            .route(post(&console, Door::Session(Role::Admin), Scan, resources::export));
        config.service(
            web::scope(PATH)
                .service(web::resource("/assets/{file}").route(web::get().to(assets::serve)))
                .service(open("/login", login::show, login::log_in))
                .service(open("/setup/{link}", setup::show, setup::redeem))
                .service(act("/logout", Role::Auditor, login::log_out))
                .service(read("", Scan, overview::show))
                .service(form("/connect", connect::show, Role::Admin, connect::create))
                .service(read("/connect/heard", Page, connect::heard))
                .service(form("/tokens", tokens::list, Role::Admin, tokens::create))
                .service(act("/tokens/file", Role::Admin, tokens::file))
                .service(form("/tokens/{id}", tokens::show, Role::Admin, tokens::change))
                .service(resources)
                // A resource is shown with its history.
                .service(read("/resources/{endpoint}/{id}", Scan, resources::show))
                .service(read("/log", Scan, log::list))
                .service(read("/log/tail", Scan, log::tail))
                .service(read("/log/{seq}", Page, log::show))
                .service(read("/explain", Scan, explain::show))
                .service(read("/audit", Page, audit::list))
                .service(form("/account", account::show, Role::Auditor, account::change))
                .service(form("/settings", settings::show, Role::Admin, settings::change))
                .default_service(gate::lost(&console)),
        );
    }
}
