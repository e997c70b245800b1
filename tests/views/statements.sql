-- Statements that are answered, alike by both engines. One ends with a semicolon at the end of a line.

SELECT count(*) FROM audit_events;

SELECT tool_name, count(*) AS n FROM audit_events GROUP BY tool_name ORDER BY n DESC, tool_name LIMIT 10;

SELECT tool_name FROM audit_events WHERE phase = 'attempt' ORDER BY tool_name, seq LIMIT 20;

SELECT error_type, count(*) FROM audit_events GROUP BY 1 ORDER BY 1;

SELECT error_type, count(*) FROM audit_events GROUP BY 1 ORDER BY 1 DESC;

SELECT error_type, count(*) FROM audit_events GROUP BY error_type ORDER BY error_type NULLS FIRST;

SELECT error_type, seq FROM audit_events ORDER BY error_type DESC NULLS FIRST, seq DESC LIMIT 30;

SELECT seq / 7, seq // 7, -seq // 7, seq % 7, -seq % 7, seq / 0, seq // 0, seq % 0 FROM audit_events ORDER BY seq
LIMIT 30;

SELECT latency_us / 1000.0, round(latency_us / 1000.0, 2), round(latency_us * 0.005, 1), round(latency_us / 7),
round(latency_us), 0.1 * latency_us FROM audit_events WHERE latency_us IS NOT NULL ORDER BY seq LIMIT 300;

SELECT count(*) FROM audit_events WHERE tool_name LIKE 'GET%';

SELECT count(*) FROM audit_events WHERE tool_name LIKE 'get%' OR tool_name LIKE '%t_%i%' AND tool_name LIKE '_e%';

SELECT count(*) FROM audit_events WHERE tool_name ILIKE 'GET_%';

SELECT count(*) FROM audit_events WHERE NOT tool_name LIKE '%a%' AND tool_name NOT ILIKE '%E%';

SELECT DISTINCT tool_name || '/' || error_type FROM audit_events ORDER BY 1 LIMIT 20;

SELECT DISTINCT concat(server_id, ':', error_type) AS c FROM audit_events ORDER BY c LIMIT 30;

SELECT late, trace_propagated, late IS NULL, late = true, NOT late FROM audit_events ORDER BY seq LIMIT 5;

SELECT count(*) FROM audit_events WHERE late IS NOT TRUE;

SELECT count(*) FILTER (WHERE policy_decision = 'deny') AS denied, count(*) FILTER (WHERE late), count(error_type),
count(DISTINCT user_id), count(DISTINCT tool_name || server_id) FROM audit_events;

SELECT cast(seq AS DOUBLE), cast(seq AS VARCHAR), cast(seq * 0.5 AS BIGINT), cast(-seq / 2 AS INT), cast(seq / 8 AS
TEXT), try_cast(seq * 1.5 AS BIGINT) FROM audit_events ORDER BY seq LIMIT 50;

SELECT server_id, quantile_disc(latency_us, 0.5), quantile_disc(latency_us, 0.95), quantile_disc(latency_us, 1),
max(latency_us), min(latency_us), sum(latency_us), avg(latency_us) FROM audit_events GROUP BY server_id ORDER BY 1;

SELECT quantile_disc(tool_name, 0.5), quantile_disc(error_type, 0.1) FROM audit_events;

SELECT seq, row_number() OVER (ORDER BY seq DESC) AS r, rank() OVER (PARTITION BY server_id ORDER BY risk_tier) AS
k, dense_rank() OVER (ORDER BY error_type) AS d FROM audit_events ORDER BY seq LIMIT 40;

