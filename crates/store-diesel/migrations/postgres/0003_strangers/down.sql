DROP INDEX requests_strangers;
ALTER TABLE requests DROP COLUMN unkept;
ALTER TABLE requests DROP COLUMN stranger;
ALTER TABLE requests DROP COLUMN changed;
