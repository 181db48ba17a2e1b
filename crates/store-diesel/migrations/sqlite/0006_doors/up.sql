-- What a page shows once after a form was sent: sealed with a key made of the session's cookie, which is not
-- in this database.
CREATE TABLE flashes (
    session TEXT NOT NULL REFERENCES admin_sessions (digest) ON DELETE CASCADE,
    id TEXT NOT NULL,
    sealed BLOB NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (session, id)
) STRICT, WITHOUT ROWID;
