//! One tree as the daemon watches it: a root, a subscription, and the moment up to which all is told.
//!
//! - `watch-project` climbs to the enclosing project; names are then asked for relative to the tree.
//! - It says yes even when the daemon has given up, and when its watch hangs on a directory that was moved
//!   away with its parent. Only a clock that is synced by a cookie proves that it works.
//! - Each watch has a connection of its own. Its end ends the subscription as well: Watchman 4.9 keeps one
//!   of two subscriptions of a name, and an answer that cannot be read ends a connection.
//! - A subscription waits for 20 ms without a change (`settle` in `.watchmanconfig`), has no upper bound for
//!   that, and is silent while `.git/index.lock` exists: the client cannot say `defer_vcs: false`. A query
//!   knows no such reasons to wait, so changes are asked for as well.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use hotloader_backend::LostCause;
use serde::de::IgnoredAny;
use watchman_client::{
    CanonicalPath, ResolvedRoot, Subscription, SubscriptionData,
    pdu::{
        Clock, ClockRequest, ClockRequestParams, ClockResponse, GetConfigResponse, QueryRequest,
        QueryRequestCommon, SubscribeRequest, SyncTimeout,
    },
};

use crate::{
    changes::{Changes, Entry, Moment},
    daemon::{Connection, DaemonInfo},
    options::Options,
    trouble::Trouble,
};

/// What Watchman does not look into unless its configuration says otherwise.
const VCS: [&str; 3] = [".git", ".svn", ".hg"];

/// A watched tree. Dropping it ends the subscription with its connection.
pub(crate) struct Watch {
    connection: Connection,
    root: ResolvedRoot,
    subscription: Subscription<Entry>,
    position: Position,
    ignored: Vec<PathBuf>,
}

/// How far a watch had come, for one that follows it.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    clock: Clock,
    /// What the daemon watches, by path and by what was there.
    root: (PathBuf, Identity),
    /// The directory at the top of the tree.
    top: Identity,
    /// Tells by being another one that the daemon went through the whole tree again.
    warning: Option<String>,
}

impl Position {
    /// Whether the other is of the same directories. If not, the daemon's word on them is not enough.
    fn is_same_place(&self, other: &Self) -> bool {
        self.root == other.root && self.top == other.top
    }

    /// Moves on to where the changes end.
    fn take(&mut self, changes: Changes) -> TreeChange {
        let Changes { files, clock, is_fresh_instance, warning } = changes;
        self.clock = clock;
        let was_crawled = warning.is_some() && warning != self.warning;
        self.warning = warning;
        if is_fresh_instance {
            TreeChange::Lost(LostCause::FreshInstance)
        } else if was_crawled {
            TreeChange::Lost(LostCause::Recrawl)
        } else {
            TreeChange::Changed(files.unwrap_or_default())
        }
    }
}

/// Device and inode of a directory, and when it was made if that is known: inodes are used again at once.
/// `None` if there is none.
pub(crate) type Identity = Option<(u64, u64, Option<SystemTime>)>;

/// What the daemon tells of a tree.
pub(crate) enum TreeChange {
    Changed(Vec<Entry>),
    /// It cannot tell: anything may have.
    Lost(LostCause),
}

/// What a subscription says.
pub(crate) enum News {
    Told(TreeChange),
    /// It will say nothing more: the watch was deleted, the root went, the connection was lost.
    End(Option<Trouble>),
}

