//! The site's own page, `html/index.html`: sent as it is read, however long it is.

use std::io;

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncReadExt, Take},
};
use tokio_util::io::ReaderStream;
use warp::{
    Reply,
    http::{StatusCode, header::CONTENT_LENGTH},
    reply::Response,
};

use super::{
    client_files,
    files::SiteFiles,
    replies::{html, with},
};

/// How much of it is looked at before it is sent.
const BEGINNING: usize = 64 << 10;
/// How much of the rest is read at once.
const PART: usize = 16 << 10;

/// A page that is open and not read yet but for its beginning.
pub(super) struct SitePage {
    beginning: Bytes,
    rest: Take<File>,
}

impl SitePage {
    /// `None` if the site has no such page, or it cannot be read: then the log says why.
    pub(super) async fn open(files: &SiteFiles) -> Option<Self> {
        let file = files.find("index.html").await?;
        let page = Self::read(&file.path).await;
        let warn =
            |error: &_| tracing::warn!(path = %file.path.display(), %error, "cannot read the site's page");
        page.inspect_err(warn).ok()
    }

    async fn read(path: &std::path::Path) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        let mut beginning = Vec::new();
        (&mut file).take(BEGINNING as u64).read_to_end(&mut beginning).await?;
        // Asked for afterwards, so that a page which is all beginning is as long as what was read.
        let rest = match beginning.len() {
            BEGINNING => file.metadata().await?.len().saturating_sub(BEGINNING as u64),
            _ => 0,
        };
        Ok(Self { beginning: beginning.into(), rest: file.take(rest) })
    }

    /// Whether it asks for the browser client, in its first 64 KiB.
    pub(super) fn runs_the_client(&self) -> bool {
        client_files::runs_in(&self.beginning)
    }

    /// The answer that sends it. A page that becomes shorter meanwhile ends the connection.
    pub(super) fn into_response(self) -> Response {
        let rest = self.rest.limit();
        if rest == 0 {
            return html(StatusCode::OK, self.beginning);
        }
        let length = self.beginning.len() as u64 + rest;
        let beginning = futures_util::stream::iter([Ok(self.beginning)]);
        let rest = ReaderStream::with_capacity(self.rest, PART);
        let body = warp::reply::stream(futures_util::StreamExt::chain(beginning, rest)).into_response();
        let mut response = html(StatusCode::OK, Bytes::new());
        *response.body_mut() = body.into_body();
        with(response, CONTENT_LENGTH, &length.to_string())
    }
}
