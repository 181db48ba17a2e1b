-- A link stops working when the account that made it loses its rights. Links from before do not say who made
-- them; invitations are made again.
ALTER TABLE setup_links ADD COLUMN giver text COLLATE "C";
DELETE FROM setup_links WHERE purpose = 'invite';

-- Whether the password is strong enough to be the only proof: 1 or 0. NULL until the next log-in says.
ALTER TABLE admins ADD COLUMN stands_alone integer;

-- Taken once and at its strongest: 0005 in the same transaction needs it, and a server that still runs writes here.
LOCK TABLE changes IN ACCESS EXCLUSIVE MODE;

-- The addresses of log-ins are erased after a time, as the names of what was deleted are.
CREATE INDEX changes_sessions ON changes (at) WHERE kind = 'Session' AND personal IS NOT NULL;
