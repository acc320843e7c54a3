//! Which file of `html/` a path may name, and whether the browser has it already.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, UNIX_EPOCH},
};

use warp::http::{HeaderMap, header::IF_NONE_MATCH};

use crate::watch::MountTable;

/// How often links that are refused are told of, in seconds.
const BETWEEN_LINES: u64 = 60;

/// The static files of a site.
#[derive(Debug, Clone)]
pub(super) struct SiteFiles {
    /// The site.
    pub(super) site: PathBuf,
    /// Its `html/`.
    pub(super) html: PathBuf,
    /// `watch.allowed_roots`: where links may lead, beside the site; empty: anywhere.
    pub(super) allowed_roots: Vec<PathBuf>,
    lines: Arc<Lines>,
}

/// When a refused link was last told of: anybody can ask for it as often as they like.
#[derive(Debug)]
struct Lines {
    start: Instant,
    /// In seconds from then on.
    next: AtomicU64,
}

impl Lines {
    fn one_is_due(&self) -> bool {
        let (now, next) = (self.start.elapsed().as_secs(), self.next.load(Relaxed));
        now >= next && self.next.compare_exchange(next, now + BETWEEN_LINES, Relaxed, Relaxed).is_ok()
    }
}

/// A file that may be served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SiteFile {
    /// No link in it.
    pub(super) path: PathBuf,
    /// Changes whenever the content does, also within a second, unlike Last-Modified.
    pub(super) etag: String,
}

impl SiteFiles {
    pub(super) fn new(site: PathBuf, html: PathBuf, allowed_roots: Vec<PathBuf>) -> Self {
        let lines = Arc::new(Lines { start: Instant::now(), next: AtomicU64::new(0) });
        Self { site, html, allowed_roots, lines }
    }

    /// The file a path of the address names; of a directory, its `index.html`. `None` when there is none,
    /// or it must not be had.
    ///
    /// A file that vanishes in between is found missing when it is opened.
    pub(super) async fn find(&self, address: &str) -> Option<SiteFile> {
        let names = decode(address)?;
        let files = self.clone();
        let found = tokio::task::spawn_blocking(move || files.look(&names)).await.ok()?;
        found.inspect_err(|error| tracing::debug!(address, %error, "no such file in html/")).ok()?
    }

    fn look(&self, names: &[String]) -> io::Result<Option<SiteFile>> {
        let html = self.html.canonicalize()?;
        let mut path = html.clone();
        path.extend(names);
        if path.is_dir() {
            path.push("index.html");
        }
        let real = path.canonicalize()?;
        if !real.starts_with(&html) && MountTable::read().is_made_up(&real) {
            if self.lines.one_is_due() {
                let (link, target) = (path.display(), real.display());
                tracing::warn!(%link, %target, "a link leads to what the kernel makes up (/proc, /sys, /dev); not served");
            }
            return Ok(None);
        }
        let metadata = real.metadata()?;
        // Opening a FIFO would wait for ever.
        if !metadata.is_file() || !(real.starts_with(&html) || self.may_lead_to(&real)) {
            return Ok(None);
        }
        Ok(Some(SiteFile { etag: etag(&metadata), path: real }))
    }

    fn may_lead_to(&self, real: &Path) -> bool {
        let inside = |root: &Path| root.canonicalize().is_ok_and(|root| real.starts_with(root));
        self.allowed_roots.is_empty()
            || inside(&self.site)
            || self.allowed_roots.iter().any(|root| inside(&self.site.join(root)))
    }
}

/// The names in a path of an address; `None` if one of them must not be had: hidden ones, `..`, what editors
/// leave behind, anything that could be read as a separator or the end of the name.
fn decode(address: &str) -> Option<Vec<String>> {
    let names = address.split('/').filter(|name| !name.is_empty());
    let decoded = names.map(|name| percent_encoding::percent_decode_str(name).decode_utf8().ok());
    let fine = |name: &str| !is_left_behind(name) && !name.contains(['/', '\\', '\0']);
    decoded.map(|name| name.filter(|name| fine(name)).map(String::from)).collect()
}

