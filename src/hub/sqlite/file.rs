//! The file: what is in it, and what may be wrong with it.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::hub::HubError;

/// "LuaH": tells our files from those of others.
const APPLICATION: i64 = 0x4C75_6148;
/// The format. Another one is another table.
const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE entries (
        key TEXT PRIMARY KEY NOT NULL,
        value TEXT NOT NULL,
        revision INTEGER NOT NULL,
        expires INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE counter (revision INTEGER NOT NULL);
    INSERT INTO counter VALUES (0);
";

/// What stands in the file for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// JSON.
    pub(super) value: Arc<str>,
    pub(super) revision: u64,
    /// Milliseconds since 1970.
    pub(super) expires: Option<u64>,
}

/// An open database.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    connection: Connection,
    /// Another one when another process has written; `None`: nothing has been read yet.
    version: Option<i64>,
}

impl File {
    /// An empty file that nobody else can read, with its directory.
    pub(super) fn make(path: &Path) -> Result<(), HubError> {
        let unusable = |source| HubError::Unusable { path: path.to_owned(), source };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(unusable)?;
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(unusable(error)),
            _ => Ok(()),
        }
    }

    /// Whoever has it locked is waited for that long.
    pub(super) fn open(path: &Path, patience: Duration) -> Result<Self, HubError> {
        let unusable = |source| HubError::Unusable { path: path.to_owned(), source };
        // SQLite says of all of that only that it "can't open" it.
        OpenOptions::new().read(true).write(true).open(path).map_err(unusable)?;
        let connection = Connection::open(path).map_err(|error| Self::opening(path, &error))?;
        Self::with(path, connection, patience).map_err(|failed| match failed {
            Failed::Sqlite(error) => Self::opening(path, &error),
            Failed::Refused(error) => error,
        })
    }

    pub(super) fn in_memory() -> Result<Self, HubError> {
        let path = Path::new(":memory:");
        let opened = Connection::open_in_memory().map_err(Failed::Sqlite);
        opened.and_then(|connection| Self::with(path, connection, Duration::ZERO)).map_err(|failed| {
            match failed {
                Failed::Sqlite(error) => Self::opening(path, &error),
                Failed::Refused(error) => error,
            }
        })
    }

    fn with(path: &Path, mut connection: Connection, patience: Duration) -> Result<Self, Failed> {
        connection.busy_timeout(patience)?;
        let number = |connection: &Connection, name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let tables: i64 =
            transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let (application, found) =
            (number(&transaction, "application_id")?, number(&transaction, "user_version")?);
        if tables == 0 && application == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        } else if application != APPLICATION {
            return Err(Failed::Refused(HubError::Foreign { path: path.to_owned() }));
        } else if found != FORMAT {
            let (path, known) = (path.to_owned(), FORMAT);
            return Err(Failed::Refused(HubError::OtherVersion { path, found, known }));
        }
        transaction.commit()?;
        let problem: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if problem != "ok" {
            return Err(Failed::Refused(HubError::Damaged { path: path.to_owned(), problem }));
        }
        // Readers and one writer at the same time; and what is committed is on the disk.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        Ok(Self { path: path.to_owned(), connection, version: None })
    }

    fn opening(path: &Path, error: &rusqlite::Error) -> HubError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                HubError::Locked { path: path.to_owned() }
            }
            _ => HubError::Damaged { path: path.to_owned(), problem: error.to_string() },
        }
    }

    pub(super) fn damaged(&self, problem: &rusqlite::Error) -> HubError {
        HubError::Damaged { path: self.path.clone(), problem: problem.to_string() }
    }

    /// What went wrong, and what helps.
    pub(super) fn explain(&self, problem: &rusqlite::Error) -> String {
        let path = self.path.display();
        match problem.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => format!("{path}: the disk is full; make room"),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                format!("{path} is locked by another program for longer than hub.patience")
            }
            Some(ErrorCode::ReadOnly) => {
                format!("{path} can't be written; its directory has to be writable, too")
            }
            _ => format!("{path}: {problem}"),
        }
    }

    /// Everything that is in it.
    fn rows(&self) -> rusqlite::Result<HashMap<Arc<str>, Row>> {
        let mut all = self.connection.prepare_cached("SELECT key, value, revision, expires FROM entries")?;
        let rows = all.query_map([], |row| {
            let (key, value): (String, String) = (row.get(0)?, row.get(1)?);
            let row = Row { value: value.into(), revision: row.get(2)?, expires: row.get(3)? };
            Ok((key.into(), row))
        })?;
        rows.collect()
    }

    /// All rows, if another process has written since the last time, or nobody has asked yet.
    pub(super) fn rows_if_changed(&mut self) -> rusqlite::Result<Option<HashMap<Arc<str>, Row>>> {
        let mut asked = self.connection.prepare_cached("PRAGMA data_version")?;
        let version = Some(asked.query_row([], |row| row.get(0))?);
        drop(asked);
        if version == self.version {
            return Ok(None);
        }
        let rows = self.rows()?;
        self.version = version;
        Ok(Some(rows))
    }

    /// All of what `work` does is on the disk when this returns, or none of it.
    pub(super) fn transaction<R>(
        &mut self,
        work: impl FnOnce(&Rows<'_>) -> rusqlite::Result<R>,
    ) -> rusqlite::Result<R> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let rows = Rows(transaction);
        let result = work(&rows)?;
        rows.0.commit()?;
        Ok(result)
    }
}

enum Failed {
    Sqlite(rusqlite::Error),
    Refused(HubError),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// The table, within a transaction.
pub(super) struct Rows<'a>(Transaction<'a>);

impl Rows<'_> {
    pub(super) fn get(&self, key: &str) -> rusqlite::Result<Option<Row>> {
        let mut one = self.0.prepare_cached("SELECT value, revision, expires FROM entries WHERE key = ?1")?;
        let row = one.query_row([key], |row| {
            let value: String = row.get(0)?;
            Ok(Row { value: value.into(), revision: row.get(1)?, expires: row.get(2)? })
        });
        row.optional()
    }

    pub(super) fn put(&self, key: &str, row: &Row) -> rusqlite::Result<()> {
        let mut put = self.0.prepare_cached(
            "INSERT INTO entries (key, value, revision, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (key) DO UPDATE SET value = ?2, revision = ?3, expires = ?4",
        )?;
        put.execute(params![key, &*row.value, row.revision, row.expires]).map(drop)
    }

    pub(super) fn delete(&self, key: &str) -> rusqlite::Result<()> {
        self.0.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute([key]).map(drop)
    }

    pub(super) fn next_revision(&self) -> rusqlite::Result<u64> {
        let mut next =
            self.0.prepare_cached("UPDATE counter SET revision = revision + 1 RETURNING revision")?;
        next.query_row([], |row| row.get(0))
    }

    /// Deletes those of these keys whose time is over, and says which.
    pub(super) fn expire(&self, keys: &[Arc<str>], now: u64) -> rusqlite::Result<Vec<Arc<str>>> {
        let mut delete = self.0.prepare_cached("DELETE FROM entries WHERE key = ?1 AND expires <= ?2")?;
        let mut gone = Vec::new();
        for key in keys {
            if delete.execute(params![&**key, now])? > 0 {
                gone.push(key.clone());
            }
        }
        Ok(gone)
    }
}
