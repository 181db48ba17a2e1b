//! The records of Headcount: changes and requests, and what is derived from them.
//!
//! From the changes that a provider records come the [`chain`] that shows tampering and its
//! verification ([`verify`]), the list that administrators read ([`audit_list`]), counts ([`activity`])
//! and the [`events`] of the [`feed`], also as Security Event Tokens. From the requests comes the
//! provisioning log: [`Recorder`] writes it next to the requests, with [`mod@advice`] for those that
//! failed. [`timeline`] puts both together for one identity.
//!
//! It must never know HTTP, SQL or who administers. Start with [`events`], then [`request_log`].

pub mod activity;
mod address;
pub mod advice;
pub mod audit_list;
pub mod chain;
pub mod describe;
mod event_body;
pub mod events;
pub mod feed;
pub mod mac;
mod masked_url;
pub mod memory;
mod notifier;
mod record_body;
mod recorder;
pub mod request_log;
pub mod security_event_token;
pub mod timeline;
mod traces;
pub mod verify;

pub use address::AddressBlock;
pub use event_body::{ActorBody, EventBody, EventStyle, EventWriter, Subject};
pub use masked_url::MaskedUrl;
pub use notifier::EventNotifier;
pub use record_body::{ChangeBody, EntryBody, PresentBody, RecordBody, TimelineBody};
pub use recorder::{Directory, Keep, Recorder};
pub use request_log::{
    HttpExchange, LogQuery, LogScope, Logged, Operated, QuirkCount, RecordBuilder, RequestLog,
    RequestRecord, Retention, holds_token,
};
pub use traces::{LogTexts, Traces};
