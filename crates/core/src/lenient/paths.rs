//! Paths as identity providers write them.

use std::borrow::Cow;

use crate::path::AttrRef;
use crate::quirks::{Applied, Quirks};
use crate::schema::ResourceType;

/// A path as the schemas write it: a colon behind a URN, and `manager` under the URN of its extension.
pub(crate) fn path<'p>(
    kind: &ResourceType,
    quirks: Quirks,
    applied: &mut Applied,
    path: &'p str,
) -> Cow<'p, str> {
    if quirks.has(Quirks::DOTTED_URNS)
        && let Some(spelled) = kind.with_colon_behind_urn(path)
    {
        applied.note(Quirks::DOTTED_URNS);
        return Cow::Owned(spelled);
    }
    if quirks.has(Quirks::VALUE_OR_OBJECT)
        && let Some(list) = list_of_value(kind, path)
    {
        applied.note(Quirks::VALUE_OR_OBJECT);
        return Cow::Borrowed(list);
    }
    manager_without_its_urn(kind, quirks, applied, path)
}

/// `list.value` for a list of plain values.
fn list_of_value<'p>(kind: &ResourceType, path: &'p str) -> Option<&'p str> {
    let (list, sub) = path.split_at_checked(path.len().checked_sub(".value".len())?)?;
    if !sub.eq_ignore_ascii_case(".value") {
        return None;
    }
    kind.resolve(list).ok().filter(AttrRef::is_simple_list).map(|_| list)
}

/// `manager` without the URN of the extension that has it.
fn manager_without_its_urn<'p>(
    kind: &ResourceType,
    quirks: Quirks,
    applied: &mut Applied,
    path: &'p str,
) -> Cow<'p, str> {
    let is_manager = path.get(..7).is_some_and(|head| head.eq_ignore_ascii_case("manager"))
        && matches!(path.as_bytes().get(7), None | Some(b'.'));
    if !is_manager
        || kind.schema.attribute("manager").is_some()
        || !quirks.has(Quirks::MANAGER_SHORT_FORMS)
    {
        return Cow::Borrowed(path);
    }
    let extension =
        kind.extensions.iter().find(|extension| extension.schema.attribute("manager").is_some());
    match extension {
        Some(extension) => {
            applied.note(Quirks::MANAGER_SHORT_FORMS);
            Cow::Owned(format!(
                "{}:manager{}",
                extension.schema.id,
                path.get(7..).unwrap_or_default()
            ))
        }
        None => Cow::Borrowed(path),
    }
}
