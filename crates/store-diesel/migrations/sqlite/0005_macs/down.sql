DROP INDEX changes_uid;
ALTER TABLE changes DROP COLUMN place_mac;
ALTER TABLE changes DROP COLUMN mac;
ALTER TABLE changes DROP COLUMN uid;
