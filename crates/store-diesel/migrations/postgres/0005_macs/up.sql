-- What authenticates a change: a random id, a code over the row, and one over its position and hash. Rows from
-- before have none; ids begin with their time, so that the index grows at its end.
ALTER TABLE changes ADD COLUMN uid text COLLATE "C";
ALTER TABLE changes ADD COLUMN mac text COLLATE "C";
ALTER TABLE changes ADD COLUMN place_mac text COLLATE "C";
CREATE UNIQUE INDEX changes_uid ON changes (uid);
