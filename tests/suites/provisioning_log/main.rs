//! The provisioning log: every request is recorded, no secret is, and no request waits for it.

mod floods;
mod readers;
mod records;
mod retention;
mod support;
