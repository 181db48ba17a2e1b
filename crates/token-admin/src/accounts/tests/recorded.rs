//! What is recorded of the console, and what ends with the rights of an account.

use super::*;

#[test]
fn n_log_ins_are_recorded_with_their_address() {
    let bench = Bench::with_owner();
    for name in ["owner", "velvet otter quarry", "nobody"] {
        assert!(bench.log_in(name, "wrong", "", None, &stranger(1)).is_err());
    }
    let changes = bench.store.changes().into_iter().filter(|(kind, ..)| kind == SESSION_KIND);
    let told: Vec<_> = changes
        .map(|(_, _, change)| {
            let names = change.names;
            let (name, address) = (names.name.unwrap(), names.address.unwrap());
            format!("{} {} {name} {address}", change.actor, change.act.word())
        })
        .collect();
    let expected = [
        "owner created owner 192.0.2.1",
        "the server refused owner 203.0.113.1",
        "the server refused unknown 203.0.113.1",
        "the server refused unknown 203.0.113.1",
    ];
    assert_eq!(told, expected);
}

#[test]
fn n_of_the_guesses_of_a_minute_five_are_recorded() {
    let bench = Bench::with_owner();
    let refused = || {
        let mut changes = bench.store.changes();
        changes.retain(|(_, _, change)| change.act == Act::Refused);
        changes.last().map(|(_, _, change)| (changes.len(), change.paths.clone()))
    };
    bench.forty_guessers();
    assert_eq!(refused(), Some((5, Vec::new())));
    bench.pass(60);
    assert!(bench.try_from("wrong", &stranger(99)).is_err());
    assert_eq!(refused(), Some((6, vec!["others:395".to_owned()])));
}

#[test]
fn n_a_link_is_recorded_with_its_maker() {
    let bench = Bench::with_owner();
    bench.accounts.invitation(&by(), "second", Role::Admin).unwrap();
    bench.accounts.recovery_link(&operator(), "owner").unwrap();
    let server = Principal::operator(author(Actor::System));
    Bench::new().accounts.setup_link(&server).unwrap();
    let changes = bench.store.changes().into_iter().filter(|(kind, ..)| kind == LINK_KIND);
    let told: Vec<_> = changes
        .map(|(_, id, change)| format!("{} {id}: {}", change.actor, change.paths.join(" ")))
        .collect();
    let expected =
        ["command line first: first", "owner second: invite admin", "command line owner: recover"];
    assert_eq!(told, expected);
}

#[test]
fn n_an_export_is_recorded_and_needs_an_admin() {
    let bench = Bench::with_owner();
    let tenant = crate::Tenant {
        id: TenantId::new(3),
        name: "acme".to_owned(),
        enabled: true,
        quirks: headcount_core::quirks::Quirks::ALL,
        created: bench.clock.now(),
    };
    let export = |role| {
        let by = Principal::account(author(Actor::Admin("kim".to_owned())), role);
        bench.accounts.record_export(&by, &tenant, &["users", "csv"], &home())
    };
    let refused = export(Role::Auditor);
    assert!(matches!(refused, Err(AdminError::Rule { rule: Rule::Role(Role::Admin), .. })));
    export(Role::Admin).unwrap();
    let (kind, id, change) = bench.store.changes().pop().unwrap();
    assert_eq!(
        (kind.as_str(), id.as_str(), change.paths.join(" ")),
        (EXPORT_KIND, "3", "users csv".to_owned())
    );
    assert_eq!(change.names.name.as_deref(), Some("acme"));
    assert_eq!(change.names.address.as_deref(), Some("192.0.2.1"));
}

#[test]
fn s8_an_invitation_ends_with_the_rights_of_its_giver() {
    let bench = Bench::with_owner();
    let invite = |by: &Principal| bench.accounts.invitation(by, "door", Role::Owner).unwrap();
    let purpose = |link: &Link| bench.accounts.purpose(link.secret.expose_secret());
    let over =
        |link: &Link| matches!(purpose(link), Err(AdminError::Rule { rule: Rule::LinkOver, .. }));
    let boss = Principal::account(author(Actor::Admin("boss".to_owned())), Role::Owner);
    let make_boss = || {
        let link = bench.accounts.invitation(&by(), "boss", Role::Owner).unwrap();
        let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
        bench.accounts.redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
    };
    make_boss();
    let door = invite(&boss);
    assert!(purpose(&door).is_ok());
    bench.accounts.set_role(&by(), "boss", Role::Admin).unwrap();
    assert!(over(&door));
    bench.accounts.set_role(&by(), "boss", Role::Owner).unwrap();
    assert!(over(&door));
    let door = invite(&boss);
    bench.accounts.remove(&by(), "boss").unwrap();
    assert!(over(&door));
    make_boss();
    assert!(over(&door), "an account of the same name has given nothing");
    assert!(!over(&invite(&operator())));
}

#[test]
fn a_password_is_the_same_on_every_keyboard() {
    let bench = Bench::with_owner();
    let (composed, apart) =
        ("ge\u{e4}nderter W\u{fc}rfel zw\u{f6}lf", "gea\u{308}nderter Wu\u{308}rfel zwo\u{308}lf");
    let changed = bench.accounts.change_password(&by(), &GOOD.into(), &apart.into(), &home());
    changed.unwrap();
    bench.try_from(composed, &home()).unwrap();
    bench.try_from(apart, &home()).unwrap();
    assert!(bench.try_from("geanderter Wurfel zwolf", &home()).is_err());
}
