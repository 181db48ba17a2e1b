-- Rows from :from to :to, many of everything that grows, in the first tenant.
INSERT INTO resources (tenant, kind, id, version, created, modified, name, name_key, external_id, active)
SELECT 1, (SELECT id FROM names WHERE name = '/User'), 'f' || n, 1, n, n, 'Fill ' || n, 'fill ' || n,
       'e' || n, n % 2
FROM generate_series(:from, :to) n;

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

INSERT INTO changes (tenant, at, version, actor_kind, actor, request, act, kind, resource, paths, delta,
                     personal_digest, personal, place, hash)
SELECT 1, n, 1, 'token', 't', 'r' || n, 'patched', 'User', 'f' || n % 5000, 'title', '', 'd', '{}',
       1000000 + n, 'h'
FROM generate_series(:from, :to) n;

INSERT INTO requests (tenant, at, micros, request, method, route, kind, status, quirks)
SELECT 1, n, 1, 'r' || n, 'GET', '/Users', 'User', CASE WHEN n % 10 = 0 THEN 404 ELSE 200 END, 0
FROM generate_series(:from, :to) n;
