//! Records and timelines in plain words, the same at the command line, in the API and on pages.

use headcount_core::change::{Act, Activation, Recorded};
use headcount_core::ids::Version;

use crate::advice::advice_for;
use crate::request_log::RequestRecord;
use crate::timeline::{IdentityTimeline, Membership, Present, Verdict};
use headcount_core::clock::Timestamp;
use serde_json::Value;

impl IdentityTimeline {
    /// Describes in a sentence or two what became of the identity.
    pub fn summary(&self) -> String {
        let name = &self.name;
        let present: Vec<String> = self
            .present
            .iter()
            .map(|Present { kind, id, name, .. }| {
                format!("{kind} \"{}\", id {id}", name.as_deref().unwrap_or_default())
            })
            .collect();
        let present = present.join("; ");
        let mut summary = match self.verdict {
            Verdict::Present if self.later_refusal().is_some() => {
                format!("\"{name}\" is here, but a later write was refused: {present}.")
            }
            Verdict::Present => format!("\"{name}\" is here: {present}."),
            Verdict::Deactivated => format!("\"{name}\" is here, but deactivated: {present}."),
            Verdict::Deleted => format!("\"{name}\" was here and has been deleted."),
            Verdict::Refused => format!("\"{name}\" is not here: it was sent, and refused."),
            Verdict::OnlyAskedFor => {
                format!("\"{name}\" is not here: it was searched for, but never sent.")
            }
            Verdict::NeverNamed => {
                format!("\"{name}\" is not here, and no request that is still in the log names it.")
            }
        };
        if self.unread && self.present.is_empty() {
            summary.push_str(
                " Names that only documents have, such as the displayName of users, were not searched: there are too many.",
            );
        }
        summary
    }

    /// Returns what to do next; `None` when nothing has to be done. Commands in it name no tenant.
    pub fn what_to_do(&self) -> Option<String> {
        self.what_to_do_in("NAME")
    }

    /// As [`IdentityTimeline::what_to_do`], with the name of the tenant in commands.
    pub fn what_to_do_in(&self, tenant: &str) -> Option<String> {
        let refused = self.last_write().filter(|record| record.is_refusal());
        if let Some(record) = refused
            && let Some(advice) = advice_for(record, tenant)
        {
            let other = self.other_person(record).unwrap_or_default();
            return Some(format!("The last attempt to write it was refused. {other}{advice}"));
        }
        match self.verdict {
            Verdict::Present => None,
            Verdict::Deactivated => Some(
                "If that is wrong, check in the identity provider whether the account is blocked, or no longer assigned to this application.".to_owned(),
            ),
            Verdict::Deleted => Some(
                "If that is wrong, assign the user to this application in the identity provider again: it will be created again, with a new id.".to_owned(),
            ),
            Verdict::Refused | Verdict::OnlyAskedFor | Verdict::NeverNamed => {
                Some(self.never_sent())
            }
        }
    }

    /// Returns the newest request that tried to write the identity, when it is here and that was refused.
    pub fn later_refusal(&self) -> Option<&RequestRecord> {
        let is_here = matches!(self.verdict, Verdict::Present | Verdict::Deactivated);
        self.last_write().filter(|record| is_here && record.is_refusal())
    }

    /// Says that a refused request was about another person than the one who is here, as far as its externalId
    /// shows.
    fn other_person(&self, record: &RequestRecord) -> Option<String> {
        let body: Value = serde_json::from_str(record.body.as_deref()?).ok()?;
        let mut members = body.as_object()?.iter();
        let (_, sent) = members.find(|(name, _)| name.eq_ignore_ascii_case("externalId"))?;
        let sent = sent.as_str()?;
        let mut known = self.present.iter().filter_map(|present| present.external_id.as_deref());
        let here = known.clone().next()?;
        (!known.any(|known| known == sent)).then(|| {
            format!(
                "It carried another externalId, \"{sent}\" instead of \"{here}\": a second person with this name, or the same one whom the identity provider did not match. "
            )
        })
    }

