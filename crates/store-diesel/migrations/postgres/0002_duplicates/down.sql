DROP INDEX resources_duplicate;

ALTER TABLE resources DROP COLUMN duplicate;
