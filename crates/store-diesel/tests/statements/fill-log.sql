-- Rows from :from to :to of the provisioning log, in the first tenant. Both databases read it.
INSERT INTO requests (tenant, at, micros, request, method, route, kind, status, quirks)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 1, n, 1, 'r' || n, 'GET', '/Users', 'User', CASE WHEN n % 10 = 0 THEN 404 ELSE 200 END, 0
FROM g;

INSERT INTO request_names (bucket, name, tenant, seq)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT n / 8192, n % 5000, 1, n FROM g;
