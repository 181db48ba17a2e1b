//! The tables, once for both databases. Change them by hand with each migration.

diesel::table! {
    tenants (id) { id -> BigInt, name -> Text, enabled -> Integer, quirks -> BigInt, created -> BigInt, }
}

diesel::table! {
    names (id) { id -> Integer, name -> Text, }
}

diesel::table! {
    store_meta (name) { name -> Text, value -> Text, }
}

diesel::table! {
    server_keys (name) { name -> Text, secret -> Binary, created -> BigInt, }
}

diesel::table! {
    resources (pk) {
        pk -> BigInt,
        tenant -> BigInt,
        kind -> Integer,
        id -> Text,
        version -> BigInt,
        created -> BigInt,
        modified -> BigInt,
        name -> Nullable<Text>,
        name_key -> Nullable<Text>,
        external_id -> Nullable<Text>,
        active -> Nullable<Integer>,
        duplicate -> Nullable<Text>,
    }
}

diesel::table! {
    documents (pk) { pk -> BigInt, tenant -> BigInt, text -> Text, }
}

diesel::table! {
    resource_index (pk, path, element) {
        pk -> BigInt,
        path -> Integer,
        element -> Integer,
        tenant -> BigInt,
        kind -> Integer,
        value -> Text,
        label -> Nullable<Text>,
    }
}

diesel::table! {
    resource_keys (tenant, kind, path, folded) {
        tenant -> BigInt,
        kind -> Integer,
        path -> Integer,
        folded -> Text,
        pk -> BigInt,
    }
}

diesel::table! {
    group_members (group_pk, member_pk) {
        group_pk -> BigInt,
        member_pk -> BigInt,
        tenant -> BigInt,
        member_id -> Text,
        member_kind -> Integer,
    }
}

diesel::table! {
    resource_counts (tenant, kind, slot) {
        tenant -> BigInt,
        kind -> Integer,
        slot -> Integer,
        amount -> BigInt,
        removed -> BigInt,
    }
}

diesel::table! {
    changes (seq) {
        seq -> BigInt,
        tenant -> BigInt,
        at -> BigInt,
        actor_kind -> Text,
        actor -> Text,
        request -> Text,
        act -> Text,
        kind -> Text,
        resource -> Text,
        version -> BigInt,
        paths -> Text,
        delta -> Text,
        switched -> Nullable<Integer>,
        personal -> Nullable<Text>,
        personal_digest -> Text,
        place -> Nullable<BigInt>,
        hash -> Nullable<Text>,
        room -> Nullable<Text>,
        uid -> Nullable<Text>,
        mac -> Nullable<Text>,
        place_mac -> Nullable<Text>,
    }
}

diesel::table! {
    requests (seq) {
        seq -> BigInt,
        tenant -> BigInt,
        at -> BigInt,
        micros -> BigInt,
        request -> Text,
        token -> Nullable<Text>,
        token_name -> Nullable<Text>,
        refused -> Nullable<Text>,
        address -> Nullable<Text>,
        agent -> Nullable<Text>,
        idp -> Nullable<Text>,
        method -> Text,
        route -> Text,
        kind -> Nullable<Text>,
        resource -> Nullable<Text>,
        name -> Nullable<Text>,
        query -> Nullable<Text>,
        status -> Integer,
        scim_type -> Nullable<Text>,
        field -> Nullable<Text>,
        reason -> Nullable<Text>,
        quirks -> BigInt,
        body -> Nullable<Text>,
        reply -> Nullable<Text>,
        changed -> Nullable<Integer>,
        stranger -> Integer,
        unkept -> BigInt,
    }
}

diesel::table! {
    request_names (bucket, name, tenant, seq) {
        bucket -> BigInt,
        name -> BigInt,
        tenant -> BigInt,
        seq -> BigInt,
    }
}

diesel::table! {
    quirk_counts (tenant, token, quirk) {
        tenant -> BigInt,
        token -> Text,
        quirk -> Text,
        amount -> BigInt,
        last -> BigInt,
    }
}

diesel::table! {
    tokens (id) {
        id -> Text,
        tenant -> BigInt,
        purpose -> Text,
        name -> Text,
        scopes -> Text,
        cidrs -> Text,
        phc -> Text,
        tag -> Binary,
        tag_key -> Text,
        secret_version -> BigInt,
        user_id -> Nullable<Text>,
        created -> BigInt,
        created_by -> Text,
        expires -> Nullable<BigInt>,
        expiry_told -> Nullable<BigInt>,
        revoked -> Nullable<BigInt>,
        revoked_by -> Nullable<Text>,
        replaces -> Nullable<Text>,
        used_at -> Nullable<BigInt>,
        used_address -> Nullable<Text>,
        used_agent -> Nullable<Text>,
    }
}

diesel::table! {
    admins (name) {
        name -> Text,
        role -> Text,
        phc -> Text,
        totp -> Nullable<Binary>,
        totp_step -> BigInt,
        created -> BigInt,
        last_login -> Nullable<BigInt>,
        first -> Nullable<Integer>,
        stands_alone -> Nullable<Integer>,
    }
}

diesel::table! {
    admin_sessions (digest) {
        digest -> Text,
        admin -> Text,
        created -> BigInt,
        seen -> BigInt,
        proven -> BigInt,
    }
}

diesel::table! {
    flashes (session, id) { session -> Text, id -> Text, sealed -> Binary, expires -> BigInt, }
}

diesel::table! {
    setup_links (digest) {
        digest -> Text,
        purpose -> Text,
        admin -> Nullable<Text>,
        role -> Nullable<Text>,
        expires -> BigInt,
        giver -> Nullable<Text>,
    }
}

diesel::table! {
    login_places (admin, place) {
        admin -> Text,
        place -> Text,
        last -> BigInt,
    }
}

diesel::table! {
    login_failures (subject) {
        subject -> Text,
        amount -> BigInt,
        last -> BigInt,
        until -> BigInt,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    resources,
    documents,
    group_members,
    resource_index,
    tokens,
    tenants
);
diesel::allow_tables_to_appear_in_same_query!(admins, admin_sessions);
