//! [`DirDepot`]: a directory as the depot, for one machine or a mount that all servers share.
//!
//! ```text
//! blobs/ab/cdef…                     a blob by its address
//! sites/NAME/pointers/00000000000007 a pointer by its revision
//! sites/NAME/servers/SERVER          the report of a server
//! ```
//!
//! Everything is written under another name first. A pointer is then linked to its own: the system lets only one
//! link be made under a name, on a shared mount, too. That is the compare-and-set.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::NamedTempFile;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::MissedTickBehavior,
};

use super::{
    Digest, MAX_POINTER, PIECE,
    depot::{Answered, Depot, DepotError, KEPT_POINTERS, MAX_REPORT, News, Record},
};

/// How often it is seen to whether there is something new: one look at a directory.
const GLANCE: Duration = Duration::from_millis(50);

/// A directory as the depot.
#[derive(Debug, Clone)]
pub struct DirDepot {
    dir: PathBuf,
}

impl DirDepot {
    /// The directory; what is in it is made when it is written.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    fn blob(&self, address: Digest) -> PathBuf {
        let digits = address.to_string();
        let (first, rest) = digits.split_at(2);
        self.dir.join("blobs").join(first).join(rest)
    }

    fn pointers_dir(&self, site: &str) -> PathBuf {
        self.dir.join("sites").join(site).join("pointers")
    }

    fn servers_dir(&self, site: &str) -> PathBuf {
        self.dir.join("sites").join(site).join("servers")
    }
}

/// Does it on a thread where a disk may take its time.
fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DepotError> + Send + 'static,
) -> Answered<'static, T> {
    Box::pin(async move {
        spawn_blocking(work).await.unwrap_or_else(|error| Err(DepotError::Away(error.to_string())))
    })
}

fn failed(path: &Path) -> impl Fn(io::Error) -> DepotError {
    move |source| DepotError::Directory { path: path.to_owned(), source }
}

