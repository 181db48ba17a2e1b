-- The provisioning log has a file of its own here, with migrations of its own.
SELECT 1;
