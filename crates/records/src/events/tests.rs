use super::*;
use headcount_core::change::{Change, LeftGroup, ResourceNames};
use headcount_core::members::MemberDelta;

fn recorded(kind: &str, act: Act, paths: &[&str]) -> Recorded {
    Recorded {
        position: ChainPosition::new(7),
        kind: Kind::new(kind),
        id: ResourceId::new("r1"),
        version: Some(Version::new(4)),
        change: Change {
            at: Timestamp::from_micros(0),
            actor: Actor::Cli,
            request: RequestId::new("q1"),
            act,
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            switched: None,
            names: ResourceNames {
                name: Some("jane".to_owned()),
                external_id: Some("x1".to_owned()),
                address: None,
            },
        },
        members: MemberDelta::default(),
        left: Vec::new(),
    }
}

fn switched(mut recorded: Recorded, switched: Activation) -> Recorded {
    recorded.change.switched = Some(switched);
    recorded
}

/// Id, type, resource, version, attributes and member of each event.
fn reported(recorded: &Recorded) -> Vec<String> {
    let line = |event: &Event| {
        let version = event.version.map_or(0, Version::counter);
        let member = event.member.as_ref().map_or("-", ResourceId::as_str);
        let attributes = event.attributes.join(",");
        let (id, kind) = (event.id, event.event_type());
        format!("{id} {kind} {} v{version} [{attributes}] {member}", event.resource)
    };
    unfold(recorded).iter().map(line).collect()
}

#[test]
fn a_creation_names_what_was_set() {
    let user = recorded("User", Act::Created, &["userName", "active"]);
    assert_eq!(reported(&user), ["7.1 user.created r1 v4 [userName,active] -"]);
    let device = recorded("Device", Act::Created, &["serial"]);
    assert_eq!(reported(&device), ["7.1 device.created r1 v4 [serial] -"]);
}

#[test]
fn an_update_names_what_changed_by_put_and_by_patch() {
    for act in [Act::Replaced, Act::Patched] {
        let user = recorded("User", act, &["title", "urn:x:User:department"]);
        assert_eq!(reported(&user), ["7.1 user.updated r1 v4 [title,urn:x:User:department] -"]);
        assert_eq!(unfold(&user)[0].act, act);
        assert_eq!(unfold(&user)[0].external_id.as_deref(), Some("x1"));
    }
}

#[test]
fn evt_007_a_switch_is_an_event_of_its_own() {
    let off = switched(recorded("User", Act::Patched, &["active"]), Activation::Off);
    assert_eq!(reported(&off), ["7.1 user.deactivated r1 v4 [active] -"]);
    let on = switched(recorded("User", Act::Replaced, &["active"]), Activation::On);
    assert_eq!(reported(&on), ["7.1 user.reactivated r1 v4 [active] -"]);
    let more = switched(recorded("User", Act::Replaced, &["title", "active"]), Activation::Off);
    assert_eq!(
        reported(&more),
        ["7.1 user.updated r1 v4 [title] -", "7.2 user.deactivated r1 v4 [active] -"]
    );
    // A first value of `active` that is true switches nothing on.
    let set = recorded("User", Act::Patched, &["active"]);
    assert_eq!(reported(&set), ["7.1 user.updated r1 v4 [active] -"]);
}

#[test]
fn members_come_and_go_one_by_one() {
    let delta = MemberDelta {
        added: vec![ResourceId::new("a"), ResourceId::new("b")],
        removed: vec![ResourceId::new("c")],
    };
    let group = Recorded {
        members: delta.clone(),
        ..recorded("Group", Act::Patched, &["displayName", "members"])
    };
    assert_eq!(
        reported(&group),
        [
            "7.1 group.updated r1 v4 [displayName] -",
            "7.2 group.member_removed r1 v4 [members] c",
            "7.3 group.member_added r1 v4 [members] a",
            "7.4 group.member_added r1 v4 [members] b",
        ]
    );
    let only = Recorded { members: delta, ..recorded("Group", Act::Patched, &["members"]) };
    assert_eq!(reported(&only).len(), 3);
    let new = Recorded {
        members: MemberDelta { added: vec![ResourceId::new("a")], removed: Vec::new() },
        ..recorded("Group", Act::Created, &["displayName", "members"])
    };
    assert_eq!(
        reported(&new),
        ["7.1 group.created r1 v4 [displayName] -", "7.2 group.member_added r1 v4 [members] a"]
    );
}

#[test]
fn evt_006_who_is_deleted_leaves_its_groups_first() {
    let left = |group: &str, version| LeftGroup {
        group: ResourceId::new(group),
        version: Version::new(version),
    };
    let user = Recorded {
        left: vec![left("g1", 9), left("g2", 2)],
        ..recorded("User", Act::Deleted, &[])
    };
    assert_eq!(
        reported(&user),
        [
            "7.1 group.member_removed g1 v9 [members] r1",
            "7.2 group.member_removed g2 v2 [members] r1",
            "7.3 user.deleted r1 v4 [] -",
        ]
    );
    // The `externalId` is the user's, not the group's.
    assert_eq!(unfold(&user)[0].external_id, None);
    assert_eq!(reported(&recorded("Group", Act::Deleted, &[])), ["7.1 group.deleted r1 v4 [] -"]);
}

#[test]
fn tokens_and_tenants_have_events_of_their_own() {
    for (kind, act, wanted) in [
        ("Token", Act::Created, "token.created"),
        ("Token", Act::Rotated, "token.rotated"),
        ("Token", Act::Expiring, "token.expiring"),
        ("Token", Act::Revoked, "token.revoked"),
        ("Tenant", Act::Created, "tenant.created"),
        ("Tenant", Act::Changed, "tenant.updated"),
        ("Tenant", Act::Deleted, "tenant.deleted"),
    ] {
        let change = Recorded { version: None, ..recorded(kind, act, &["x"]) };
        assert_eq!(reported(&change), [format!("7.1 {wanted} r1 v0 [x] -")]);
        assert_eq!(unfold(&change)[0].version, None);
        assert!(OTHER_TYPES.contains(&wanted));
    }
    // A tenant that is switched off is changed like by any other setting.
    let off = switched(recorded("Tenant", Act::Changed, &["enabled"]), Activation::Off);
    assert_eq!(reported(&off), ["7.1 tenant.updated r1 v4 [enabled] -"]);
    assert_eq!(reported(&recorded("User", Act::Erased, &[])), ["7.1 user.erased r1 v4 [] -"]);
}

#[test]
fn no_change_is_without_an_event() {
    let odd = recorded("User", Act::Patched, &[]);
    assert_eq!(reported(&odd), ["7.1 user.updated r1 v4 [] -"]);
}

#[test]
fn an_id_is_a_cursor() {
    for text in ["0", "1.1", "12.300", "999999999999999999.4294967295"] {
        assert_eq!(EventId::parse(text).map(|id| id.to_string()).as_deref(), Some(text));
    }
    for wrong in ["", "1", "-1.1", "1.", ".1", "1.1.1", "+1.1", "a.b", "1.99999999999", "٣.1"] {
        assert_eq!(EventId::parse(wrong), None, "{wrong}");
    }
    assert!(EventId::parse("9.2") < EventId::parse("10.1"));
    assert!(EventId::parse("9.2") < EventId::parse("9.10"));
}
