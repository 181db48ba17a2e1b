//! What a second factor, a known device and a strong hash are worth.

use super::*;

#[test]
fn s11_without_codes_a_short_password_is_replaced() {
    let bench = Bench::with_owner();
    let secret = bench.secret();
    let short = "kqzvwxym";
    let changed = bench.accounts.change_password(&by(), &GOOD.into(), &short.into(), &home());
    let cookie = changed.unwrap().cookie;
    let disable = |code: &str, new: Option<&str>| {
        let new = new.map(SecretString::from);
        bench.accounts.disable_codes(&by(), code, new.as_ref(), &home())
    };
    let rule = |done: Result<Option<SignedIn>, AdminError>| match done {
        Err(AdminError::Rule { field: Field::Password, rule }) => rule,
        other => panic!("{other:?}"),
    };
    assert!(!bench.accounts.password_stands_alone(&by()).unwrap());
    let code = bench.next_code(&secret);
    assert_eq!(rule(disable(&code, None)), Rule::PasswordAlone(15));
    assert_eq!(rule(disable(&code, Some("kqzvwxymb"))), Rule::PasswordTooShort(15));
    assert!(bench.store.admin("owner").unwrap().unwrap().totp.is_some());
    // A slip does not use the code up.
    let made = disable(&code, Some(GOOD)).unwrap().unwrap();
    let alive = |cookie: &SecretString| {
        bench.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().is_some()
    };
    assert!(!alive(&cookie) && alive(&made.cookie));
    assert!(bench.try_from(short, &home()).is_err());
    bench.try_from(GOOD, &home()).unwrap();
}

#[test]
fn s11_a_password_of_unknown_strength_is_known_after_the_next_log_in() {
    let bench = Bench::with_owner();
    let secret = bench.secret();
    let unknown = Password { stands_alone: None, ..bench.password() };
    bench.store.rehash("owner", &bench.password().hash, &unknown).unwrap();
    let code = bench.next_code(&secret);
    let refused = bench.accounts.disable_codes(&by(), &code, None, &home());
    assert!(matches!(refused, Err(AdminError::Rule { rule: Rule::PasswordAlone(15), .. })));
    bench.log_in("owner", GOOD, &code, None, &home()).unwrap();
    assert_eq!(bench.password().stands_alone, Some(true));
    let code = bench.next_code(&secret);
    assert!(bench.accounts.disable_codes(&by(), &code, None, &home()).unwrap().is_none());
}

#[test]
fn s17_a_log_in_hashes_a_cheap_password_again() {
    let bench = Bench::with_owner();
    let old = bench.password().hash;
    assert!(old.to_store().contains("$m=64,t=1,p=1$"), "{}", old.to_store());
    let server = Bench::over(bench.store.clone(), bench.clock.clone(), &[1], PasswordCost::SERVER);
    assert!(server.try_from("not the password", &home()).is_err());
    assert_eq!(bench.password().hash.to_store(), old.to_store());
    let cookie = server.try_from(GOOD, &home()).unwrap().cookie;
    let new = bench.password().hash;
    assert!(new.to_store().contains("$m=65536,t=3,p=1$"), "{}", new.to_store());
    server.try_from(GOOD, &home()).unwrap();
    assert_eq!(bench.password().hash.to_store(), new.to_store());
    assert!(server.accounts.session(cookie.expose_secret(), SentBy::Person).unwrap().is_some());
    // A cheaper server does not make it cheaper.
    bench.try_from(GOOD, &home()).unwrap();
    assert_eq!(bench.password().hash.to_store(), new.to_store());
}

