"""Durable storage of one sandbox: documents in memory, written through to SQLite.

The process is the only owner of its file, so reads come from memory and writes go to both. A unit of
work holds one lock for its system's writes, and is undone in memory as well when it is rolled back.

Public surface: Store (transaction, get, put, delete, all, find, counter, setting, execute, query).
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (seq INTEGER PRIMARY KEY, system TEXT NOT NULL, type TEXT NOT NULL,
    id TEXT NOT NULL, json TEXT NOT NULL, created TEXT, modified TEXT, UNIQUE (system, type, id));
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS settings (system TEXT, name TEXT, json TEXT NOT NULL, PRIMARY KEY (system, name));
CREATE TABLE IF NOT EXISTS tokens (token TEXT PRIMARY KEY, system TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE IF NOT EXISTS idempotency (system TEXT, key TEXT, fingerprint TEXT, status INTEGER, headers TEXT,
    body BLOB, at REAL, PRIMARY KEY (system, key));
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY, system TEXT NOT NULL, json TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS requests (seq INTEGER PRIMARY KEY, system TEXT NOT NULL, at TEXT, method TEXT,
    path TEXT, query TEXT, status INTEGER, correlation_id TEXT, idempotency_key TEXT, headers TEXT, body TEXT,
    response TEXT, fault TEXT);
CREATE INDEX IF NOT EXISTS requests_of ON requests (system, seq);
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, system TEXT NOT NULL, id TEXT NOT NULL, type TEXT,
    json TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL,
    created TEXT, log TEXT NOT NULL DEFAULT '[]', UNIQUE (system, id));
CREATE INDEX IF NOT EXISTS events_due ON events (system, state, due);
CREATE TABLE IF NOT EXISTS sink (seq INTEGER PRIMARY KEY, id TEXT, at TEXT, verified INTEGER, reason TEXT,
    headers TEXT, json TEXT);
"""

# How a column of ours may be named inside a document, by vendor: kept outside, documents are the vendor's.
Document = dict[str, Any]