/// Hidden files, and those that editors and tools leave beside the one that is meant: old versions of a page
/// and passwords are found in them. The list is fixed, unlike `watch.ignore`: what is not watched (such as
/// `node_modules`) may well be served. A link's own name counts and not its target's, which its author chose.
fn is_left_behind(name: &str) -> bool {
    const ENDS: [&str; 12] =
        ["~", ".bak", ".backup", ".old", ".orig", ".rej", ".save", ".swp", ".swo", ".swx", ".tmp", ".temp"];
    let name = name.to_ascii_lowercase();
    name.starts_with(['.', '~'])
        || ENDS.iter().any(|end| name.ends_with(end))
        || name.len() > 1 && name.starts_with('#') && name.ends_with('#')
        || name == "4913"
        || name.contains("___jb_")
}

fn etag(metadata: &Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let nanoseconds = modified.map_or(0, |time| time.as_nanos());
    format!("W/\"{:x}-{:x}-{nanoseconds:x}\"", metadata.ino(), metadata.len())
}

/// Whether the browser says that it has what this tag stands for.
pub(super) fn is_cached(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let lines = headers.get_all(IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    struct Site {
        dir: tempfile::TempDir,
        files: SiteFiles,
    }

    fn site() -> Site {
        let dir = tempfile::tempdir().expect("a directory");
        let site = dir.path().join("site");
        fs::create_dir_all(site.join("html/sub")).expect("html");
        fs::create_dir_all(dir.path().join("outside")).expect("outside");
        for (name, text) in [
            ("site/html/a b.txt", "a"),
            ("site/html/sub/index.html", "i"),
            ("site/html/.env", "e"),
            ("site/secret.txt", "s"),
            ("outside/far.txt", "f"),
        ] {
            fs::write(dir.path().join(name), text).expect(name);
        }
        let files = SiteFiles::new(site.clone(), site.join("html"), Vec::new());
        Site { dir, files }
    }

    #[tokio::test]
    async fn files_and_the_index_of_a_directory_are_found() {
        let site = site();
        let html = site.files.html.canonicalize().expect("html");
        for (address, name) in [
            ("a%20b.txt", "a b.txt"),
            ("sub/", "sub/index.html"),
            ("sub", "sub/index.html"),
            ("sub//index.html", "sub/index.html"),
        ] {
            let found = site.files.find(address).await.map(|file| file.path);
            assert_eq!(found, Some(html.join(name)), "{address}");
        }
    }

    #[tokio::test]
    async fn no_path_leads_outside_or_to_hidden_files() {
        let site = site();
        for address in [
            "../secret.txt",
            "%2e%2e/secret.txt",
            "sub/../../secret.txt",
            "..%2fsecret.txt",
            "sub/..%5c..%5csecret.txt",
            ".env",
            "%2eenv",
            "a%20b.txt%00",
            "sub%2findex.html",
            "%ff",
            "missing.txt",
            "",
            "a%20b.txt/x",
        ] {
            assert_eq!(site.files.find(address).await, None, "{address}");
        }
    }

    #[tokio::test]
    async fn what_editors_leave_behind_is_not_served_at_any_depth_and_however_it_is_spelt() {
        let site = site();
        for name in [
            "page.html~",
            "#page.html#",
            ".#page.html",
            "page.bak",
            "PAGE.BAK",
            "page.html.orig",
            "page.swp",
            ".page.swo",
            "4913",
            "page.tmp",
            "page.html___jb_tmp___",
            "page.old",
            "~$page.doc",
            ".git",
            "page.rej",
        ] {
            for dir in ["", "sub/"] {
                fs::write(site.files.html.join(dir).join(name), "secret").expect(name);
                let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
                for address in [format!("{dir}{}", name.replace('#', "%23")), format!("{dir}{encoded}")] {
                    assert_eq!(site.files.find(&address).await, None, "{address}");
                }
            }
            let dir = site.files.html.join(format!("in/{name}"));
            fs::create_dir_all(&dir).expect("a directory");
            fs::write(dir.join("a.txt"), "secret").expect("a file");
            assert_eq!(
                site.files.find(&format!("in/{}/a.txt", name.replace('#', "%23"))).await,
                None,
                "{name}"
            );
        }
        for name in ["back.html", "bak", "tmp.txt", "orig", "49130", "a~b", "a#b.txt"] {
            fs::write(site.files.html.join(name), "a page").expect(name);
            assert!(site.files.find(&name.replace('#', "%23")).await.is_some(), "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn no_link_leads_to_what_the_kernel_makes_up() {
        let site = site();
        for (name, target) in [
            ("environ", "/proc/self/environ"),
            ("proc", "/proc"),
            ("self", "/proc/self"),
            ("sys", "/sys"),
            ("dev", "/dev"),
        ] {
            symlink(target, site.files.html.join(name)).expect("a link");
        }
        symlink("environ", site.files.html.join("twice")).expect("a link");
        for address in [
            "environ",
            "twice",
            "proc/self/environ",
            "proc/version",
            "self/maps",
            "sys/kernel/uevent_seqnum",
            "dev/null",
            "dev/fd/0",
        ] {
            assert_eq!(site.files.find(address).await, None, "{address}");
        }
    }

    #[test]
    fn a_refused_link_is_told_of_once_a_minute() {
        let lines = Lines { start: Instant::now(), next: AtomicU64::new(0) };
        assert!(lines.one_is_due());
        assert!(!lines.one_is_due());
    }

    #[tokio::test]
    async fn a_link_leads_where_the_allowed_roots_let_it() {
        let mut site = site();
        let outside = site.dir.path().join("outside");
        symlink(outside.join("far.txt"), site.files.html.join("far.txt")).expect("a link");
        symlink(site.files.site.join("secret.txt"), site.files.html.join("near.txt")).expect("a link");
        symlink(&outside, site.files.html.join("dir")).expect("a link");
        assert!(site.files.find("far.txt").await.is_some(), "no restriction");

        site.files.allowed_roots = vec![site.dir.path().join("elsewhere")];
        assert_eq!(site.files.find("far.txt").await, None);
        assert_eq!(site.files.find("dir/far.txt").await, None);
        assert!(site.files.find("near.txt").await.is_some(), "within the site");

        site.files.allowed_roots.push("../outside".into());
        assert!(site.files.find("far.txt").await.is_some(), "relative to the site");
        assert!(site.files.find("dir/far.txt").await.is_some());
    }

    #[tokio::test]
    async fn a_pipe_is_not_served() {
        let site = site();
        let status = std::process::Command::new("mkfifo").arg(site.files.html.join("pipe")).status();
        assert!(status.expect("mkfifo").success());
        assert_eq!(site.files.find("pipe").await, None);
    }

    #[tokio::test]
    async fn the_tag_changes_with_an_edit_of_the_same_size() {
        let site = site();
        let tag = async || site.files.find("a%20b.txt").await.map(|file| file.etag);
        let before = tag().await;
        assert_eq!(tag().await, before);
        let file = fs::File::options().write(true).open(site.files.html.join("a b.txt")).expect("the file");
        let modified = file.metadata().and_then(|m| m.modified()).expect("a time");
        file.set_modified(modified + std::time::Duration::from_nanos(1)).expect("set");
        assert_ne!(tag().await, before);
    }

    #[test]
    fn a_cached_tag_is_recognised_in_a_list() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(IF_NONE_MATCH, warp::http::HeaderValue::from_static(value))])
        };
        for value in ["W/\"1-2\"", "\"x\", W/\"1-2\"", "\"1-2\"", "*"] {
            assert!(is_cached(&headers(value), "W/\"1-2\""), "{value}");
        }
        assert!(!is_cached(&headers("\"x\""), "W/\"1-2\""));
        assert!(!is_cached(&HeaderMap::new(), "W/\"1-2\""));
    }
}
