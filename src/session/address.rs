//! Where in the site a session's browsers are: the part of the address below the session's own.

use super::{
    client::{ClientId, URL},
    lua_session::LuaSession,
};
impl LuaSession {
    /// A page was asked for at `/{session}{path}`, or a script leads there: browsers find that in the property
    /// `url` of variable 1, and scripts in `session.url`.
    pub fn visit(&mut self, path: &str) {
        self.be_at(path, None);
    }

    /// `knowing`: the browser that has gone there by itself, back or forward.
    pub(super) fn be_at(&mut self, path: &str, knowing: Option<ClientId>) {
        if self.url.is_none() && path == "/" {
            return;
        }
        for client in self.clients.iter_mut().filter(|client| Some(client.id) != knowing) {
            client.view.set_app_property(URL, path);
        }
        self.url = Some(path.into());
        self.vm.set_url(path);
    }

    /// What `session:navigate` has asked for.
    pub(super) fn go_where_scripts_lead(&mut self) {
        if let Some(path) = self.vm.state(|state| state.destination.take()).flatten() {
            self.visit(&path);
        }
    }
}