class Store:
    """See module head. Documents must not be changed in place: put a changed copy."""

    def __init__(self, path: Path, *, fresh: bool = False):
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
        self.path = path
        self.lock = threading.RLock()
        self._depth = 0
        self._undo: list[tuple[str, str, str, tuple[int, Document] | None]] = []
        self._after: list = []
        self._local = threading.local()
        self._writer = self._connect()
        self._writer.executescript(SCHEMA)
        self._docs: dict[tuple[str, str], dict[str, Document]] = {}
        self._seqs: dict[tuple[str, str, str], int] = {}
        self._index: dict[tuple[str, str, str], dict[Any, dict[str, None]]] = {}
        self._counters = dict(self._writer.execute("SELECT name, value FROM counters"))
        self._settings = {
            (s, n): json.loads(v)
            for s, n, v in self._writer.execute("SELECT system, name, json FROM settings")
        }
        for seq, system, kind, id_, text in self._writer.execute(
            "SELECT seq, system, type, id, json FROM documents ORDER BY seq"
        ):
            self._docs.setdefault((system, kind), {})[id_] = json.loads(text)
            self._seqs[system, kind, id_] = seq
        self._last_seq = max(self._seqs.values(), default=0)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=30)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=OFF")
        return connection

    # -- units of work ---------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, in memory and on disk. Nested use makes savepoints."""
        with self.lock:
            depth, mark = self._depth, len(self._undo)
            self._writer.execute("BEGIN" if depth == 0 else f"SAVEPOINT s{depth}")
            self._depth += 1
            try:
                yield
            except BaseException:
                self._depth = depth
                self._rollback_memory(mark)
                self._writer.execute("ROLLBACK" if depth == 0 else f"ROLLBACK TO s{depth}")
                if depth:
                    self._writer.execute(f"RELEASE s{depth}")
                else:
                    self._after.clear()
                raise
            self._depth = depth
            self._writer.execute("COMMIT" if depth == 0 else f"RELEASE s{depth}")
            if depth == 0:
                self._undo.clear()
                after, self._after = self._after, []
                for call in after:
                    call()

    def after_commit(self, call) -> None:
        """Run once the outermost unit of work is committed (now, when there is none)."""
        with self.lock:
            if self._depth:
                self._after.append(call)
                return
        call()

    def _rollback_memory(self, mark: int) -> None:
        while len(self._undo) > mark:
            system, kind, id_, before = self._undo.pop()
            self._forget(system, kind, id_)
            if before is not None:
                seq, doc = before
                self._remember(system, kind, id_, seq, doc)

    # -- documents -------------------------------------------------------------------------------

    def get(self, system: str, kind: str, id_: str) -> Document | None:
        return self._docs.get((system, kind), {}).get(id_)

    def all(self, system: str, kind: str) -> list[Document]:
        return list(self._docs.get((system, kind), {}).values())

    def count(self, system: str, kind: str) -> int:
        return len(self._docs.get((system, kind), {}))

    def kinds(self, system: str) -> list[str]:
        return sorted(kind for s, kind in list(self._docs) if s == system)

    def seq(self, system: str, kind: str, id_: str) -> int:
        """Position in the order of first creation."""
        return self._seqs.get((system, kind, id_), 0)

    def find(self, system: str, kind: str, field: str, value: Any) -> list[Document]:
        """Documents whose top-level field equals the value, through an index built on first use."""
        with self.lock:
            key = (system, kind, field)
            if key not in self._index:
                index: dict[Any, dict[str, None]] = {}
                for id_, doc in self._docs.get((system, kind), {}).items():
                    if _hashable(doc.get(field)):
                        index.setdefault(doc.get(field), {})[id_] = None
                self._index[key] = index
            docs = self._docs.get((system, kind), {})
            return [docs[id_] for id_ in self._index[key].get(value, ())]

    def put(
        self, system: str, kind: str, id_: str, doc: Document, *, created: str = "", modified: str = ""
    ) -> None:
        with self.transaction():
            before = self.get(system, kind, id_)
            if before is None:
                self._last_seq += 1
                seq = self._last_seq
                self._undo.append((system, kind, id_, None))
            else:
                seq = self._seqs[system, kind, id_]
                self._undo.append((system, kind, id_, (seq, before)))
            self._writer.execute(
                "INSERT INTO documents (seq, system, type, id, json, created, modified) VALUES (?,?,?,?,?,?,?) "
                "ON CONFLICT (system, type, id) DO UPDATE SET json = excluded.json, modified = excluded.modified",
                (seq, system, kind, id_, json.dumps(doc), created, modified),
            )
            if before is not None:
                self._unindex(system, kind, id_, before)
            self._remember(system, kind, id_, seq, doc)

    def delete(self, system: str, kind: str, id_: str) -> Document | None:
        with self.transaction():
            before = self.get(system, kind, id_)
            if before is None:
                return None
            self._undo.append((system, kind, id_, (self._seqs[system, kind, id_], before)))
            self._writer.execute(
                "DELETE FROM documents WHERE system=? AND type=? AND id=?", (system, kind, id_)
            )
            self._forget(system, kind, id_)
            return before

    def _remember(self, system, kind, id_, seq, doc) -> None:
        docs = self._docs.setdefault((system, kind), {})
        docs[id_] = doc
        self._seqs[system, kind, id_] = seq
        for (s, k, field), index in self._index.items():
            if s == system and k == kind and _hashable(doc.get(field)):
                index.setdefault(doc.get(field), {})[id_] = None

    def _forget(self, system, kind, id_) -> None:
        doc = self._docs.get((system, kind), {}).pop(id_, None)
        self._seqs.pop((system, kind, id_), None)
        if doc is not None:
            self._unindex(system, kind, id_, doc)

    def _unindex(self, system, kind, id_, doc) -> None:
        for (s, k, field), index in self._index.items():
            if s == system and k == kind and _hashable(doc.get(field)):
                index.get(doc.get(field), {}).pop(id_, None)

    # -- small things ----------------------------------------------------------------------------

    def counter(self, name: str, *, start: int = 0) -> int:
        """Next number of a named counter (start + 1 first). Not undone by a rollback, like a sequence."""
        with self.lock:
            value = self._counters.get(name, start) + 1
            self._counters[name] = value
            self._writer.execute("INSERT OR REPLACE INTO counters VALUES (?, ?)", (name, value))
            return value

    def setting(self, system: str, name: str, default: Any = None) -> Any:
        return self._settings.get((system, name), default)

    def set_setting(self, system: str, name: str, value: Any) -> None:
        with self.lock:
            self._settings[system, name] = value
            self._writer.execute(
                "INSERT OR REPLACE INTO settings VALUES (?,?,?)", (system, name, json.dumps(value))
            )

    def execute(self, sql: str, parameters: tuple = ()) -> sqlite3.Cursor:
        """A write."""
        with self.lock:
            return self._writer.execute(sql, parameters)

    def query(self, sql: str, parameters: tuple = ()) -> list[tuple]:
        """A read, on this thread's own connection, of what is committed."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return connection.execute(sql, parameters).fetchall()

    def clear(self, system: str, *, everything: bool = False) -> None:
        """Forget records, events, requests, faults and idempotency of a system; with everything also
        credentials, tokens, webhook and settings."""
        with self.transaction():
            for table in ("documents", "events", "requests", "faults", "idempotency"):
                self._writer.execute(f"DELETE FROM {table} WHERE system = ?", (system,))
            for key in [key for key in self._docs if key[0] == system]:
                del self._docs[key]
            for key in [key for key in self._seqs if key[0] == system]:
                del self._seqs[key]
            for key in [key for key in self._index if key[0] == system]:
                del self._index[key]
            if everything:
                self._writer.execute("DELETE FROM settings WHERE system = ?", (system,))
                self._writer.execute("DELETE FROM tokens WHERE system = ?", (system,))
                for key in [key for key in self._settings if key[0] == system]:
                    del self._settings[key]


def _hashable(value: Any) -> bool:
    return isinstance(value, str | int | float | bool | None)
