//! Writes resources into the bytes of a reply.
//!
//! A reply that shows a whole resource never parses it: the stored text is split after its `schemas`, and
//! `id`, computed parts and `meta` are inserted.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::projection::{Extent, Projection};
use super::{Attributes, Resource, write_json};
use crate::error::Error;
use crate::ids::{Key, Kind, Urn};
use crate::members::{Member, MemberNames, MembershipEntry};
use crate::schema::{Attribute, Membership, Registry, ResourceType};

/// What a reply shows in addition to the stored text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Computed {
    /// The members of a group, or its first ones.
    pub members: Vec<Member>,
    /// The position of the other members, when there are more.
    pub more_members: Option<Key>,
    /// The names of the members, if the reply shows them.
    pub names: Option<Arc<MemberNames>>,
    /// The groups of a user.
    pub groups: Vec<MembershipEntry>,
}

/// Writes resources of one kind for one request.
pub struct Reply<'a> {
    /// All kinds, for the addresses of members.
    pub registry: &'a Registry,
    /// The kind.
    pub kind: &'a ResourceType,
    /// What to show.
    pub projection: &'a Projection,
    /// The base URL without a trailing slash, as `https://host/scim/v2`.
    pub base: &'a str,
}

impl Reply<'_> {
    /// Returns the address of a resource of this kind.
    pub fn location(&self, resource: &Resource) -> String {
        format!("{}{}/{}", self.base, self.kind.endpoint, resource.id)
    }

    /// Appends a whole resource.
    ///
    /// # Errors
    ///
    /// An internal error when the stored text has to be parsed and this server did not write it.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        resource: &Resource,
        computed: &Computed,
    ) -> Result<(), Error> {
        self.open(out, resource, computed)?;
        self.close(out, resource);
        Ok(())
    }

    /// Appends a resource up to and including the members at hand. [`Reply::write_more_members`] appends
    /// further ones, and [`Reply::close`] the end.
    ///
    /// # Errors
    ///
    /// As [`Reply::write`].
    pub fn open(
        &self,
        out: &mut Vec<u8>,
        resource: &Resource,
        computed: &Computed,
    ) -> Result<(), Error> {
        if self.projection.splices(self.kind) {
            self.splice(out, resource);
        } else {
            self.select(out, resource, resource.document.attributes()?);
        }
        if self.projection.shows_groups(self.kind) && !computed.groups.is_empty() {
            self.write_groups(out, &computed.groups);
        }
        if self.projection.shows_members(self.kind) {
            out.extend_from_slice(b",\"members\":[");
            self.write_members(out, &computed.members, computed.names.as_deref());
        }
        Ok(())
    }

    /// Appends the end of a resource that [`Reply::open`] began.
    pub fn close(&self, out: &mut Vec<u8>, resource: &Resource) {
        if self.projection.shows_members(self.kind) {
            out.push(b']');
        }
        self.write_meta(out, resource);
        out.push(b'}');
    }

    fn splice(&self, out: &mut Vec<u8>, resource: &Resource) {
        let text = resource.document.text().as_bytes();
        // The text begins with its schemas, and no URN contains a bracket.
        let cut = text.iter().position(|byte| *byte == b']').map_or(0, |at| at + 1);
        let (head, tail) = text.split_at(cut);
        out.extend_from_slice(head);
        out.extend_from_slice(b",\"id\":");
        write_json(out, resource.id.as_str());
        out.extend_from_slice(tail.strip_suffix(b"}").unwrap_or(tail));
    }

    fn select(&self, out: &mut Vec<u8>, resource: &Resource, attributes: &Attributes) {
        out.extend_from_slice(b"{\"schemas\":[");
        for (index, urn) in super::schemas_of(self.kind, attributes).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_json(out, urn.as_str());
        }
        out.extend_from_slice(b"],\"id\":");
        write_json(out, resource.id.as_str());
        for (name, value) in attributes.map() {
            if let Some(extension) = self.kind.extension(name) {
                let urn = &extension.schema.id;
                let mut shown = Map::new();
                for (name, value) in value.as_object().into_iter().flatten() {
                    let part = extension
                        .schema
                        .attribute(name)
                        .and_then(|a| self.part(Some(urn), a, value));
                    if let Some(part) = part {
                        shown.insert(name.clone(), part);
                    }
                }
                if !shown.is_empty() {
                    write_field(out, name, &Value::Object(shown));
                }
            } else {
                let attribute =
                    self.kind.common_attribute(name).or_else(|| self.kind.schema.attribute(name));
                if let Some(part) =
                    attribute.and_then(|attribute| self.part(None, attribute, value))
                {
                    write_field(out, name, &part);
                }
            }
        }
    }

    /// Returns the part of a value that is shown.
    fn part(&self, container: Option<&Urn>, attribute: &Attribute, value: &Value) -> Option<Value> {
        let extent = self.projection.extent(container, attribute);
        match (&extent, value) {
            (Extent::Nothing, _) => None,
            (Extent::Whole, _) if attribute.sub_attributes.is_empty() => Some(value.clone()),
            (_, Value::Array(elements)) => {
                let elements = elements.iter().filter_map(|one| select(&extent, attribute, one));
                let elements: Vec<_> = elements.collect();
                (!elements.is_empty()).then_some(Value::Array(elements))
            }
            (_, one) => select(&extent, attribute, one),
        }
    }

    fn write_groups(&self, out: &mut Vec<u8>, groups: &[MembershipEntry]) {
        let extent = self.extent_of("groups");
        let endpoint = self.endpoint_of_groups();
        out.extend_from_slice(b",\"groups\":[");
        for (index, entry) in groups.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let mut object = ObjectWriter::open(out);
            if extent.covers("value") {
                object.text("value", entry.group.as_str());
            }
            if extent.covers("$ref") {
                object.address("$ref", &[self.base, endpoint, "/", entry.group.as_str()]);
            }
            if extent.covers("display") {
                object.text("display", &entry.display);
            }
            if extent.covers("type") {
                object.text("type", "direct");
            }
            object.close();
        }
        out.push(b']');
    }

    fn endpoint_of_groups(&self) -> &str {
        let groups =
            self.registry.kinds().iter().find(|kind| kind.membership == Membership::Members);
        groups.map_or("/Groups", |kind| kind.endpoint.as_str())
    }

    /// Appends the first members, with the names that `names` has of them.
    pub fn write_members(
        &self,
        out: &mut Vec<u8>,
        members: &[Member],
        names: Option<&MemberNames>,
    ) {
        let mut frame: Option<(&Kind, Frame)> = None;
        for (index, member) in members.iter().enumerate() {
            let known = frame.take().filter(|(kind, _)| **kind == member.kind);
            let known = known.unwrap_or_else(|| (&member.kind, self.frame(&member.kind)));
            if index > 0 {
                out.push(b',');
            }
            let name = names.and_then(|names| names.get(&member.id));
            known.1.write(out, member.id.as_str(), name.map(String::as_str));
            frame = Some(known);
        }
    }

    /// Appends members after others, as [`Reply::write_members`] does.
    pub fn write_more_members(
        &self,
        out: &mut Vec<u8>,
        members: &[Member],
        names: Option<&MemberNames>,
    ) {
        if !members.is_empty() {
            out.push(b',');
            self.write_members(out, members, names);
        }
    }

    /// Returns the text around the id in each member of a kind.
    fn frame(&self, kind: &Kind) -> Frame {
        let extent = self.extent_of("members");
        let mut frame = Frame::default();
        let mut object = ObjectWriter::open(&mut frame.open);
        if extent.covers("value") {
            object.name("value");
            frame.value = true;
        }
        let first = !frame.value;
        let mut object = ObjectWriter { out: &mut frame.between, first };
        if extent.covers("$ref") {
            let endpoint =
                self.registry.kind(kind.as_str()).map_or("", |kind| kind.endpoint.as_str());
            object.name("$ref");
            let mut address = Vec::new();
            write_json(&mut address, &[self.base, endpoint, "/"].concat());
            address.pop();
            object.out.extend_from_slice(&address);
            frame.reference = true;
        }
        let first = object.first;
        let mut object = ObjectWriter { out: &mut frame.close, first };
        if extent.covers("type") {
            object.text("type", kind.as_str());
        }
        frame.empty = object.first;
        frame
    }

    fn extent_of(&self, name: &str) -> Extent {
        let attribute = self.kind.schema.attribute(name);
        attribute.map_or(Extent::Nothing, |attribute| self.projection.extent(None, attribute))
    }

    fn write_meta(&self, out: &mut Vec<u8>, resource: &Resource) {
        let Some(meta) = self.kind.common_attribute("meta") else {
            return;
        };
        let extent = self.projection.extent(None, meta);
        if matches!(extent, Extent::Nothing) {
            return;
        }
        out.extend_from_slice(b",\"meta\":");
        let mut object = ObjectWriter::open(out);
        if extent.covers("resourceType") {
            object.text("resourceType", resource.kind.as_str());
        }
        if extent.covers("created") {
            object.plain("created", &resource.created.to_string());
        }
        if extent.covers("lastModified") {
            object.plain("lastModified", &resource.modified.to_string());
        }
        if extent.covers("location") {
            object
                .address("location", &[self.base, &self.kind.endpoint, "/", resource.id.as_str()]);
        }
        if extent.covers("version") {
            object.text("version", &resource.version.to_string());
        }
        object.close();
    }
}

