-- Rows from :from to :to, many of everything that grows, in the first tenant. Both databases read it.
INSERT INTO resources (tenant, kind, id, version, created, modified, name, name_key, external_id, active)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 1, (SELECT id FROM names WHERE name = '/User'), 'f' || n, 1, n, n, 'Fill ' || n, 'fill ' || n,
       'e' || n, n % 2
FROM g;

INSERT INTO documents (pk, tenant, text)
SELECT pk, tenant, '{"userName":"' || name || '"}' FROM resources r
WHERE id LIKE 'f%' AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.pk = r.pk);

INSERT INTO resource_index (pk, path, element, tenant, kind, value, label)
SELECT r.pk, p.id, 0, r.tenant, r.kind, 'v' || r.pk, NULL FROM resources r,
       (SELECT id FROM names WHERE name LIKE '%emails.value') p
WHERE r.id LIKE 'f%' AND NOT EXISTS (SELECT 1 FROM resource_index x WHERE x.pk = r.pk);

INSERT INTO resource_keys (tenant, kind, path, folded, pk)
SELECT r.tenant, r.kind, p.id, r.name_key, r.pk FROM resources r,
       (SELECT id FROM names WHERE name LIKE '%userName' LIMIT 1) p
WHERE r.id LIKE 'f%' AND NOT EXISTS (SELECT 1 FROM resource_keys k WHERE k.tenant = r.tenant AND k.pk = r.pk);

-- Each is in a group of a hundred.
INSERT INTO resources (tenant, kind, id, version, created, modified, name, name_key)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 1, (SELECT id FROM names WHERE name = '/Group'), 'g' || n, 1, n, n, 'Group ' || n, 'group ' || n
FROM g WHERE n % 100 = 0;

INSERT INTO group_members (group_pk, member_pk, tenant, member_id, member_kind)
SELECT g.pk, u.pk, u.tenant, u.id, u.kind FROM resources u
JOIN resources g ON g.id = 'g' || ((u.created + 99) / 100 * 100) AND g.tenant = u.tenant
WHERE u.id LIKE 'f%' AND NOT EXISTS (SELECT 1 FROM group_members m WHERE m.member_pk = u.pk);

INSERT INTO changes (tenant, at, version, actor_kind, actor, request, act, kind, resource, paths, delta,
                     personal_digest, personal, place, hash)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 1, n, 1, 'token', 't', 'r' || n, 'patched', 'User', 'f' || n % 5000, 'title', '', 'd', '{}',
       1000000 + n, 'h'
FROM g;

INSERT INTO tokens (id, tenant, purpose, name, scopes, cidrs, phc, tag, secret_version, created, created_by, revoked)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 'f' || n, 1, 'provisioning', 'Fill ' || n, 'scim', '', 'p', (SELECT tag FROM tokens LIMIT 1), 1, n, 'cli', n
FROM g;

INSERT INTO admin_sessions (digest, admin, created, seen, proven)
WITH RECURSIVE g (n) AS (SELECT CAST(:from AS bigint) UNION ALL SELECT n + 1 FROM g WHERE n < :to)
SELECT 'f' || n, (SELECT name FROM admins ORDER BY name LIMIT 1), n, n, n FROM g;
