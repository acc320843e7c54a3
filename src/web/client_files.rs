//! The browser client, inside the binary: its sources as they were written, compressed for browsers that take
//! that (all do).

use std::{collections::HashMap, io::Write, sync::LazyLock};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use include_dir::{Dir, include_dir};

use crate::config::Base;

static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/src/web/client");

static FILES: LazyLock<HashMap<&str, ClientFile>> = LazyLock::new(|| {
    let named = SOURCES.files().filter_map(|file| Some((file.path().to_str()?, file.contents())));
    named.map(|(name, source)| (name, ClientFile::new(name, source))).collect()
});

/// A `Link` header for pages that run the client. A module is known of when the one that imports it has
/// come, which would take four turns: with this, a browser asks for all of them at once.
pub(super) fn preload(base: &Base) -> String {
    let mut scripts: Vec<_> = FILES.keys().filter(|name| name.ends_with(".js")).collect();
    scripts.sort_unstable();
    let prefix = base.path(PREFIX);
    let links = scripts.into_iter().map(|name| format!("<{prefix}{name}>;rel=modulepreload"));
    links.collect::<Vec<_>>().join(",")
}

/// Where browsers find the files, below the base.
const PREFIX: &str = "/_client/";

/// A file of the client.
pub(super) struct ClientFile {
    /// Its MIME type.
    pub(super) kind: String,
    /// As it was written.
    pub(super) plain: Body,
    /// Compressed by gzip.
    pub(super) zipped: Body,
}

/// What is sent of a file.
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) etag: String,
}

impl ClientFile {
    fn new(name: &str, source: &'static [u8]) -> Self {
        Self {
            kind: mime_guess::from_path(name).first_or_octet_stream().to_string(),
            plain: Body::new(Bytes::from_static(source)),
            zipped: Body::new(zip(source).into()),
        }
    }
}

impl Body {
    fn new(bytes: Bytes) -> Self {
        Self { etag: etag(&bytes), bytes }
    }
}

fn zip(source: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    let _ = encoder.write_all(source);
    encoder.finish().unwrap_or_default()
}

/// Another content, another tag.
pub(super) fn etag(body: &[u8]) -> String {
    format!("\"{:x}\"", xxhash_rust::xxh3::xxh3_128(body))
}

/// The file of this name.
pub(super) fn get(name: &str) -> Option<&'static ClientFile> {
    FILES.get(name)
}

/// Whether a page asks for the client.
pub(super) fn runs_in(page: &[u8]) -> bool {
    let script = format!("{PREFIX}main.js");
    page.windows(script.len()).any(|part| part == script.as_bytes())
}

/// The page for a site that has none; `nonce` is what its scripts show.
pub(super) fn index(nonce: &str, base: &Base) -> String {
    let page = get("index.html").map(|file| String::from_utf8_lossy(&file.plain.bytes));
    page.unwrap_or_default().replace("{nonce}", nonce).replace("{base}", &base.path(""))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_served_stays_below_40_kb() {
        let sizes: Vec<_> = FILES.iter().map(|(name, file)| (file.zipped.bytes.len(), *name)).collect();
        let sum: usize = sizes.iter().map(|(size, _)| size).sum();
        assert!(sum < 40_000, "{sum} bytes: {sizes:?}");
        assert!(sizes.len() > 10 && sizes.iter().all(|(size, _)| *size > 20), "{sizes:?}");
    }

    #[test]
    fn what_is_compressed_is_what_was_written() {
        for (name, file) in FILES.iter() {
            let mut text = Vec::new();
            GzDecoder::new(&*file.zipped.bytes).read_to_end(&mut text).unwrap();
            assert!(text == file.plain.bytes, "{name}");
        }
    }
}
