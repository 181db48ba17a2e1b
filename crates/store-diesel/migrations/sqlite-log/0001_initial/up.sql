-- The provisioning log: what was asked and what was answered, redacted. It has a file of its own, which
-- may fill its disk without harm to anything else. Rows of requests whose tenant is not known have the
-- tenant 0.
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    tenant INTEGER NOT NULL,
    at INTEGER NOT NULL,
    micros INTEGER NOT NULL,
    request TEXT NOT NULL,
    token TEXT,
    token_name TEXT,
    refused TEXT,
    address TEXT,
    agent TEXT,
    idp TEXT,
    method TEXT NOT NULL,
    route TEXT NOT NULL,
    kind TEXT,
    resource TEXT,
    name TEXT,
    query TEXT,
    status INTEGER NOT NULL,
    scim_type TEXT,
    field TEXT,
    reason TEXT,
    quirks INTEGER NOT NULL,
    body TEXT,
    reply TEXT
) STRICT;

CREATE INDEX requests_tenant ON requests (tenant, seq);
CREATE INDEX requests_token ON requests (token, seq) WHERE token IS NOT NULL;
CREATE INDEX requests_request ON requests (request);
CREATE INDEX requests_failed ON requests (tenant, seq) WHERE status >= 400;
-- Most requests are about users, so that the newest of these are found without an index of their own.
CREATE INDEX requests_kind ON requests (tenant, kind, seq) WHERE kind <> 'User';

-- The names and ids by which a request can be found, as numbers made of their comparable form. Requests
-- that came one after the other share a bucket, so that new rows stand close together, and old ones too.
CREATE TABLE request_names (
    bucket INTEGER NOT NULL,
    name INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (bucket, name, tenant, seq)
) STRICT, WITHOUT ROWID;

-- How often each quirk was applied to the requests of a token.
CREATE TABLE quirk_counts (
    tenant INTEGER NOT NULL,
    token TEXT NOT NULL,
    quirk TEXT NOT NULL,
    amount INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (tenant, token, quirk)
) STRICT, WITHOUT ROWID;
