CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE sources (name TEXT PRIMARY KEY, state TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE hours (
    state_id TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    provisional INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    content TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL DEFAULT '',
    final_built INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state_id, start_ms, provisional)
) STRICT, WITHOUT ROWID;
CREATE TABLE reports (
    state_id TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    final INTEGER NOT NULL,
    body BLOB NOT NULL,
    held_from_ms INTEGER,
    catch_up TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    retry_ms INTEGER NOT NULL DEFAULT 0,
    problem TEXT NOT NULL DEFAULT '',
    quarantined INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (state_id, start_ms)
) STRICT, WITHOUT ROWID;
PRAGMA application_id=1514293809;
PRAGMA user_version=1;
