-- What a request changed, and which requests are of strangers: those whose token was not proven. They have
-- room of their own, and say how many more came that were not kept.
ALTER TABLE requests ADD COLUMN changed integer;
ALTER TABLE requests ADD COLUMN stranger integer NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN unkept bigint NOT NULL DEFAULT 0;
CREATE INDEX requests_strangers ON requests (seq) WHERE stranger <> 0;
