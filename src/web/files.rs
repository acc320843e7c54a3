//! Which file of `html/` a path may name, and whether the browser has it already.

use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use warp::http::{HeaderMap, header::IF_NONE_MATCH};

/// The static files of a site.
#[derive(Debug, Clone)]
pub(super) struct SiteFiles {
    /// The site.
    pub(super) site: PathBuf,
    /// Its `html/`.
    pub(super) html: PathBuf,
    /// `watch.allowed_roots`: where links may lead, beside the site; empty: anywhere.
    pub(super) allowed_roots: Vec<PathBuf>,
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
    /// The file a path of the address names; of a directory, its `index.html`. `None` when there is none,
    /// or it must not be had.
    ///
    /// A file that vanishes in between is found missing by whoever opens it.
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

/// The names in a path of an address; `None` if one of them must not be had: hidden ones, `..`, anything
/// that could be read as a separator or the end of the name.
fn decode(address: &str) -> Option<Vec<String>> {
    let names = address.split('/').filter(|name| !name.is_empty());
    let decoded = names.map(|name| percent_encoding::percent_decode_str(name).decode_utf8().ok());
    let fine = |name: &str| !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    decoded.map(|name| name.filter(|name| fine(name)).map(String::from)).collect()
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
        let files = SiteFiles { html: site.join("html"), site, allowed_roots: Vec::new() };
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
