//! What is published of a site: all its files, if all of them compile.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tokio::task::spawn_blocking;

use super::{CheckError, Finding, Findings, Kind, below};
use crate::{
    config::Config,
    reload::{Compiler, Generation, HTML_ROOT, HotLoaderError, leave_out_copies},
    server::{layout, roots},
    watch::{self, ChangeKind, Root},
};

/// The files of a site by their paths, as they were read together.
#[derive(Debug, Default)]
pub struct Files {
    /// With "/" between names.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Links that lead nowhere, and the like. The server would pass over them as well.
    pub warnings: Vec<Finding>,
}

/// Reads and compiles a site, as the server does.
///
/// # Errors
/// If it cannot be looked at. What is wrong with it is in the `Err` of the result: then it is not published.
pub async fn of_release(site: &Path, config: &Config) -> Result<Result<Files, Findings>, CheckError> {
    let site = std::path::absolute(site).unwrap_or_else(|_| site.to_owned());
    let mut roots = roots(&site, config);
    for root in roots.iter_mut().filter(|root| root.id == HTML_ROOT) {
        // Browsers load these, whatever their size.
        root.max_file = config.fleet.max_size.as_usize();
    }
    let survey = watch::survey_once(&config.watch_in(&site), roots.clone()).await?;
    let mut changes = survey.changes;
    leave_out_copies(&mut changes);
    let mut found = Findings::default();
    let mut release = Files::default();
    let viewdefs = site.join(&config.viewdefs.path);
    let troubles = survey.troubles.into_iter().filter(|(path, _)| *path != viewdefs || path.exists());
    let warning = |(path, message): (std::path::PathBuf, String)| {
        Finding::about(Kind::Link, below(&site, &path), None, message)
    };
    release.warnings = troubles.map(warning).collect();
    for change in &changes.changes {
        let Some(root) = roots.iter().find(|root| root.id == change.root) else { continue };
        match (path(&site, root, &change.name), &change.kind) {
            (Ok(path), ChangeKind::Added(content) | ChangeKind::Modified(content)) => {
                release.files.insert(path, content.bytes.clone());
            }
            // Of code, the compiler says it in its words.
            (Ok(path), ChangeKind::Unreadable(_)) if root.id == HTML_ROOT => {
                let message =
                    "it cannot be read, or is larger than fleet.max_size; make it readable or smaller";
                found.add(Finding::about(Kind::Link, path, None, message));
            }
            (Ok(_), _) => {}
            (Err(message), _) => {
                let file = below(&site, &root.dir.join(&change.name));
                found.add(Finding::about(Kind::Link, file, None, message));
            }
        }
    }
    let compiler = Compiler::new(layout(config)).map_err(HotLoaderError::from)?;
    let compiled = spawn_blocking(move || compiler.compile(&Generation::default(), &changes)).await;
    let generation = compiled.map_err(|_| watch::WatchError::Panicked)?;
    generation.diagnostics().for_each(|error| found.add(Finding::new(Kind::Syntax, error)));
    let main = below(&site, &site.join(&config.lua.path).join(&config.lua.main));
    if generation.file(&config.lua.main).is_none() && found.problems.is_empty() {
        let message = "no such file, and sessions begin with it; name the directory of a site, or set lua.path and lua.main";
        found.add(Finding::about(Kind::Start, main, None, message));
    }
    (found.files, found.templates) = (generation.files.len(), generation.viewdefs.len());
    Ok(if found.problems.is_empty() { Ok(release) } else { Err(found) })
}

/// Where a file is in the release.
fn path(site: &Path, root: &Root, name: &Path) -> Result<String, &'static str> {
    let path = root.dir.join(name);
    let Ok(path) = path.strip_prefix(site) else {
        return Err(
            "outside of the site's directory, and a release is one directory: move it in, and set lua.path, viewdefs.path or lua.files",
        );
    };
    let path: std::path::PathBuf =
        path.components().filter(|part| *part != std::path::Component::CurDir).collect();
    path.to_str().map(str::to_owned).ok_or("its name is not UTF-8; rename it")
}
