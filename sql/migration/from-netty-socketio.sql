-- Moves users, conferences, members and trees of an S2 installation, the Java server on netty-socketio, into rollcall.
-- For MySQL and MariaDB. docs/migration.md tells it step by step:
--
--   mariadb --table rollcall < sql/migration/from-netty-socketio.sql
--
-- It wants the tables of rollcall ("server migrate up") and, beside them, four views that show the old tables under
-- names it knows. The columns count, in any type; extra ones do no harm. Where the old tables are called like this:
--
--   CREATE VIEW s2_users AS SELECT id, nick_name AS name FROM meeting.sys_user;
--   CREATE VIEW s2_presence AS SELECT user_id, conference_id, is_online AS online FROM meeting.conference_user;
--   CREATE VIEW s2_tree AS SELECT conference_id, conference_status, conference_content, topic_content, countersign_data,
--       timer, same_screen, head_data, sign_in_data FROM meeting.conference_note;
--   CREATE VIEW s2_members AS SELECT conference_id, user_id, name FROM meeting.conference_member;
--
-- and without a table of members
--
--   CREATE VIEW s2_members AS SELECT '' AS conference_id, '' AS user_id, '' AS name FROM DUAL WHERE 1 = 0;
--
-- It only adds. What is in rollcall's tables already stays as it is, so it may be run again.

SET NAMES utf8mb4;
SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'; -- what does not fit is an error, not cut in silence
SET @bad = '[^[:alpha:][:digit:]._:@-]'; -- what no id may hold; MySQL 5.7 takes only ASCII letters for letters
SET @now = CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED);

START TRANSACTION;

-- Who has a presence row was there once, and is somebody even if the users table has lost him.
INSERT INTO users (id, name, updated_at)
SELECT u.id, LEFT(MAX(u.name), 255), @now
FROM (
    SELECT CONVERT(id USING utf8mb4) COLLATE utf8mb4_bin AS id, COALESCE(CONVERT(name USING utf8mb4), '') AS name FROM s2_users
    UNION ALL
    SELECT CONVERT(user_id USING utf8mb4) COLLATE utf8mb4_bin, '' FROM s2_presence
) u
WHERE CHAR_LENGTH(u.id) BETWEEN 1 AND 64 AND u.id NOT REGEXP @bad AND u.id NOT IN ('undefined', 'null')
GROUP BY u.id
ON DUPLICATE KEY UPDATE id = users.id;

-- The state in s2_presence ("0" online, "1" offline) is not moved, nor are its rows: rollcall calls somebody online
-- because of a connection that it holds, and holds none yet. Everybody is offline until he connects.
INSERT INTO conferences (id, created_at, updated_at)
SELECT DISTINCT c.id, @now, @now
FROM (
    SELECT CONVERT(conference_id USING utf8mb4) COLLATE utf8mb4_bin AS id FROM s2_tree
    UNION ALL
    SELECT CONVERT(conference_id USING utf8mb4) COLLATE utf8mb4_bin FROM s2_presence
    UNION ALL
    SELECT CONVERT(conference_id USING utf8mb4) COLLATE utf8mb4_bin FROM s2_members
) c
WHERE CHAR_LENGTH(c.id) BETWEEN 1 AND 64 AND c.id NOT REGEXP @bad AND c.id NOT IN ('0', 'undefined', 'null')
ON DUPLICATE KEY UPDATE id = conferences.id;

INSERT INTO conference_members (conference_id, user_id, name)
SELECT m.conference_id, m.user_id, LEFT(MAX(m.name), 255)
FROM (
    SELECT CONVERT(conference_id USING utf8mb4) COLLATE utf8mb4_bin AS conference_id,
        CONVERT(user_id USING utf8mb4) COLLATE utf8mb4_bin AS user_id, COALESCE(CONVERT(name USING utf8mb4), '') AS name
    FROM s2_members
) m
WHERE CHAR_LENGTH(m.conference_id) BETWEEN 1 AND 64 AND m.conference_id NOT REGEXP @bad AND m.conference_id NOT IN ('0', 'undefined', 'null')
    AND CHAR_LENGTH(m.user_id) BETWEEN 1 AND 64 AND m.user_id NOT REGEXP @bad AND m.user_id NOT IN ('undefined', 'null')
GROUP BY m.conference_id, m.user_id
ON DUPLICATE KEY UPDATE user_id = conference_members.user_id;

-- Sections go over as they are, raw tabs, line feeds and broken JSON included: rollcall reads them with care.
INSERT INTO conference_nodes (conference_id, conference_status, conference_content, topic_content, countersign_data,
    timer, same_screen, head_data, sign_in_data)
SELECT t.moved_id, t.conference_status, t.conference_content, t.topic_content, t.countersign_data,
    t.timer, t.same_screen, t.head_data, t.sign_in_data
FROM (SELECT CONVERT(conference_id USING utf8mb4) COLLATE utf8mb4_bin AS moved_id, s2_tree.* FROM s2_tree) t
WHERE CHAR_LENGTH(t.moved_id) BETWEEN 1 AND 64 AND t.moved_id NOT REGEXP @bad AND t.moved_id NOT IN ('0', 'undefined', 'null')
ON DUPLICATE KEY UPDATE conference_id = conference_nodes.conference_id;

COMMIT;

-- What there was, and what there is now.
SELECT 'users' AS moved, (SELECT COUNT(*) FROM s2_users) AS in_s2, (SELECT COUNT(*) FROM users) AS in_rollcall
UNION ALL
SELECT 'trees', (SELECT COUNT(*) FROM s2_tree), (SELECT COUNT(*) FROM conference_nodes)
UNION ALL
SELECT 'members', (SELECT COUNT(*) FROM s2_members), (SELECT COUNT(*) FROM conference_members);

-- What was left out: a row whose user or conference has an id that rollcall does not allow. A presence row without a
-- conference is none of them, it only told of its user.
SELECT s.what AS skipped, s.conference_id, s.user_id
FROM (
    SELECT 'user' AS what, '' AS conference_id, COALESCE(CONVERT(id USING utf8mb4), '') COLLATE utf8mb4_bin AS user_id FROM s2_users
    UNION ALL
    SELECT 'presence', COALESCE(CONVERT(conference_id USING utf8mb4), '') COLLATE utf8mb4_bin, COALESCE(CONVERT(user_id USING utf8mb4), '') COLLATE utf8mb4_bin FROM s2_presence
    UNION ALL
    SELECT 'member', COALESCE(CONVERT(conference_id USING utf8mb4), ''), COALESCE(CONVERT(user_id USING utf8mb4), '') FROM s2_members
    UNION ALL
    SELECT 'tree', COALESCE(CONVERT(conference_id USING utf8mb4), ''), '' FROM s2_tree
) s
WHERE s.what <> 'tree'
        AND (CHAR_LENGTH(s.user_id) NOT BETWEEN 1 AND 64 OR s.user_id REGEXP @bad OR s.user_id IN ('undefined', 'null'))
    OR s.what <> 'user' AND NOT (s.what = 'presence' AND s.conference_id IN ('', '0', 'undefined', 'null'))
        AND (CHAR_LENGTH(s.conference_id) NOT BETWEEN 1 AND 64 OR s.conference_id REGEXP @bad OR s.conference_id IN ('0', 'undefined', 'null'))
ORDER BY s.what, s.conference_id, s.user_id;
