//! [`WebState`]: what the answers are made of.

use tokio::sync::watch;

use super::{
    MetricsText, Readiness, endpoint::WebSocketEndpoint, files::SiteFiles, origin::OriginPolicy,
    status::StatusPage, visitor::TrustedProxies,
};
use crate::config::Base;

/// What the answers are made of.
pub(super) struct WebState {
    pub(super) endpoint: WebSocketEndpoint,
    pub(super) policy: OriginPolicy,
    pub(super) base: Base,
    /// `server.content_security_policy`
    pub(super) page_policy: String,
    pub(super) proxies: TrustedProxies,
    pub(super) files: SiteFiles,
    pub(super) debug_pages: bool,
    pub(super) readiness: watch::Receiver<Readiness>,
    pub(super) metrics: MetricsText,
    pub(super) status: StatusPage,
}
