//! What happened: one record per change, written in the transaction of the change; one per request,
//! written beside it.

pub mod activity;
pub mod advice;
pub mod chain;
mod digest;
pub mod events;
pub mod feed;
mod redact;
mod request;
pub mod set;
mod story;
pub mod trail;
pub mod verify;
mod words;

pub use digest::{Digester, Exchange, Operated};
pub use request::{LogQuery, Logged, QuirkCount, RequestLog, RequestRecord, Retention};
pub use story::{Entry, Present, Story, Storyteller, Verdict};
pub use words::{moment, unkept};

pub use crate::change::{
    Act, Actor, Author, Change, ChangeFeed, Left, Names, Recorded, Switched, TENANT_KIND,
    TOKEN_KIND,
};
