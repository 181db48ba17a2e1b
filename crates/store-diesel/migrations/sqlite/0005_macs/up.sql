-- What authenticates a change: a random id, a code over the row, and one over its position and hash. Rows from
-- before have none; ids begin with their time, so that the index grows at its end.
ALTER TABLE changes ADD COLUMN uid TEXT;
ALTER TABLE changes ADD COLUMN mac TEXT;
ALTER TABLE changes ADD COLUMN place_mac TEXT;
CREATE UNIQUE INDEX changes_uid ON changes (uid);