/// The bytes of a file, if it is there. Others may write here: it waits for no pipe, and takes no more than is meant.
fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, DepotError> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let foreign = |what| DepotError::Foreign { path: path.to_owned(), what };
    if !file.metadata().map_err(failed(path))?.is_file() {
        return Err(foreign("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed(path))?;
    if bytes.len() > most { Err(foreign("larger than anything that is kept there")) } else { Ok(Some(bytes)) }
}

/// Writes a file beside its place.
fn prepare(dir: &Path, bytes: &[u8], is_precious: bool) -> Result<NamedTempFile, DepotError> {
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.tempfile_in(dir).map_err(failed(dir))?;
    file.write_all(bytes).map_err(failed(file.path()))?;
    if is_precious {
        file.as_file().sync_all().map_err(failed(file.path()))?;
    }
    Ok(file)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), DepotError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    prepare(dir, bytes, false)?.persist(path).map_err(|error| failed(path)(error.error))?;
    Ok(())
}

/// The names in a directory; none if it is not there.
fn names(dir: &Path) -> Result<Vec<String>, DepotError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed(dir))?.file_name();
        names.extend(name.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn revisions(dir: &Path) -> Result<Vec<u64>, DepotError> {
    let mut revisions: Vec<u64> = names(dir)?.iter().filter_map(|name| name.parse().ok()).collect();
    revisions.sort_unstable();
    Ok(revisions)
}

fn place(dir: &Path, revision: u64) -> PathBuf {
    dir.join(format!("{revision:020}"))
}

fn records(dir: &Path, revisions: &[u64]) -> Result<Vec<Record>, DepotError> {
    let mut records = Vec::new();
    for &revision in revisions {
        // One that is too old may have gone since.
        let bytes = read(&place(dir, revision), MAX_POINTER)?;
        records.extend(bytes.map(|bytes| Record { revision, bytes }));
    }
    Ok(records)
}

impl Depot for DirDepot {
    fn get(&self, address: Digest) -> Answered<'_, Option<Arc<[u8]>>> {
        let path = self.blob(address);
        blocking(move || Ok(read(&path, PIECE)?.map(Arc::from)))
    }

    fn put(&self, address: Digest, bytes: Arc<[u8]>) -> Answered<'_, ()> {
        let path = self.blob(address);
        blocking(move || replace(&path, &bytes))
    }

    fn missing(&self, addresses: Vec<Digest>) -> Answered<'_, Vec<Digest>> {
        let paths: Vec<_> = addresses.into_iter().map(|address| (address, self.blob(address))).collect();
        blocking(move || {
            let mut missing = Vec::new();
            for (address, path) in paths {
                // A machine that lost power may have kept the name and not the content.
                let is_whole = read(&path, PIECE)
                    .is_ok_and(|bytes| bytes.is_some_and(|bytes| Digest::of(&bytes) == address));
                if !is_whole {
                    missing.push(address);
                }
            }
            Ok(missing)
        })
    }

    fn pointer<'a>(&'a self, site: &'a str) -> Answered<'a, Option<Record>> {
        let dir = self.pointers_dir(site);
        blocking(move || {
            let newest = revisions(&dir)?.pop();
            Ok(records(&dir, newest.as_slice())?.pop())
        })
    }

    fn point<'a>(&'a self, site: &'a str, after: u64, bytes: Vec<u8>) -> Answered<'a, u64> {
        let dir = self.pointers_dir(site);
        blocking(move || {
            let file = prepare(&dir, &bytes, true)?;
            let mut known = revisions(&dir)?;
            if known.last().copied().unwrap_or_default() != after {
                return Err(DepotError::Overtaken);
            }
            let path = place(&dir, after + 1);
            fs::hard_link(file.path(), &path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => DepotError::Overtaken,
                _ => failed(&path)(error),
            })?;
            known.truncate((known.len() + 1).saturating_sub(KEPT_POINTERS));
            for old in known {
                // Another may have deleted it.
                let _ = fs::remove_file(place(&dir, old));
            }
            Ok(after + 1)
        })
    }

    fn pointers<'a>(&'a self, site: &'a str) -> Answered<'a, Vec<Record>> {
        let dir = self.pointers_dir(site);
        blocking(move || records(&dir, &revisions(&dir)?))
    }

    fn report<'a>(&'a self, site: &'a str, server: &'a str, report: Vec<u8>) -> Answered<'a, ()> {
        let path = self.servers_dir(site).join(server);
        blocking(move || replace(&path, &report))
    }

    fn reports<'a>(&'a self, site: &'a str) -> Answered<'a, BTreeMap<String, Vec<u8>>> {
        let dir = self.servers_dir(site);
        blocking(move || {
            let mut reports = BTreeMap::new();
            for name in names(&dir)? {
                if let Some(bytes) = read(&dir.join(&name), MAX_REPORT)? {
                    reports.insert(name, bytes);
                }
            }
            Ok(reports)
        })
    }

    fn news(&self, site: &str) -> mpsc::Receiver<News> {
        let (sender, receiver) = mpsc::channel(1);
        let mut changes = follow(self.pointers_dir(site));
        tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                if sender.send(News::Look).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn hints(&self, site: &str) -> watch::Receiver<u64> {
        follow(self.servers_dir(site))
    }
}

/// Changes when something is written in a directory.
fn follow(dir: PathBuf) -> watch::Receiver<u64> {
    let (sender, receiver) = watch::channel(0);
    tokio::spawn(async move {
        let mut glances = tokio::time::interval(GLANCE);
        glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        loop {
            tokio::select! {
                _ = glances.tick() => {}
                () = sender.closed() => return,
            }
            let modified = tokio::fs::metadata(&dir).await.and_then(|dir| dir.modified()).ok();
            if modified != last {
                last = modified;
                sender.send_modify(|count| *count += 1);
            }
        }
    });
    receiver
}
