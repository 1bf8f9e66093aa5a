-- Who did what, to whom, when, from where. Never a secret.
CREATE TABLE audit_records (
    -- Made from the time, so the order of ids is the order in which things happened.
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('signed_up', 'signed_in', 'sign_in_failed', 'signed_out', 'key_read',
        'key_regenerated', 'role_changed', 'suspended', 'reinstated', 'stream_ended', 'channel_deleted', 'password_set')),
    -- Null when nobody was signed in, and for the operator at the command line.
    actor_id uuid REFERENCES users,
    -- Whose account or channel it was.
    subject_id uuid REFERENCES users,
    -- It may be gone long since.
    channel_id uuid,
    address text,
    detail text CHECK (length(detail) <= 1000),
    -- How often it happened in its minute or hour, for what is put on record once in such a time.
    times integer NOT NULL DEFAULT 1,
    -- What tells it from others of its time.
    slot bytea UNIQUE
);
CREATE INDEX audit_records_of_actor ON audit_records (actor_id, id);
CREATE INDEX audit_records_of_subject ON audit_records (subject_id, id);
CREATE INDEX audit_records_of_kind ON audit_records (kind, id);
CREATE INDEX audit_records_at ON audit_records USING brin (at);

-- What is on record stays as it is: of a row only `times` may grow. Rows are removed by who has said in the same
-- transaction up to when, which is the sweep.
CREATE FUNCTION audit_records_stay() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
        BEGIN
            IF TG_OP = 'UPDATE' THEN
                OLD.times := greatest(OLD.times, NEW.times);
                IF NEW IS NOT DISTINCT FROM OLD THEN
                    RETURN NEW;
                END IF;
            ELSIF TG_OP = 'DELETE' THEN
                IF OLD.at < nullif(current_setting('tally.audit_horizon', true), '')::timestamptz THEN
                    RETURN OLD;
                END IF;
            END IF;
            RAISE EXCEPTION 'audit records are only ever added';
        END
    $$;
CREATE TRIGGER audit_records_stay BEFORE UPDATE OR DELETE ON audit_records
    FOR EACH ROW EXECUTE FUNCTION audit_records_stay();
CREATE TRIGGER audit_records_all_stay BEFORE TRUNCATE ON audit_records
    FOR EACH STATEMENT EXECUTE FUNCTION audit_records_stay();
