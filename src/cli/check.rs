//! `lua-hotloader check`: what is wrong with a site, without serving it.

use std::{path::Path, time::Instant};

use serde::Serialize;
use tokio::runtime;

use super::{CheckArgs, CliError, say};
use crate::{
    check::{self, Findings},
    config::{self, Overrides},
    telemetry::printable,
    watch::Registry,
};

pub(super) fn run(args: &CheckArgs) -> Result<(), CliError> {
    let begun = Instant::now();
    let site = args.dir.clone().unwrap_or_else(|| ".".into());
    if !site.is_dir() {
        return Err(CliError::NoSuchSite(site));
    }
    let registry = Registry::with_builtin();
    let findings = match config::load(&site, args.config.as_deref(), &Overrides::default(), &registry) {
        Ok(config) => {
            let runtime =
                runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::System)?;
            let found = runtime.block_on(check::of_site(&site, &config));
            // Code of the site may be stuck.
            runtime.shutdown_background();
            found.map_err(CliError::Check)?
        }
        Err(error) => {
            let site = std::path::absolute(&site).unwrap_or_else(|_| site.clone());
            check::of_configuration(&site, &error)
        }
    };
    let ms = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
    if args.json {
        say(&json(&site, &findings, ms))
    } else {
        print(&findings, ms)
    }
    match findings.problems.len() {
        0 => Ok(()),
        count => Err(CliError::Found { count }),
    }
}

fn json(site: &Path, findings: &Findings, ms: u64) -> String {
    #[derive(Serialize)]
    struct Document<'a> {
        site: String,
        #[serde(flatten)]
        findings: &'a Findings,
        ms: u64,
    }
    serde_json::to_string(&Document { site: site.display().to_string(), findings, ms }).unwrap_or_default()
}

fn print(findings: &Findings, ms: u64) {
    for problem in &findings.problems {
        say(&printable(&problem.to_string()));
        // Its first line is empty: it begins with a line break.
        problem.details.lines().skip(1).for_each(|line| say(&printable(line)));
    }
    let Findings { files, templates, problems } = findings;
    if problems.is_empty() {
        say(&format!("no problems found: {files} Lua files, {templates} templates, {ms} ms"));
    }
}
