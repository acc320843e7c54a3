//! Checks that types cannot express: ranges, names, keys that contradict each other.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{
    AUTO, BackendChoice, ByteSize, Config, FleetConfig, HubConfig, HubEngine, LuaConfig, NatsConfig,
    ServerConfig,
};

/// A key whose value is not allowed, and what is allowed instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) key: &'static str,
    pub(super) wanted: String,
}

/// More often than that is to watch, which backends do better.
const SHORTEST_RECHECK: Duration = Duration::from_millis(10);

/// Longest duration that is taken; beyond it, adding to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// Keys grow by a factor of three at most, and NATS takes lines of 4 KiB.
const LONGEST_SUBJECT: ByteSize = ByteSize::kib(1);
const MOST_THREADS: usize = 1024;
/// With less memory for its browsers a session could not show a page.
const LEAST_BROWSER: ByteSize = ByteSize::mib(1);
/// The values of `logging.level`, least talkative first.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// All findings. `backends` are the names `watch.backend` may have; `is_set` tells whether any layer
/// over the defaults sets a key, so that of two keys that disagree the one that was written is named.
pub(super) fn findings(config: &Config, backends: &[&str], is_set: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut needs = |right: bool, key: &'static str, wanted: &str| {
        if !right {
            findings.push(Finding { key, wanted: wanted.to_owned() });
        }
    };
    let Config { server, lua, viewdefs, hotload, watch, session, hub, fleet, nats, logging } = config;
    let budget = &session.budget;

    needs(!server.host.trim().is_empty(), "server.host", "an address or a host name, such as \"127.0.0.1\"");
    needs(
        server.tag.is_empty() || server.tag().is_some(),
        "server.tag",
        "four hexadecimal digits, such as \"a1b2\", another on each server; or empty",
    );
    needs(
        server.allowed_hosts.iter().all(|host| is_host(host)),
        "server.allowed_hosts",
        "host names without scheme or path, such as [\"example.org\"]",
    );
    needs(
        server.allowed_origins.iter().all(|origin| is_origin(origin)),
        "server.allowed_origins",
        "origins without a path, such as [\"https://example.org\"]",
    );
    needs(
        server.trusted_proxies.iter().all(|entry| ServerConfig::network(entry).is_some()),
        "server.trusted_proxies",
        "addresses or networks, such as [\"127.0.0.1\", \"10.0.0.0/8\"]",
    );
    for (key, path) in [
        ("lua.path", &lua.path),
        ("lua.main", &lua.main),
        ("lua.files", &lua.files),
        ("viewdefs.path", &viewdefs.path),
    ] {
        needs(!path.as_os_str().is_empty(), key, "a path, not empty");
    }
    needs(stays_below(&lua.main), "lua.main", "a path within lua.path: relative, without \"..\"");
    needs(
        lua.env.iter().all(|name| !name.is_empty() && !name.contains(['=', '\0'])),
        "lua.env",
        "names of environment variables, such as [\"LANG\"]",
    );
    needs(
        lua.native.iter().all(|name| LuaConfig::is_module_in_c(name)),
        "lua.native",
        "names of modules in C as `require` has them, such as [\"lpeg\", \"socket.core\"]",
    );
    needs(
        watch.ignore.iter().all(|name| !name.is_empty() && !name.contains('/')),
        "watch.ignore",
        "names or patterns of names, such as [\"*.bak\"], not empty and without \"/\"",
    );
    needs(
        watch.allowed_roots.iter().all(|root| !root.as_os_str().is_empty()),
        "watch.allowed_roots",
        "directories, not empty",
    );
    if let Some(wanted) = backend_wanted(&watch.backend, backends) {
        needs(false, "watch.backend", &wanted);
    }
    needs(
        hotload.editor.is_empty() || hotload.editor.contains("://") && hotload.editor.contains("{path}"),
        "hotload.editor",
        "a link with {path} in it, such as \"vscode://file/{path}:{line}\", or empty",
    );
    needs(
        server.base.is_valid(),
        "server.base",
        "a path such as \"/app\": a \"/\" before each name and none at the end, names of letters, digits, \
         \"-\", \"_\", \".\" and \"~\"; or empty",
    );
    needs(
        server.content_security_policy.bytes().all(|byte| matches!(byte, b' '..=b'~')),
        "server.content_security_policy",
        "one line of ASCII, such as \"default-src 'self'\", or empty",
    );
    needs(server.connections_per_address > 0, "server.connections_per_address", "at least 1");
    needs(session.max > 0, "session.max", "at least 1");
    needs(session.sockets > 0, "session.sockets", "at least 1");
    needs(
        budget.browser >= LEAST_BROWSER,
        "session.budget.browser",
        "at least \"1MiB\": a page has to fit into it",
    );
    needs(session.unopened_per_address > 0, "session.unopened_per_address", "at least 1");
    needs(session.max_stuck > 0, "session.max_stuck", "at least 1");
    needs(session.threads <= MOST_THREADS, "session.threads", "at most 1024 (0: one per processor)");
    needs(
        !hub.store.trim().is_empty() && is_outside(hub, config),
        "hub.store",
        "a file outside lua.path, viewdefs.path and html/, such as \"data/store.db\"; or \":memory:\", or \"off\"",
    );
    needs(
        fleet.site.is_empty() || FleetConfig::is_name(&fleet.site),
        "fleet.site",
        "at most 63 small letters, digits and \"-\", such as \"shop\"",
    );
    needs(
        fleet.depot.is_empty() || fleet.is_in_nats() || fleet.depot_dir().is_some(),
        "fleet.depot",
        "a directory that all servers see, such as \"dir:/srv/releases\", or \"nats\"",
    );
    needs(
        fleet.trust.iter().all(|key| FleetConfig::is_key(key)),
        "fleet.trust",
        "public keys as `lua-hotloader keys new` prints them: \"ed25519:\" and 43 characters",
    );
    needs(!fleet.cache.as_os_str().is_empty(), "fleet.cache", "a path, not empty");
    needs(
        fleet.tag.is_empty() || FleetConfig::is_tag(&fleet.tag),
        "fleet.tag",
        "four hexadecimal digits, such as \"a1b2\", or empty: the server chooses some",
    );
    let is_shared = hub.engine == HubEngine::Nats || fleet.is_in_nats();
    needs(
        NatsConfig::is_name(&nats.prefix) || !is_shared && nats.prefix.is_empty(),
        "nats.prefix",
        "a name of this site on NATS, of at most 64 letters, digits, \"-\" and \"_\": the same on all its servers, \
         and another for each site",
    );
    needs(!nats.url.trim().is_empty(), "nats.url", "an address such as \"nats://127.0.0.1:4222\"");
    needs((1..=5).contains(&nats.replicas), "nats.replicas", "from 1 to 5, and odd is best");
    needs(
        nats.cert.as_os_str().is_empty() == nats.key.as_os_str().is_empty(),
        "nats.key",
        "set if nats.cert is, and only then: a certificate and its key belong together",
    );
    needs(
        !is_shared || hub.max_key <= LONGEST_SUBJECT,
        "hub.max_key",
        "at most \"1KiB\" with hub.engine = \"nats\": a key is the name of a subject there",
    );
    needs(LEVELS.contains(&logging.level.as_str()), "logging.level", &one_of(&LEVELS, &logging.level));

    for (key, duration, zero_is_fine) in [
        ("server.send_timeout", server.send_timeout, false),
        ("server.drain", server.drain, true),
        ("watch.quiet", watch.quiet, true),
        ("watch.max_hold", watch.max_hold, true),
        ("watch.recheck", watch.recheck, true),
        ("session.timeout", session.timeout, true),
        ("session.rest", session.rest, true),
        ("session.unopened", session.unopened, false),
        ("session.budget.handler", budget.handler, false),
        ("session.budget.load", budget.load, false),
        ("session.budget.mutate", budget.mutate, false),
        ("session.budget.migration", budget.migration, false),
        ("session.budget.read", budget.read, false),
        ("session.budget.interval", budget.interval, false),
        ("hub.patience", hub.patience, false),
        ("nats.connect", nats.connect, true),
    ] {
        needs(zero_is_fine || !duration.is_zero(), key, "longer than zero");
        needs(duration <= LONGEST, key, "at most \"366d\"");
    }
    for (key, size) in [
        ("server.max_frame", server.max_frame),
        ("lua.max_file", lua.max_file),
        ("session.budget.memory", budget.memory),
        ("session.budget.string", budget.string),
        ("hub.max_key", hub.max_key),
        ("hub.max_value", hub.max_value),
        ("hub.max_size", hub.max_size),
        ("fleet.max_size", fleet.max_size),
    ] {
        needs(size > ByteSize::bytes(0), key, "more than \"0B\"");
    }

    needs(
        watch.recheck.is_zero() || watch.recheck >= SHORTEST_RECHECK,
        "watch.recheck",
        "at least \"10ms\", or \"0s\": never",
    );
    if watch.quiet > watch.max_hold {
        let (quiet, max_hold) =
            (humantime::format_duration(watch.quiet), humantime::format_duration(watch.max_hold));
        if is_set("watch.quiet") {
            needs(false, "watch.quiet", &format!("at most watch.max_hold, which is \"{max_hold}\""));
        } else {
            needs(false, "watch.max_hold", &format!("at least watch.quiet, which is \"{quiet}\""));
        }
    }
    findings
}