    /// Returns the newest request that wrote the identity, or tried to.
    fn last_write(&self) -> Option<&RequestRecord> {
        let own = self.entries.iter().rev().filter(|entry| entry.own);
        own.filter_map(|entry| entry.request.as_ref()).map(|logged| &logged.record).find(|record| {
            matches!(record.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
                && !record.path.ends_with("/.search")
                && !record.is_notice()
        })
    }

    fn never_sent(&self) -> String {
        let last_request = match self.last_request {
            None => "No request has arrived for this tenant at all: check base URL and token with the identity provider's connection test.".to_owned(),
            Some(at) => format!("The last request of this tenant arrived at {}.", moment(at)),
        };
        format!(
            "{last_request} Check in the identity provider: is the user (or one of its groups) assigned to this application; \
             is it inside the scope of provisioning and its filters; has a cycle run since (Entra takes up to 40 minutes, \
             \"Provision on demand\" sends one user at once); is the name spelled as the identity provider sends it, \
             or does it map another attribute to userName."
        )
    }
}

impl RequestRecord {
    /// Describes in a few words the request and its outcome.
    pub fn outcome(&self) -> String {
        if self.status >= 400 {
            return match (&self.refused, self.kind.is_none() && self.status == 404) {
                (_, true) => "wrong address",
                (Some(_), _) => "token refused",
                (None, _) if self.is_notice() => "not here",
                (None, _) => "refused",
            }
            .to_owned();
        }
        let search = self.path.ends_with("/.search");
        // Discovery at the base URL needs no token.
        let everything = self.proven && matches!(self.path.as_str(), "/" | "/.search");
        match self.method.as_str() {
            _ if self.changed == Some(false) => "unchanged",
            "POST" if self.path == "/Bulk" => "carried out",
            "POST" if !search => "created",
            "PUT" => "replaced",
            "PATCH" => "changed",
            "DELETE" => "deleted",
            _ if self.resource.is_some() => "read",
            _ if self.query.is_some() => "searched",
            _ if self.kind.is_some() || everything => "listed",
            _ => "asked what the server can do",
        }
        .to_owned()
    }

    /// Checks whether the request asked for something that is not here, or deleted it: identity providers do so in
    /// the course of their work, and nothing was refused to them.
    pub fn is_notice(&self) -> bool {
        self.status == 404
            && self.proven
            && self.kind.is_some()
            && matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE")
    }

    /// Checks whether the request was refused. One that found nothing was not.
    pub fn is_refusal(&self) -> bool {
        self.status >= 400 && !self.is_notice()
    }

    /// Returns the identity provider as people write it, or the name of the token.
    pub fn sender(&self) -> &str {
        match self.idp.as_deref() {
            Some("entra") => "Entra",
            Some("okta") => "Okta",
            Some("onelogin") => "OneLogin",
            Some("jumpcloud") => "JumpCloud",
            Some("authentik") => "authentik",
            Some("keycloak") => "Keycloak",
            Some("google") => "Google",
            Some("ping") => "Ping",
            Some(other) => other,
            None => self.token_name.as_deref().unwrap_or("unknown"),
        }
    }

    /// Describes how many alike requests of strangers were not kept; `None` when each was kept.
    pub fn others(&self) -> Option<String> {
        unkept(self.unkept)
    }

    /// Returns what was repaired in the request, a sentence each.
    pub fn repairs(&self) -> Vec<String> {
        self.quirks.iter().map(|quirk| format!("{} ({})", quirk.note, quirk.name)).collect()
    }
}

impl Membership {
    /// Describes it: `added to group "All Employees"`.
    pub fn describe(&self) -> String {
        let word = if self.added { "added to" } else { "removed from" };
        match &self.name {
            Some(name) => format!("{word} group \"{name}\""),
            None => format!("{word} group {}", self.group),
        }
    }
}

/// Describes in a few words what a change did.
pub fn change(recorded: &Recorded) -> String {
    let mut parts: Vec<String> = Vec::new();
    match recorded.change.switched {
        Some(Activation::On) => parts.push("activated".to_owned()),
        Some(Activation::Off) => parts.push("deactivated".to_owned()),
        None => {}
    }
    let rest = recorded.change.paths.iter().filter(|path| *path != "active" && *path != "members");
    let rest: Vec<&str> = rest.map(String::as_str).collect();
    match recorded.change.act {
        Act::Replaced | Act::Patched if !rest.is_empty() => {
            parts.push(format!("changed {}", rest.join(", ")));
        }
        Act::Replaced | Act::Patched => {}
        act => parts.push(act.word().to_owned()),
    }
    let members = &recorded.members;
    for (word, count) in [("added", members.added.len()), ("removed", members.removed.len())] {
        match count {
            0 => {}
            1 => parts.push(format!("{word} 1 member")),
            count => parts.push(format!("{word} {count} members")),
        }
    }
    if !recorded.left.is_empty() {
        let plural = if recorded.left.len() == 1 { "" } else { "s" };
        parts.push(format!("left {} group{plural}", recorded.left.len()));
    }
    let version = recorded.version.map_or(0, Version::counter);
    format!("version {version}: {}", parts.join(", "))
}

/// Describes how many requests of strangers were counted at a kept one.
pub fn unkept(count: u64) -> Option<String> {
    match count {
        0 => None,
        1 => Some("1 more request without a valid token was counted, not kept".to_owned()),
        _ => Some(format!("{count} more requests without a valid token were counted, not kept")),
    }
}

/// Writes a moment as people read it: `2026-11-21 08:30:00 UTC`.
pub fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.get(..19).unwrap_or(&text);
    format!("{} UTC", seconds.replace('T', " "))
}
