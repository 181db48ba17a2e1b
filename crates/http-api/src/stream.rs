//! Bodies with large groups: members are read in batches, while earlier ones are being sent.
//!
//! No database connection is held while a slow client reads, and memory does not grow with the group. An error
//! after the first batch closes the connection, since the status is already sent.

use std::sync::Arc;

use actix_web::web::Data;
use bytes::Bytes;
use futures_util::{Stream, stream};
use headcount_core::error::Error;
use headcount_core::ids::{Kind, TenantId};
use headcount_core::message::ListHead;
use headcount_core::provider::{Found, Key};
use headcount_core::resource::{Projection, Reply};
use headcount_core::schema::ResourceType;

use crate::api::Api;
use crate::blocking;
use crate::error::ApiError;
use crate::gzip::Gzip;
use crate::lanes::Owner;
use crate::target::Form;

/// Members that are read at a time.
const MEMBERS_BATCH: usize = 2_000;

/// The body of one resource or a list of them, written part by part.
pub(crate) struct MemberStream {
    api: Data<Api>,
    writer: BodyWriter,
}

/// Writes one resource or a list of them, and remembers its position.
pub(crate) struct BodyWriter {
    pub(crate) tenant: TenantId,
    /// The kinds of the resources, and what to show of each.
    pub(crate) shapes: Vec<(Arc<ResourceType>, Projection)>,
    pub(crate) form: Form,
    /// The head of a list; absent for a single resource.
    pub(crate) head: Option<ListHead>,
    pub(crate) resources: std::vec::IntoIter<Found>,
    started: bool,
    /// Whether the next resource is the first.
    first: bool,
    /// The group that is being written, and the key before its next members.
    open: Option<(Found, Key)>,
    finished: bool,
    /// The compressor of a stream.
    gzip: Option<Gzip>,
}

impl BodyWriter {
    pub(crate) fn new(
        tenant: TenantId,
        shapes: Vec<(Arc<ResourceType>, Projection)>,
        form: Form,
        head: Option<ListHead>,
        resources: Vec<Found>,
    ) -> Self {
        let resources = resources.into_iter();
        Self {
            tenant,
            shapes,
            form,
            head,
            resources,
            started: false,
            first: true,
            open: None,
            finished: false,
            gzip: None,
        }
    }

    /// Returns the renderer of a kind.
    fn reply<'a>(&'a self, api: &'a Api, kind: &Kind) -> Result<Reply<'a>, Error> {
        let shape = self.shapes.iter().find(|(known, _)| known.kind == *kind);
        let (kind, projection) = shape
            .ok_or_else(|| Error::internal("a page contains only kinds that were asked for"))?;
        Ok(Reply { registry: &api.service.registry, kind, projection, base: &self.form.base })
    }

    /// Appends what can be written without reading more members. Returns whether the body is complete.
    pub(crate) fn advance(&mut self, api: &Api, out: &mut Vec<u8>) -> Result<bool, Error> {
        if !std::mem::replace(&mut self.started, true)
            && let Some(head) = &self.head
        {
            head.open(out);
        }
        if let Some((mut found, key)) = self.open.take() {
            let members = api.service.provider.members(
                self.tenant,
                &found.resource.id,
                Some(&key),
                MEMBERS_BATCH,
            )?;
            let reply = self.reply(api, &found.resource.kind)?;
            let (kind, projection) = (reply.kind, reply.projection);
            let names =
                api.service.member_names(self.tenant, kind, projection, &members.members)?;
            if found.computed.members.is_empty() {
                reply.write_members(out, &members.members, names.as_ref());
            } else {
                reply.write_more_members(out, &members.members, names.as_ref());
            }
            // The next batch only needs to know whether it is the first.
            found.computed.members = members.members;
            if let Some(next) = members.next {
                self.open = Some((found, next));
                return Ok(false);
            }
            reply.close(out, &found.resource);
        }
        while let Some(mut found) = self.resources.next() {
            if !std::mem::replace(&mut self.first, false) {
                out.push(b',');
            }
            let reply = self.reply(api, &found.resource.kind)?;
            reply.open(out, &found.resource, &found.computed)?;
            if let Some(next) = found.computed.more_members.take() {
                self.open = Some((found, next));
                return Ok(false);
            }
            reply.close(out, &found.resource);
        }
        if self.head.is_some() {
            ListHead::close(out);
        }
        self.finished = true;
        Ok(true)
    }

    /// Compresses a part, where the client wants it.
    fn compress(&mut self, part: Vec<u8>) -> Result<Vec<u8>, Error> {
        let packed = match self.gzip.take() {
            None => return Ok(part),
            Some(gzip) if self.finished => gzip.end(&part),
            Some(mut gzip) => {
                let packed = gzip.part(&part);
                self.gzip = Some(gzip);
                packed
            }
        };
        packed.map_err(|_error| Error::internal("writing to memory does not fail"))
    }
}

impl MemberStream {
    pub(crate) fn new(api: Data<Api>, mut writer: BodyWriter) -> Self {
        writer.gzip = writer.form.gzip.then(Gzip::new);
        Self { api, writer }
    }

    /// Returns whether the body is compressed.
    pub(crate) fn is_compressed(&self) -> bool {
        self.writer.gzip.is_some()
    }

    /// Returns the parts of the body.
    pub(crate) fn into_chunks(self) -> impl Stream<Item = Result<Bytes, ApiError>> + 'static {
        let Self { api, writer } = self;
        stream::unfold(Some(writer), move |writer| {
            let api = Data::clone(&api);
            async move {
                let mut writer = writer.filter(|writer| !writer.finished)?;
                let inner = Data::clone(&api);
                let owner = Owner::stream(writer.tenant);
                let step = blocking::run_part(&api, owner, move || {
                    let mut out = Vec::with_capacity(64 * 1024);
                    let advanced = writer.advance(&inner, &mut out);
                    let packed = advanced.and_then(|_| writer.compress(out));
                    (writer, packed)
                });
                match step.await {
                    Ok((writer, Ok(out))) => Some((Ok(Bytes::from(out)), Some(writer))),
                    Ok((_, Err(error))) => Some((Err(error.into()), None)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        })
    }
}