#[test]
fn s17_second_factors_are_sealed_at_the_start_and_at_log_in() {
    let bench = Bench::with_owner();
    let secret = bench.secret();
    let stored = || bench.store.admin("owner").unwrap().unwrap().totp.unwrap();
    let clear = SealedTotp::from_store(secret.bytes().to_vec());
    assert_eq!(stored().to_store().len(), 61);
    let with = |keys: &[u8]| {
        Bench::over(bench.store.clone(), bench.clock.clone(), keys, PasswordCost::TESTS)
    };
    // At the start, from an earlier release and from an older key.
    bench.store.reseal("owner", &stored(), &clear).unwrap();
    assert!(bench.accounts.seal_second_factors().unwrap().is_empty());
    let sealed = stored();
    assert_ne!(sealed, clear);
    assert_eq!(with(&[2]).accounts.seal_second_factors().unwrap(), ["owner"]);
    assert_eq!(stored(), sealed);
    let moved = with(&[2, 1]);
    assert!(moved.accounts.seal_second_factors().unwrap().is_empty());
    assert_ne!(stored(), sealed);
    // At log-in.
    bench.store.reseal("owner", &stored(), &clear).unwrap();
    moved.log_in("owner", GOOD, &bench.next_code(&secret), None, &home()).unwrap();
    assert_ne!(stored(), clear);
    with(&[2]).log_in("owner", GOOD, &bench.next_code(&secret), None, &home()).unwrap();
    // Without its key, no code opens the account.
    let code = bench.next_code(&secret);
    assert!(bench.log_in("owner", GOOD, &code, None, &home()).is_err());
}

#[test]
fn s12_who_waits_tries_few_codes_from_one_network() {
    let bench = Bench::with_owner();
    let secret = bench.secret();
    bench.forty_guessers();
    let new = stranger(41);
    for _ in 0..20 {
        assert!(bench.log_in("owner", GOOD, "000000x", None, &new).is_err());
    }
    let code = bench.next_code(&secret);
    assert!(bench.log_in("owner", GOOD, &code, None, &new).is_err());
    assert!(bench.log_in("owner", GOOD, &code, None, &stranger(42)).is_ok());
}

#[test]
fn s11_a_second_factor_is_not_replaced_while_it_is_on() {
    let bench = Bench::with_owner();
    drop(bench.secret());
    let (other, now) = (TotpSecret::generate(), bench.clock.now());
    let code = other.code(now.micros() / 1_000_000 / 30);
    let replaced = bench.accounts.enable_codes(&by(), &other, &code);
    assert!(matches!(replaced, Err(AdminError::Refused)));
}

#[test]
fn s12_40_guessers_do_not_keep_out_who_has_a_code() {
    let bench = Bench::with_owner();
    let secret = bench.secret();
    bench.forty_guessers();
    let new = stranger(41);
    assert!(bench.log_in("owner", GOOD, "", None, &new).is_err());
    assert!(bench.log_in("owner", GOOD, "000000x", None, &new).is_err());
    let before = bench.store.attempts("to owner");
    assert!((7..=100).contains(&before), "{before} guesses were looked at");
    assert_eq!(bench.store.attempts("coded owner"), 0, "wrong codes hold up no one");
    let code = bench.next_code(&secret);
    bench.forty_guessers();
    // A right code is good for one password, whatever comes of it.
    assert!(bench.log_in("owner", "not the password", &code, None, &stranger(42)).is_err());
    assert!(bench.log_in("owner", GOOD, &code, None, &stranger(43)).is_err());
    let code = bench.next_code(&secret);
    bench.forty_guessers();
    bench.log_in("owner", GOOD, &code, None, &stranger(44)).unwrap();
    assert_eq!(bench.store.attempts("coded owner"), 0);
}

#[test]
fn s12_40_guessers_do_not_keep_out_a_device_that_was_there_before() {
    let bench = Bench::with_owner();
    let device = bench.try_from(GOOD, &home()).unwrap().device;
    let device = Some(device.expose_secret());
    bench.forty_guessers();
    let new = stranger(41);
    assert!(bench.try_from(GOOD, &new).is_err());
    let made = bench.log_in("owner", GOOD, "", device, &new).unwrap();
    assert_ne!(Some(made.device.expose_secret()), device);
    // Who steals the cookie guesses no faster than anyone.
    for guess in 0..8 {
        drop(bench.log_in("owner", "not the password", "", device, &stranger(50 + guess)));
    }
    assert!(bench.log_in("owner", GOOD, "", device, &stranger(60)).is_err());
    // Nor does the cookie count for another account.
    let link = bench.accounts.invitation(&by(), "other", Role::Auditor).unwrap();
    let (link, request) = (link.secret.expose_secret(), RequestId::new("r"));
    bench.accounts.redeem(link, "", &GOOD.into(), &home(), &request).unwrap();
    for guess in 0..10 {
        let network = stranger(70 + guess);
        drop(bench.log_in("other", "not the password", "", device, &network));
    }
    let own = Some(made.device.expose_secret());
    assert!(bench.log_in("other", GOOD, "", own, &stranger(80)).is_err());
}
