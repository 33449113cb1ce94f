-- Values that belong to no session.

CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_value_v3(p_call bytea, p_key bytea, p_at bigint)
RETURNS TABLE (o_applied boolean, o_version bigint, o_value bytea, o_keep_until bigint) LANGUAGE sql STABLE AS $$
    SELECT false, v.version, v.value, v.keep_until
    FROM (SELECT {schema}.sliding_sessions_check_v3(p_call, 'value')) AS checked
    LEFT JOIN {schema}.sliding_sessions_values AS v ON v.key = p_key AND p_at < v.keep_until
$$;

-- Writes a value if its version is p_version, or if it is missing and p_version is 0. Removes it if p_value is null.
-- Answers with p_next if it did, and else with what there is.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_replace_value_v3(
    p_call bytea, p_key bytea, p_version bigint, p_next bigint, p_value bytea, p_keep_until bigint, p_at bigint
) RETURNS TABLE (o_applied boolean, o_version bigint, o_value bytea, o_keep_until bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'replace_value');
    IF p_version = 0 AND p_value IS NULL THEN
        o_applied := NOT EXISTS (
            SELECT 1 FROM {schema}.sliding_sessions_values AS v WHERE v.key = p_key AND p_at < v.keep_until
        );
    ELSIF p_version = 0 THEN
        INSERT INTO {schema}.sliding_sessions_values AS v (key, version, value, keep_until)
        VALUES (p_key, p_next, p_value, p_keep_until)
        ON CONFLICT (key) DO UPDATE SET version = p_next, value = p_value, keep_until = p_keep_until
        WHERE v.keep_until <= p_at;
        o_applied := FOUND;
    ELSIF p_value IS NULL THEN
        DELETE FROM {schema}.sliding_sessions_values AS v
        WHERE v.key = p_key AND v.version = p_version AND p_at < v.keep_until;
        o_applied := FOUND;
    ELSE
        UPDATE {schema}.sliding_sessions_values AS v
        SET version = p_next, value = p_value, keep_until = p_keep_until
        WHERE v.key = p_key AND v.version = p_version AND p_at < v.keep_until;
        o_applied := FOUND;
    END IF;
    IF NOT o_applied THEN
        SELECT v.version, v.value, v.keep_until INTO o_version, o_value, o_keep_until
        FROM {schema}.sliding_sessions_values AS v WHERE v.key = p_key AND p_at < v.keep_until;
    END IF;
    RETURN NEXT;
END
$$;

-- Deletes values as `sweep` deletes sessions.
CREATE OR REPLACE FUNCTION {schema}.sliding_sessions_sweep_values_v3(
    p_call bytea, p_before bigint, p_age bigint, p_limit bigint
) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_gone bigint;
    v_before CONSTANT bigint :=
        LEAST(p_before, (extract(epoch FROM clock_timestamp()) * 1000)::bigint - p_age);
BEGIN
    PERFORM {schema}.sliding_sessions_check_v3(p_call, 'sweep_values');
    DELETE FROM {schema}.sliding_sessions_values WHERE ctid = ANY (ARRAY(
        SELECT v.ctid FROM {schema}.sliding_sessions_values AS v
        WHERE v.keep_until <= v_before ORDER BY v.keep_until
        LIMIT p_limit FOR UPDATE SKIP LOCKED
    ));
    GET DIAGNOSTICS v_gone = ROW_COUNT;
    RETURN v_gone;
END
$$;
