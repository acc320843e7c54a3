//! What the parts of a server are told, from the configuration.

use std::{path::Path, sync::Arc};

use crate::{
    config::{self, Config, HotloadConfig},
    hub::Hub,
    reload::{DATA_ROOT, EditorLink, HTML_ROOT, LUA_ROOT, Published, SiteLayout, Telling, VIEWDEF_ROOT},
    session::SessionSettings,
    watch::Root,
};

/// Where a site has its own page, and what that needs.
pub(super) const HTML_DIR: &str = "html";
/// Extensions of what is read of the Lua directory: code, and what libraries have beside it. What editors write
/// there for a moment while they save has others.
const LUA_FILES: &[&str] = &["lua", "csv", "ini", "json", "toml", "tsv", "txt", "xml", "yaml", "yml"];

pub(super) fn telling(site: &Path, hotload: &HotloadConfig, is_concealing: bool) -> Telling {
    let site = std::path::absolute(site).unwrap_or_else(|_| site.to_owned());
    let pattern = hotload.editor.clone();
    let editor = (!pattern.is_empty()).then_some(EditorLink { pattern, site });
    Telling { notes: hotload.notes, editor, is_concealing }
}

/// Whether a directory is that of a site: it has a main file, or a configuration.
pub(crate) fn is_site(dir: &Path, config: &Config) -> bool {
    dir.join(config::FILE).is_file() || dir.join(&config.lua.path).join(&config.lua.main).is_file()
}

/// What all sessions have in common.
pub(crate) fn session_settings(config: &Config, published: Arc<Published>, hub: Hub) -> SessionSettings {
    SessionSettings {
        session: config.session.clone(),
        lua: config.lua.clone(),
        scope: config.hotload.scope,
        bindings: config.server.bindings,
        refused: Arc::default(),
        hub: Some(hub),
        published,
    }
}

/// How people know the site's files.
pub(crate) fn layout(config: &Config) -> SiteLayout {
    SiteLayout {
        lua: config.lua.path.clone(),
        viewdefs: config.viewdefs.path.clone(),
        files: config.lua.files.clone(),
    }
}

/// What is watched of the site in a directory.
pub(crate) fn roots(site: &Path, config: &Config) -> Vec<Root> {
    let root = |id, path: &Path, extensions, recursive| Root {
        id,
        dir: site.join(path),
        extensions,
        recursive,
        max_file: config.lua.max_file.as_usize(),
        // Most sites have no page of their own, nor data.
        optional: id == HTML_ROOT || id == DATA_ROOT,
    };
    vec![
        root(LUA_ROOT, &config.lua.path, LUA_FILES, true),
        root(VIEWDEF_ROOT, &config.viewdefs.path, &["html"], false),
        root(DATA_ROOT, &config.lua.files, &[], true),
        root(HTML_ROOT, Path::new(HTML_DIR), &[], true),
    ]
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn what_an_editor_writes_beside_a_file_for_a_moment_is_no_file_of_the_lua_directory() {
        let roots = roots(Path::new("/site"), &Config::default());
        let lua = roots.iter().find(|root| root.id == LUA_ROOT).unwrap();
        for (name, wanted) in [
            ("app.lua", true),
            ("words.txt", true),
            ("list.json", true),
            ("sedAb12Cd", false),
            ("app.lua.12345", false),
            ("app.lua.new", false),
            ("app.log", false),
            ("README.md", false),
        ] {
            assert_eq!(lua.wants(OsStr::new(name)), wanted, "{name}");
        }
        let data = roots.iter().find(|root| root.id == DATA_ROOT).unwrap();
        assert!(data.optional && data.wants(OsStr::new("GeoLite2.mmdb")));
    }
}