impl Watch {
    /// Watches a tree, and says what changed since the position of the watch before.
    pub(crate) async fn begin(
        options: &Options,
        tree: &Path,
        last: Option<&Position>,
    ) -> Result<(Self, TreeChange), Trouble> {
        let connection = Connection::open(options).await?;
        let top = identity(tree).await.map_err(|error| unreadable(tree, &error))?;
        let (root, root_identity) = resolve(&connection, tree, last).await?;
        let config: Result<GetConfigResponse, _> =
            connection.request(("get-config", root.project_root())).await;
        let ignored = ignored(root.project_root(), config.ok());
        let sync = SyncTimeout::Duration(options.timeout);
        let since = match last {
            Some(last) => last.clock.clone(),
            None => clock(&connection, &root, sync.clone()).await?,
        };
        let changes = query(&connection, &root, &since, sync).await?;
        let request = SubscribeRequest {
            since: Some(changes.clock.clone()),
            empty_on_fresh_instance: true,
            ..SubscribeRequest::default()
        };
        // Its answer says that it works: an empty tree sends nothing more.
        let (subscription, _) = connection.answered(connection.client().subscribe(&root, request)).await?;
        let mut position = Position {
            clock: changes.clock.clone(),
            root: (root.project_root().to_owned(), root_identity),
            top,
            warning: last.map_or_else(|| changes.warning.clone(), |last| last.warning.clone()),
        };
        let is_same_place = last.is_some_and(|last| last.is_same_place(&position));
        let change =
            if is_same_place { position.take(changes) } else { TreeChange::Lost(LostCause::FreshInstance) };
        Ok((Self { connection, root, subscription, position, ignored }, change))
    }

    /// What changed since this or the subscription was asked last. Synced, it is all that changed before.
    pub(crate) async fn changes(&mut self, synced: bool) -> Result<TreeChange, Trouble> {
        let sync = if synced {
            SyncTimeout::Duration(self.connection.timeout())
        } else {
            SyncTimeout::DisableCookie
        };
        let changes = query(&self.connection, &self.root, &self.position.clock, sync).await?;
        Ok(self.position.take(changes))
    }

    /// Waits for the subscription. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> News {
        match self.subscription.next().await {
            Ok(SubscriptionData::FilesChanged(result)) => {
                let told = Moment::of(&self.position.clock);
                let is_later = Moment::of(&result.clock)
                    .zip(told.as_ref())
                    .is_none_or(|(this, told)| !this.is_covered_by(told));
                if is_later {
                    self.position.clock = result.clock;
                }
                if result.is_fresh_instance {
                    return News::Told(TreeChange::Lost(LostCause::FreshInstance));
                }
                // It begins where it ended, which may be before what was asked for since.
                let mut entries = result.files.unwrap_or_default();
                entries.retain(|entry| !told.as_ref().is_some_and(|told| entry.is_older_than(told)));
                News::Told(TreeChange::Changed(entries))
            }
            Ok(SubscriptionData::StateEnter { .. } | SubscriptionData::StateLeave { .. }) => {
                News::Told(TreeChange::Changed(Vec::new()))
            }
            Ok(SubscriptionData::Canceled) => News::End(None),
            Err(error) => News::End(Some(self.connection.trouble(error))),
        }
    }

    /// What the directory of the tree is like; `None` if that, or what is watched for it, is not the one that
    /// it was.
    pub(crate) async fn in_place(&self, tree: &Path) -> io::Result<Option<Metadata>> {
        let Position { root: (root, root_identity), top, .. } = &self.position;
        let found = dir_at(tree).await?;
        let is_in_place = found.as_ref().map(identity_of) == *top && identity(root).await? == *root_identity;
        Ok(found.filter(|_| is_in_place))
    }

    /// The directories that the daemon is told not to look into.
    pub(crate) fn ignored(&self) -> &[PathBuf] {
        &self.ignored
    }

    pub(crate) fn daemon(&self) -> &DaemonInfo {
        &self.connection.daemon
    }

    /// How far it has come.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// Unsubscribes; the daemon keeps the root, which others may use.
    pub(crate) async fn end(self) -> Result<(), Trouble> {
        let Self { connection, subscription, .. } = self;
        connection.answered(subscription.cancel()).await
    }
}

/// What is at a path, without following a link. An error means that nobody can say.
pub(crate) async fn identity(path: &Path) -> io::Result<Identity> {
    Ok(dir_at(path).await?.as_ref().map(identity_of))
}

fn identity_of(dir: &Metadata) -> (u64, u64, Option<SystemTime>) {
    (dir.dev(), dir.ino(), dir.created().ok())
}

