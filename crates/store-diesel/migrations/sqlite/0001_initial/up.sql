-- Times are microseconds since 1970 in UTC. Texts that are compared are in their comparable form
-- already; the database folds nothing.

CREATE TABLE tenants (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    name TEXT NOT NULL UNIQUE,
    enabled INTEGER NOT NULL,
    quirks INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;

INSERT INTO tenants (name, enabled, quirks, created)
VALUES ('default', 1, -1, CAST(unixepoch('subsec') * 1000000 AS INTEGER));

-- Small numbers for kinds and attribute paths, which stand in every index.
CREATE TABLE names (
    id INTEGER PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE store_meta (
    name TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE server_keys (
    name TEXT PRIMARY KEY NOT NULL,
    secret BLOB NOT NULL,
    created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- An id leads to its row by the index that begins with it. Statements say `tenant + 0` and `kind + 0` beside an
-- id: no other index fits then, whatever the planner believes of a table that it does not know yet.
CREATE TABLE resources (
    pk INTEGER PRIMARY KEY NOT NULL,
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kind INTEGER NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    name TEXT,
    name_key TEXT,
    external_id TEXT,
    active INTEGER,
    UNIQUE (id, tenant, kind),
    UNIQUE (tenant, pk)
) STRICT;

CREATE INDEX resources_page ON resources (tenant, kind, pk);
CREATE INDEX resources_name ON resources (tenant, kind, name_key);
CREATE INDEX resources_external_id ON resources (tenant, kind, external_id) WHERE external_id IS NOT NULL;
CREATE INDEX resources_active ON resources (tenant, kind, active, pk) WHERE active IS NOT NULL;

CREATE TABLE documents (
    pk INTEGER PRIMARY KEY NOT NULL,
    tenant INTEGER NOT NULL,
    text TEXT NOT NULL,
    FOREIGN KEY (tenant, pk) REFERENCES resources (tenant, pk) ON DELETE CASCADE
) STRICT;

CREATE TABLE resource_index (
    pk INTEGER NOT NULL,
    path INTEGER NOT NULL,
    element INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value TEXT NOT NULL,
    label TEXT,
    PRIMARY KEY (pk, path, element),
    FOREIGN KEY (tenant, pk) REFERENCES resources (tenant, pk) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_index_value ON resource_index (tenant, kind, path, value);

CREATE TABLE resource_keys (
    tenant INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    path INTEGER NOT NULL,
    folded TEXT NOT NULL,
    pk INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, path, folded),
    FOREIGN KEY (tenant, pk) REFERENCES resources (tenant, pk) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX resource_keys_pk ON resource_keys (tenant, pk);

CREATE TABLE group_members (
    group_pk INTEGER NOT NULL,
    member_pk INTEGER NOT NULL,
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL,
    member_kind INTEGER NOT NULL,
    PRIMARY KEY (group_pk, member_pk),
    FOREIGN KEY (tenant, group_pk) REFERENCES resources (tenant, pk) ON DELETE CASCADE,
    -- No cascade: whoever deletes a member takes it out of its groups first, and their versions grow.
    FOREIGN KEY (tenant, member_pk) REFERENCES resources (tenant, pk)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_members_member ON group_members (member_pk, group_pk);

CREATE TABLE resource_counts (
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kind INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    -- How many were ever deleted: what tells whether a place in the list may have moved.
    removed INTEGER NOT NULL,
    PRIMARY KEY (tenant, kind, slot)
) STRICT, WITHOUT ROWID;

-- One row per change, written with it. No reference to its tenant: the record outlives what it is about.
-- `place` and `hash` are the row's link in the chain; the sealer writes them a moment after the commit.
-- `personal` may be erased; `personal_digest` stays, so that the chain still holds.
-- `room` is as long as place and hash will be, and goes when they come: no row grows, and no page is split.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY NOT NULL,
    tenant INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    request TEXT NOT NULL,
    act TEXT NOT NULL,
    kind TEXT NOT NULL,
    resource TEXT NOT NULL,
    version INTEGER NOT NULL,
    paths TEXT NOT NULL,
    delta TEXT NOT NULL,
    switched INTEGER,
    personal TEXT,
    personal_digest TEXT NOT NULL,
    place INTEGER,
    hash TEXT,
    room TEXT
) STRICT;

-- A change enters these indexes when it is sealed, many at a time; those to be sealed are the last rows.
CREATE UNIQUE INDEX changes_place ON changes (place) WHERE place IS NOT NULL;
CREATE INDEX changes_feed ON changes (tenant, place) WHERE place IS NOT NULL;
-- By bucket first: 8,192 changes that came one after the other fall onto the same pages, whomever they are
-- about.
CREATE INDEX changes_resource ON changes (seq >> 13, tenant, resource) WHERE place IS NOT NULL;
-- With what is counted, so that counting reads no rows.
CREATE INDEX changes_at ON changes (tenant, at, version, act) WHERE place IS NOT NULL;
-- What people did is rare among what identity providers did.
CREATE INDEX changes_by_people ON changes (place) WHERE place IS NOT NULL AND actor_kind <> 'token';
-- Whose names are still kept although they are gone.
CREATE INDEX changes_gone ON changes (at) WHERE act = 'deleted' AND personal IS NOT NULL;

CREATE TABLE tokens (
    id TEXT PRIMARY KEY NOT NULL,
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    cidrs TEXT NOT NULL,
    phc TEXT NOT NULL,
    tag BLOB NOT NULL,
    tag_key TEXT NOT NULL DEFAULT '',
    secret_version INTEGER NOT NULL,
    user_id TEXT,
    created INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires INTEGER,
    -- The end of its life that was told to admins before it came.
    expiry_told INTEGER,
    revoked INTEGER,
    revoked_by TEXT,
    replaces TEXT,
    used_at INTEGER,
    used_address TEXT,
    used_agent TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_tenant ON tokens (tenant, created);

-- The accounts of the console. `first` stands in the row that the setup link made: of several setups at
-- once, the constraint lets one win.
CREATE TABLE admins (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    phc TEXT NOT NULL,
    totp BLOB,
    totp_step INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL,
    last_login INTEGER,
    first INTEGER UNIQUE CHECK (first = 1)
) STRICT, WITHOUT ROWID;

-- Only digests: neither a cookie nor a link can be made from a row.
CREATE TABLE admin_sessions (
    digest TEXT PRIMARY KEY NOT NULL,
    admin TEXT NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    proven INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX admin_sessions_admin ON admin_sessions (admin);

CREATE TABLE setup_links (
    digest TEXT PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL,
    admin TEXT,
    role TEXT,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Places from which somebody logged in to an account.
CREATE TABLE login_places (
    admin TEXT NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    place TEXT NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (admin, place)
) STRICT, WITHOUT ROWID;

-- Attempts to log in, by whom they were aimed at or where they came from.
CREATE TABLE login_failures (
    subject TEXT PRIMARY KEY NOT NULL,
    amount INTEGER NOT NULL,
    last INTEGER NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX login_failures_last ON login_failures (last);
