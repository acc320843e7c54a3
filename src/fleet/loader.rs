//! [`Loader`]: what a server does with a release that is here, as the fleet sees it.

use std::future::Future;

use tokio::sync::oneshot;

use crate::{
    reload::{Checked, Diagnostic, ReleaseLoader, ReloadReport, SessionHost},
    watch::ChangeSet,
};

/// Checks releases, and runs them: [`ReleaseLoader`] in the sessions of a server.
pub trait Loader: Send + 'static {
    /// A release without an error, which nobody runs yet.
    type Checked: Send;

    /// Looks at what differs from the release that runs; an error is what is wrong with it.
    fn check(
        &mut self,
        changes: ChangeSet,
    ) -> impl Future<Output = Result<Self::Checked, Vec<Diagnostic>>> + Send;

    /// Runs it, and says later what came of it.
    fn run(&mut self, checked: Self::Checked) -> oneshot::Receiver<ReloadReport>;

    /// Ends it.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

impl<H: SessionHost> Loader for ReleaseLoader<H> {
    type Checked = Checked;

    async fn check(&mut self, changes: ChangeSet) -> Result<Checked, Vec<Diagnostic>> {
        Self::check(self, changes).await
    }

    fn run(&mut self, checked: Checked) -> oneshot::Receiver<ReloadReport> {
        Self::run(self, checked)
    }

    async fn stop(self) {
        Self::stop(self).await;
    }
}