async fn dir_at(path: &Path) -> io::Result<Option<Metadata>> {
    match tokio::fs::symlink_metadata(path).await {
        Ok(metadata) => Ok(Some(metadata).filter(Metadata::is_dir)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Has the root of a tree watched, and proves that it is. What is there is looked at first: if it is
/// replaced meanwhile, that shows later.
async fn resolve(
    connection: &Connection,
    tree: &Path,
    last: Option<&Position>,
) -> Result<(ResolvedRoot, Identity), Trouble> {
    let mut is_second = false;
    loop {
        let path = CanonicalPath::with_canonicalized_path(tree.to_owned());
        let root = connection.answered(connection.client().resolve_root(path)).await?;
        let path = root.project_root();
        let identity = identity(path).await.map_err(|error| unreadable(path, &error))?;
        let is_same_watch = async |last: &Position| {
            let now = clock(connection, &root, SyncTimeout::DisableCookie).await?;
            let watches = Moment::of(&last.clock).zip(Moment::of(&now));
            Ok::<_, Trouble>(watches.is_some_and(|(last, now)| last.is_beside(&now)))
        };
        let is_stale = match last {
            Some(last) if last.root.0 == path && last.root.1 != identity => is_same_watch(last).await?,
            _ => {
                let sync = SyncTimeout::Duration(connection.timeout());
                match clock(connection, &root, sync).await {
                    Err(Trouble::Unsynced { .. }) if !is_second => true,
                    synced => synced.map(|_| false)?,
                }
            }
        };
        if !is_stale || is_second {
            return Ok((root, identity));
        }
        is_second = true;
        // The watch hangs on what was here before; it is of no use to anybody.
        tracing::warn!(
            target: "watch",
            root = %path.display(),
            "Watchman did not notice that a directory was replaced; its watch is made anew"
        );
        match connection.request::<_, IgnoredAny>(("watch-del", path)).await {
            // It may have been noticed by now.
            Ok(_) | Err(Trouble::Refused(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
}

async fn clock(connection: &Connection, root: &ResolvedRoot, sync: SyncTimeout) -> Result<Clock, Trouble> {
    let request =
        ClockRequest("clock", root.project_root().to_owned(), ClockRequestParams { sync_timeout: sync });
    let response: ClockResponse = connection.request(request).await?;
    Ok(Clock::Spec(response.clock))
}

async fn query(
    connection: &Connection,
    root: &ResolvedRoot,
    since: &Clock,
    sync: SyncTimeout,
) -> Result<Changes, Trouble> {
    let query = QueryRequestCommon {
        since: Some(since.clone()),
        relative_root: root.project_relative_path().map(Path::to_owned),
        fields: <Entry as watchman_client::fields::QueryFieldList>::field_list(),
        empty_on_fresh_instance: true,
        sync_timeout: sync,
        ..QueryRequestCommon::default()
    };
    connection.request(QueryRequest("query", root.project_root().to_owned(), query)).await
}

fn ignored(root: &Path, config: Option<GetConfigResponse>) -> Vec<PathBuf> {
    let configured = config.and_then(|answer| answer.config.ignore_dirs).unwrap_or_default();
    VCS.iter().map(PathBuf::from).chain(configured).map(|dir| root.join(dir)).collect()
}

fn unreadable(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where numbers are not used again, this says nothing.
    #[tokio::test]
    async fn w8_another_directory_with_the_same_inode_is_another_one() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("d");
        std::fs::create_dir(&path).unwrap();
        let look = || std::fs::metadata(&path).unwrap();
        let (before, was) = (look(), identity(&path).await.unwrap());
        for _ in 0..1000 {
            std::fs::remove_dir(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
            // Time stamps may be some milliseconds coarse.
            if look().ino() == before.ino() && look().created().ok() != before.created().ok() {
                assert_ne!(identity(&path).await.unwrap(), was);
                return;
            }
        }
    }
}
