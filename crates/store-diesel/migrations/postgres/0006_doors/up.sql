-- What a page shows once after a form was sent: sealed with a key made of the session's cookie, which is not
-- in this database.
CREATE TABLE flashes (
    session text COLLATE "C" NOT NULL REFERENCES admin_sessions (digest) ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    expires bigint NOT NULL,
    PRIMARY KEY (session, id)
);
