//! Records and timelines in plain words, the same at the command line, in the API and on pages.

use headcount_core::change::{Act, Activation, Recorded};
use headcount_core::ids::Version;

use crate::request_log::RequestRecord;
use crate::timeline::{IdentityTimeline, Present, Verdict};
use headcount_core::clock::Timestamp;

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

    /// Returns what to do next; `None` when nothing has to be done.
    pub fn what_to_do(&self) -> Option<String> {
        let refused = self.last_write().filter(|record| record.status >= 400);
        if let Some(advice) = refused.and_then(crate::advice::advice) {
            return Some(format!("The last attempt to write it was refused. {advice}"));
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

    /// Returns the newest request that wrote the identity, or tried to.
    fn last_write(&self) -> Option<&RequestRecord> {
        let own = self.entries.iter().rev().filter(|entry| entry.own);
        own.filter_map(|entry| entry.request.as_ref()).map(|logged| &logged.record).find(|record| {
            matches!(record.method.as_str(), "POST" | "PUT" | "PATCH" | "DELETE")
                && !record.path.ends_with("/.search")
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
            return if self.refused.is_some() { "token refused" } else { "refused" }.to_owned();
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
        parts.push(format!("left {} group(s)", recorded.left.len()));
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
