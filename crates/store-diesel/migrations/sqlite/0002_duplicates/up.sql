-- The unique keys that a resource lacks because an older one has them, as [[path, key], …]: an upgrade that
-- takes more names for one finds such pairs. Nothing but a new name, or its end, changes the younger one.
ALTER TABLE resources ADD COLUMN duplicate TEXT;

CREATE INDEX resources_duplicate ON resources (pk) WHERE duplicate IS NOT NULL;
