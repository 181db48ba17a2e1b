//! Paths in the forms that identity providers send.

use std::borrow::Cow;

use crate::path::AttrRef;
use crate::quirks::{Applied, Quirks};
use crate::schema::ResourceType;

/// Returns a path in the form of the RFC: with a colon after a URN, and with `manager` under the URN of
/// its extension.
pub(crate) fn repair_path<'p>(
    kind: &ResourceType,
    quirks: Quirks,
    applied: &mut Applied,
    path: &'p str,
) -> Cow<'p, str> {
    if quirks.has(Quirks::DOTTED_URNS)
        && let Some(spelled) = kind.with_colon_after_urn(path)
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
    qualify_manager(kind, quirks, applied, path)
}

/// Returns the list of plain values that `list.value` means.
fn list_of_value<'p>(kind: &ResourceType, path: &'p str) -> Option<&'p str> {
    let (list, sub) = path.split_at_checked(path.len().checked_sub(".value".len())?)?;
    if !sub.eq_ignore_ascii_case(".value") {
        return None;
    }
    kind.resolve(list).ok().filter(AttrRef::is_simple_list).map(|_| list)
}

/// Puts the URN of its extension before `manager`.
fn qualify_manager<'p>(
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