SELECT seq, lag(ts) OVER (ORDER BY seq), lead(tool_name, 2, 'none') OVER (ORDER BY seq), ts - lag(ts) OVER (ORDER BY
seq) AS gap, sum(input_size) OVER (PARTITION BY user_id ORDER BY seq ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM
audit_events ORDER BY seq LIMIT 60;

WITH d AS (SELECT substring(timestamp, 1, 10) AS day, count(*) AS n FROM audit_events GROUP BY 1) SELECT day, n,
sum(n) OVER (ORDER BY day) AS total FROM d ORDER BY day;

WITH a AS (SELECT call_id FROM audit_events WHERE phase = 'attempt'), r AS (SELECT call_id, latency_us AS us FROM
audit_events WHERE phase = 'result') SELECT count(*), max(us) FROM a JOIN r USING (call_id);

SELECT a.seq, b.seq FROM audit_events a LEFT JOIN audit_events b ON a.call_id = b.call_id AND a.seq < b.seq ORDER BY
a.seq, b.seq LIMIT 50;

SELECT tool_name FROM audit_events WHERE risk_tier = 4 UNION SELECT tool_name FROM audit_events WHERE risk_tier = 3
ORDER BY 1;

SELECT server_id FROM audit_events EXCEPT SELECT server_id FROM audit_events WHERE policy_decision = 'deny' ORDER BY
1;

SELECT server_id FROM audit_events INTERSECT SELECT server_id FROM audit_events WHERE error_type IS NOT NULL ORDER
BY 1;

SELECT 1 AS n, 'a' AS t UNION ALL SELECT seq, phase FROM audit_events WHERE seq < 4 ORDER BY n, t;

SELECT user_id, count(*) FROM audit_events GROUP BY user_id HAVING count(*) > 4 AND max(risk_tier) < 4 ORDER BY 2, 1;

SELECT count(*) FROM audit_events WHERE latency_us > (SELECT avg(latency_us) FROM audit_events);

SELECT count(*) FROM audit_events WHERE tool_name IN (SELECT tool_name FROM audit_events WHERE policy_decision =
'deny') AND user_id NOT IN (SELECT user_id FROM audit_events WHERE error_type IS NOT NULL AND user_id IS NOT NULL);

SELECT count(*) FROM audit_events e WHERE EXISTS (SELECT 1 FROM audit_events r WHERE r.call_id = e.call_id AND
r.result_status = 'failed') AND e.phase = 'attempt';

SELECT lower(tool_name), upper(server_id), length(user_id), trim(tool_name, 'gte'), substring(user_id, 3),
substring(user_id, 30, 3) FROM audit_events ORDER BY seq LIMIT 20;

SELECT count(*) FROM audit_events WHERE seq BETWEEN 10 AND 20 OR latency_us NOT BETWEEN 1000 AND 100000;

SELECT CASE WHEN risk_tier > 3 THEN 'high' WHEN risk_tier > 1 THEN 'medium' ELSE 'low' END AS tier, count(*) FROM
audit_events GROUP BY tier ORDER BY tier;

SELECT CASE policy_decision WHEN 'deny' THEN 1 WHEN 'allow' THEN 0.5 END AS c, count(*) FROM audit_events GROUP BY c
ORDER BY c;

SELECT coalesce(error_type, result_status, 'none') AS e, nullif(policy_decision, 'allow') AS p, count(*) FROM
audit_events GROUP BY 1, 2 ORDER BY 1, 2;

SELECT abs(-seq), -seq, abs(seq - 500.5) FROM audit_events ORDER BY seq LIMIT 9;

SELECT count(*), sum(latency_us), avg(latency_us), max(tool_name) FROM audit_events WHERE tool_name = 'nothing';

SELECT tool_name, count(*) FROM audit_events WHERE tool_name = 'nothing' GROUP BY tool_name;

SELECT * FROM audit_events WHERE seq IN (3, 5, 700) ORDER BY seq;

SELECT * FROM (SELECT seq, tool_name AS t FROM audit_events) x WHERE t IS NOT NULL AND seq < 9 ORDER BY seq;

SELECT user_id, tool_name FROM audit_events WHERE timestamp >= '2026-11-10' AND timestamp < '2026-11-12' ORDER BY
timestamp, seq;

SELECT seq FROM audit_events ORDER BY length(tool_name) DESC, seq LIMIT 7 OFFSET 3;

SELECT count(*) FROM audit_events WHERE resource = 'crm://invoice/0' OR downstream_resource LIKE '%/7';

SELECT sum(CASE WHEN policy_decision = 'deny' THEN 1 ELSE 0 END) * 100.0 / count(*) AS share FROM audit_events;

SELECT risk_tier, count(*) * 2 + 1, max(seq) - min(seq) FROM audit_events GROUP BY risk_tier ORDER BY risk_tier;

SELECT NULL, NULL = 1, coalesce(NULL, 2), 1 IN (2, NULL) FROM audit_events LIMIT 1;

SELECT 1 + 1, 'it''s', 1e3, .5, TRUE;

SELECT "Tool_Name" AS "the tool", AUDIT_EVENTS.Seq FROM "audit_events" ORDER BY 2 LIMIT 3;

FROM audit_events SELECT seq ORDER BY seq LIMIT 2;