/// What `watch.backend` should be, if it cannot be what it is.
fn backend_wanted(choice: &BackendChoice, backends: &[&str]) -> Option<String> {
    let names = choice.names();
    let known = [&[AUTO], backends].concat();
    if names.is_empty() {
        return Some(format!("{}, or a list of them", one_of(&known, "")));
    }
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        return Some(one_of(&known, unknown));
    }
    if names.len() > 1 && names.iter().any(|name| name == AUTO) {
        return Some("\"auto\" alone, or a list of backends without it".to_owned());
    }
    let twice = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
    twice.then(|| "a list that names each backend once".to_owned())
}

/// "one of …", and which of them was probably meant.
fn one_of(known: &[&str], given: &str) -> String {
    let list = known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let nearest = known.iter().min_by_key(|name| strsim::damerau_levenshtein(name, given));
    match nearest.filter(|name| known.len() > 1 && strsim::damerau_levenshtein(name, given) <= 2) {
        Some(nearest) => format!("one of {list}; did you mean {nearest:?}?"),
        None if known.len() == 1 => format!("{list}, the only one there is"),
        None => format!("one of {list}"),
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c == '/' || c == '@' || c.is_whitespace())
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| matches!(scheme, "http" | "https") && is_host(host))
}

/// Whether the store is where nothing is served or watched.
fn is_outside(hub: &HubConfig, config: &Config) -> bool {
    let plain =
        |path: &Path| path.components().filter(|part| *part != Component::CurDir).collect::<PathBuf>();
    let Some(file) = hub.file().map(plain) else { return true };
    let open = [&config.lua.path, &config.viewdefs.path, Path::new("html")];
    // What has all of the site in it is watched for Lua files only.
    !open.into_iter().map(plain).any(|dir| !dir.as_os_str().is_empty() && file.starts_with(dir))
}

fn stays_below(path: &Path) -> bool {
    path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}
