DROP INDEX changes_sessions;
ALTER TABLE admins DROP COLUMN stands_alone;
ALTER TABLE setup_links DROP COLUMN giver;
