//! The way out: a resource written straight into the bytes of a reply.
//!
//! A reply that shows a whole resource never parses it: the stored text is cut open behind its
//! `schemas`, and `id`, computed parts and `meta` are put in.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::projection::{Projection, Shown};
use super::{Attributes, Resource, write_json};
use crate::error::Error;
use crate::ids::Key;
use crate::ids::{Kind, Urn};
use crate::members::{Member, MemberNames, MembershipEntry};
use crate::schema::{Attribute, Membership, Registry, ResourceType, Returned};

/// What a reply shows beside the stored text.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Computed {
    /// The members of a group, or its first ones.
    pub members: Vec<Member>,
    /// Where the other members begin, when there are more.
    pub more_members: Option<Key>,
    /// What the members are called, where the reply shows it.
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
    /// The base URL without a slash at its end, as `https://host/scim/v2`.
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
    /// An internal error when the stored text has to be parsed and is not what this server wrote.
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

    /// Appends a resource up to and including the members at hand. More of them may follow with
    /// [`Reply::write_members`]; then comes [`Reply::close`].
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
            self.write_members(out, &computed.members, computed.names.as_deref(), true);
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
        let mut put = |name: &str, value: &Value| {
            out.push(b',');
            write_json(out, name);
            out.push(b':');
            write_json(out, value);
        };
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
                    put(name, &Value::Object(shown));
                }
            } else {
                let attribute =
                    self.kind.common_attribute(name).or_else(|| self.kind.schema.attribute(name));
                if let Some(part) =
                    attribute.and_then(|attribute| self.part(None, attribute, value))
                {
                    put(name, &part);
                }
            }
        }
    }

    /// Returns what is shown of one value.
    fn part(&self, container: Option<&Urn>, attribute: &Attribute, value: &Value) -> Option<Value> {
        let keep = |sub: &Attribute, named: bool| match sub.returned {
            Returned::Always => true,
            Returned::Never => false,
            Returned::Default => named,
            Returned::Request => false,
        };
        let filter = |keep: &dyn Fn(&Attribute) -> bool| -> Option<Value> {
            let object = |element: &Value| -> Option<Value> {
                let kept: Map<_, _> = element
                    .as_object()?
                    .iter()
                    .filter(|(name, _)| attribute.sub(name).is_some_and(|sub| keep(sub)))
                    .map(|(name, value)| (name.clone(), value.clone()))
                    .collect();
                (!kept.is_empty()).then_some(Value::Object(kept))
            };
            match value {
                Value::Array(elements) => {
                    let kept: Vec<_> = elements.iter().filter_map(object).collect();
                    (!kept.is_empty()).then_some(Value::Array(kept))
                }
                one => object(one),
            }
        };
        match self.projection.shown(container, attribute) {
            Shown::Nothing => None,
            Shown::Whole if attribute.sub_attributes.is_empty() => Some(value.clone()),
            Shown::Whole => filter(&|sub| keep(sub, true)),
            Shown::Subs(subs) => filter(&|sub| {
                let named = subs.iter().any(|name| *name == *sub.name);
                keep(sub, named) || (named && sub.returned == Returned::Request)
            }),
            Shown::AllBut(subs) => {
                filter(&|sub| keep(sub, subs.iter().all(|name| *name != *sub.name)))
            }
        }
    }

    fn write_groups(&self, out: &mut Vec<u8>, groups: &[MembershipEntry]) {
        let shown = self.sub_filter("groups");
        let endpoint = self.endpoint_of_groups();
        out.extend_from_slice(b",\"groups\":[");
        for (index, entry) in groups.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b",{" } else { b"{" });
            let mut object = ObjectWriter { out, first: true };
            if shown("value") {
                object.text("value", entry.group.as_str());
            }
            if shown("$ref") {
                object.address("$ref", &[self.base, endpoint, "/", entry.group.as_str()]);
            }
            if shown("display") {
                object.text("display", &entry.display);
            }
            if shown("type") {
                object.text("type", "direct");
            }
            out.push(b'}');
        }
        out.push(b']');
    }

    fn endpoint_of_groups(&self) -> &str {
        let groups =
            self.registry.kinds().iter().find(|kind| kind.membership == Membership::Members);
        groups.map_or("/Groups", |kind| kind.endpoint.as_str())
    }

    /// Appends members, with what they are called if `names` has it; `first` tells whether the array
    /// is still empty.
    pub fn write_members(
        &self,
        out: &mut Vec<u8>,
        members: &[Member],
        names: Option<&MemberNames>,
        first: bool,
    ) {
        let mut frame: Option<(&Kind, Frame)> = None;
        for (index, member) in members.iter().enumerate() {
            let known = frame.take().filter(|(kind, _)| **kind == member.kind);
            let known = known.unwrap_or_else(|| (&member.kind, self.frame(&member.kind)));
            if !first || index > 0 {
                out.push(b',');
            }
            let name = names.and_then(|names| names.get(&member.id));
            known.1.write(out, member.id.as_str(), name.map(String::as_str));
            frame = Some(known);
        }
    }

    /// Writes what surrounds the id in each member of a kind.
    fn frame(&self, kind: &Kind) -> Frame {
        let shown = self.sub_filter("members");
        let mut frame = Frame::default();
        let mut object = ObjectWriter { out: &mut frame.open, first: true };
        object.out.push(b'{');
        if shown("value") {
            object.name("value");
            frame.value = true;
        }
        let first = !frame.value;
        let mut object = ObjectWriter { out: &mut frame.between, first };
        if shown("$ref") {
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
        if shown("type") {
            object.text("type", kind.as_str());
        }
        frame.empty = object.first;
        frame
    }

    fn sub_filter(&self, name: &str) -> impl Fn(&str) -> bool {
        let shown = self
            .kind
            .schema
            .attribute(name)
            .map_or(Shown::Nothing, |a| self.projection.shown(None, a));
        move |sub: &str| match &shown {
            Shown::Nothing => false,
            Shown::Whole => true,
            Shown::Subs(subs) => subs.iter().any(|name| name == sub),
            Shown::AllBut(subs) => subs.iter().all(|name| name != sub),
        }
    }

    fn write_meta(&self, out: &mut Vec<u8>, resource: &Resource) {
        let Some(meta) = self.kind.common_attribute("meta") else {
            return;
        };
        let shown = self.projection.shown(None, meta);
        let shows = |sub: &str| match &shown {
            Shown::Nothing => false,
            Shown::Whole => true,
            Shown::Subs(subs) => subs.iter().any(|name| name == sub),
            Shown::AllBut(subs) => subs.iter().all(|name| name != sub),
        };
        if matches!(shown, Shown::Nothing) {
            return;
        }
        out.extend_from_slice(b",\"meta\":{");
        let mut object = ObjectWriter { out, first: true };
        if shows("resourceType") {
            object.text("resourceType", resource.kind.as_str());
        }
        if shows("created") {
            object.plain("created", &resource.created.to_string());
        }
        if shows("lastModified") {
            object.plain("lastModified", &resource.modified.to_string());
        }
        if shows("location") {
            object
                .address("location", &[self.base, &self.kind.endpoint, "/", resource.id.as_str()]);
        }
        if shows("version") {
            object.text("version", &resource.version.to_string());
        }
        out.push(b'}');
    }
}