/// Appends a field after others of an object.
fn write_field(out: &mut Vec<u8>, name: &str, value: &Value) {
    out.push(b',');
    write_json(out, name);
    out.push(b':');
    write_json(out, value);
}

/// Returns the sub-attributes of one value that are shown, if there are any.
fn select(extent: &Extent, attribute: &Attribute, element: &Value) -> Option<Value> {
    let shown: Map<_, _> = element
        .as_object()?
        .iter()
        .filter(|(name, _)| attribute.sub(name).is_some_and(|sub| extent.shows(sub)))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    (!shown.is_empty()).then_some(Value::Object(shown))
}

/// Returns whether a text needs no escapes in JSON.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'))
}

/// Writes the fields of one JSON object.
pub(crate) struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

/// A member without its id. It is made once per kind, since a group may have 100,000 members.
#[derive(Default)]
struct Frame {
    open: Vec<u8>,
    /// Whether the id follows `open` as a text.
    value: bool,
    between: Vec<u8>,
    /// Whether the id follows `between` as the end of an address, whose quotation mark is open.
    reference: bool,
    close: Vec<u8>,
    /// Whether the name is the only field.
    empty: bool,
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>, id: &str, name: Option<&str>) {
        let mut quoted = Vec::new();
        let id = if is_plain(id) {
            id.as_bytes()
        } else {
            write_json(&mut quoted, id);
            quoted.get(1..quoted.len() - 1).unwrap_or_default()
        };
        out.extend_from_slice(&self.open);
        if self.value {
            out.push(b'"');
            out.extend_from_slice(id);
            out.push(b'"');
        }
        out.extend_from_slice(&self.between);
        if self.reference {
            out.extend_from_slice(id);
            out.push(b'"');
        }
        out.extend_from_slice(&self.close);
        if let Some(name) = name {
            ObjectWriter { out, first: self.empty }.text("display", name);
        }
        out.push(b'}');
    }
}

impl<'a> ObjectWriter<'a> {
    /// Begins an object.
    pub(crate) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    /// Ends the object.
    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        // All names are constants that need no escapes.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes a text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_json(self.out, value);
    }

    /// Writes a value that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, json: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(json);
    }

    /// Writes a text that needs no escapes.
    fn plain(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Writes the concatenation of parts.
    fn address(&mut self, name: &str, parts: &[&str]) {
        self.name(name);
        if !parts.iter().all(|part| is_plain(part)) {
            return write_json(self.out, &parts.concat());
        }
        self.out.push(b'"');
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.push(b'"');
    }
}