/// Writes the members of one JSON object.
struct ObjectWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

/// A member as it is written, but for its id: there may be a hundred thousand of one kind.
#[derive(Default)]
struct Frame {
    open: Vec<u8>,
    /// Whether the id follows as a text.
    value: bool,
    between: Vec<u8>,
    /// Whether the id follows as the end of an address, whose quotation mark is open.
    reference: bool,
    close: Vec<u8>,
    /// Whether nothing but the name is shown.
    empty: bool,
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>, id: &str, name: Option<&str>) {
        let plain = id.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
        let mut quoted = Vec::new();
        let id = if plain {
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

impl ObjectWriter<'_> {
    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        // The names used here need no escapes.
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// Writes any text.
    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_json(self.out, value);
    }

    /// Writes a text that needs no escapes.
    fn plain(&mut self, name: &str, value: &str) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Writes an address made of parts.
    fn address(&mut self, name: &str, parts: &[&str]) {
        self.name(name);
        let plain = |byte: &u8| *byte >= b' ' && !matches!(byte, b'"' | b'\\');
        if !parts.iter().all(|part| part.as_bytes().iter().all(plain)) {
            return write_json(self.out, &parts.concat());
        }
        self.out.push(b'"');
        for part in parts {
            self.out.extend_from_slice(part.as_bytes());
        }
        self.out.push(b'"');
    }
}
