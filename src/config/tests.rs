//! Layers, types and the exact words of errors, over the parts of this module together.

use std::{collections::BTreeSet, ffi::OsString, path::Path, time::Duration};

use super::{
    BackendOptions, ByteSize, Config, ConfigError, LogFormat, Origin, Overrides, Reason, ReloadScope, file,
    load, load::layered, load_str, schema::Schema,
};

const BACKENDS: [&str; 4] = ["inotify", "notify", "polling", "watchman"];
/// Those of every system, whose tables may stand in a file for all.
const EVERYWHERE: [&str; 3] = ["notify", "polling", "watchman"];

fn from(text: &str, variables: &[(&str, &str)], flags: &Overrides) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    layered(Path::new("site/config/config.toml"), text, variables, flags, &BACKENDS)
}

fn from_text(text: &str) -> Result<Config, ConfigError> {
    from(text, &[], &Overrides::default())
}

fn from_variable(name: &str, value: &str) -> Result<Config, ConfigError> {
    from("", &[(name, value)], &Overrides::default())
}

/// Asserts what a person would read.
#[track_caller]
fn refused(result: Result<Config, ConfigError>, text: &str) {
    assert_eq!(result.unwrap_err().to_string(), text);
}

#[test]
fn nothing_at_all_gives_the_defaults() {
    let config = from_text("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!((config.server.host.as_str(), config.server.port), ("127.0.0.1", 8080));
    assert!(!config.lua.hotload);
    assert_eq!(config.watch.quiet, Duration::from_millis(20));
    assert_eq!(config.watch.max_hold, Duration::from_millis(500));
}

#[test]
fn a_layer_beats_the_ones_before_it_key_by_key() {
    let text = "[server]\nhost = \"file\"\nport = 1\nmax_frame = \"2MiB\"\n[watch]\nquiet = \"1ms\"";
    let variables = [("HOTLOADER_SERVER__HOST", "variable"), ("HOTLOADER_SERVER__PORT", "2")];
    let flags = Overrides { port: Some(3), ..Overrides::default() };

    let config = from(text, &variables, &flags).unwrap();

    assert_eq!(config.server.port, 3);
    assert_eq!(config.server.host, "variable");
    assert_eq!(config.server.max_frame, ByteSize::mib(2));
    assert_eq!(config.watch.quiet, Duration::from_millis(1));
    assert_eq!(config.watch.max_hold, Config::default().watch.max_hold);
}

#[test]
fn every_flag_sets_its_key_and_hotload_opens_the_debug_pages() {
    let flags = Overrides {
        host: Some("::1".into()),
        port: Some(0),
        hotload: true,
        lua_path: Some("src".into()),
        watch_backend: Some("polling".into()),
        fleet_site: Some("shop".into()),
        log_format: Some("json".into()),
        verbosity: 2,
    };
    let config = from("[server]\ndebug_pages = false", &[], &flags).unwrap();
    assert_eq!((config.server.host.as_str(), config.server.port), ("::1", 0));
    assert!(config.lua.hotload && config.server.debug_pages);
    assert_eq!(config.lua.path, Path::new("src"));
    assert_eq!(config.watch.backend, "polling".into());
    assert_eq!(config.fleet.site, "shop");
    assert_eq!((config.logging.format, config.logging.verbosity), (LogFormat::Json, 2));
}

#[test]
fn a_variable_is_read_as_its_key_needs_it() {
    let config = from(
        "",
        &[
            ("HOTLOADER_SERVER__HOST", "127"),
            ("HOTLOADER_WATCH__QUIET", "0"),
            ("HOTLOADER_WATCH__MAX_HOLD", "30ms"),
            ("HOTLOADER_LUA__PATH", "true"),
            ("HOTLOADER_LUA__HOTLOAD", "true"),
            ("HOTLOADER_HOTLOAD__SCOPE", "all"),
            ("HOTLOADER_SERVER__ALLOWED_HOSTS", r#"["a.example", 127, 1.5, true]"#),
            ("HOTLOADER_WATCH__ALLOWED_ROOTS", "[]"),
            ("HOTLOADER_SESSION__BUDGET__LOG_LINES", "7"),
            ("HOTLOADER_WATCH__NOTIFY__DEPTH", "3"),
            ("PATH", "/bin"),
        ],
        &Overrides::default(),
    )
    .unwrap();
    assert_eq!(config.server.host, "127");
    assert_eq!((config.watch.quiet, config.watch.max_hold), (Duration::ZERO, Duration::from_millis(30)));
    assert_eq!(config.lua.path, Path::new("true"));
    assert!(config.lua.hotload);
    assert_eq!(config.hotload.scope, ReloadScope::All);
    assert_eq!(config.server.allowed_hosts, ["a.example", "127", "1.5", "true"]);
    assert_eq!(config.session.budget.log_lines, 7);
    assert_eq!(*config.watch.options("notify"), BackendOptions::from([("depth".into(), 3.into())]));
}

#[test]
fn a_wrong_value_names_key_value_line_and_what_is_right() {
    refused(
        from_text("# site\n[server]\nport = 70_000"),
        "site/config/config.toml:3: server.port = 70_000: must be a whole number from 0 to 65535",
    );
    refused(
        from_text("[watch]\n\nquiet = 20"),
        r#"site/config/config.toml:3: watch.quiet = 20: must be a duration such as "20ms", "5s" or "24h""#,
    );
    refused(
        from_text("server = { max_frame = \"1MB\" }"),
        r#"site/config/config.toml:1: server.max_frame = "1MB": must be a size such as "64MiB", "512KiB" or "100B""#,
    );
    refused(
        from_text("lua.hotload = \"yes\""),
        r#"site/config/config.toml:1: lua.hotload = "yes": must be true or false"#,
    );
    refused(
        from_text("[hotload]\nscope = \"some\""),
        r#"site/config/config.toml:2: hotload.scope = "some": must be one of "loaded", "all""#,
    );
    refused(
        from_text("[watch]\nignore = [\n  1,\n]"),
        r#"site/config/config.toml:2: watch.ignore = [ 1, ]: must be a list of texts, such as ["a", "b"]"#,
    );
    refused(
        from_text("[server.port]\nnumber = 1"),
        "site/config/config.toml:1: server.port = [server.port]: must be a whole number from 0 to 65535",
    );
    refused(
        from_text("server = 8080"),
        "site/config/config.toml:1: server = 8080: must be a table: [server]",
    );
    refused(
        from_text("[session]\nmax = -1"),
        "site/config/config.toml:2: session.max = -1: must be a whole number, 0 or more",
    );
}

#[test]
fn values_that_a_type_would_take_are_refused_by_meaning() {
    for (text, wanted) in [
        ("server.host = \"\"", r#"server.host = "": must be an address or a host name, such as "127.0.0.1""#),
        (
            "server.tag = \"A1B2\"",
            r#"server.tag = "A1B2": must be four hexadecimal digits, such as "a1b2", another on each server; or empty"#,
        ),
        ("server.send_timeout = \"0\"", r#"server.send_timeout = "0": must be longer than zero"#),
        ("server.max_frame = \"0B\"", r#"server.max_frame = "0B": must be more than "0B""#),
        ("session.budget.load = \"0ms\"", r#"session.budget.load = "0ms": must be longer than zero"#),
        ("session.timeout = \"4000d\"", r#"session.timeout = "4000d": must be at most "366d""#),
        ("session.max = 0", "session.max = 0: must be at least 1"),
        ("session.threads = 5000", "session.threads = 5000: must be at most 1024 (0: one per processor)"),
        ("lua.path = \"\"", r#"lua.path = "": must be a path, not empty"#),
        (
            "lua.main = \"../main.lua\"",
            r#"lua.main = "../main.lua": must be a path within lua.path: relative, without "..""#,
        ),
        (
            "server.allowed_origins = [\"example.org\"]",
            r#"server.allowed_origins = ["example.org"]: must be origins without a path, such as ["https://example.org"]"#,
        ),
        (
            "server.allowed_hosts = [\"http://example.org\"]",
            r#"server.allowed_hosts = ["http://example.org"]: must be host names without scheme or path, such as ["example.org"]"#,
        ),
        (
            "logging.level = \"wran\"",
            r#"logging.level = "wran": must be one of "error", "warn", "info", "debug", "trace"; did you mean "warn"?"#,
        ),
        (
            "watch.backend = [\"polling\", \"notify\", \"polling\"]",
            r#"watch.backend = ["polling", "notify", "polling"]: must be a list that names each backend once"#,
        ),
        (
            "watch.backend = [\"notify\", \"auto\"]",
            r#"watch.backend = ["notify", "auto"]: must be "auto" alone, or a list of backends without it"#,
        ),
        (
            "watch.backend = 7",
            r#"watch.backend = 7: must be the name of a backend, or a list of names: ["watchman", "notify"]"#,
        ),
        (
            "watch.backend = \"fsevents\"",
            r#"watch.backend = "fsevents": must be one of "auto", "inotify", "notify", "polling", "watchman""#,
        ),
        (
            "nats.prefix = \"shop.1\"",
            r#"nats.prefix = "shop.1": must be a name of this site on NATS, of at most 64 letters, digits, "-" and "_": the same on all its servers, and another for each site"#,
        ),
        ("nats.replicas = 9", "nats.replicas = 9: must be from 1 to 5, and odd is best"),
    ] {
        refused(from_text(text), &format!("site/config/config.toml:1: {wanted}"));
    }
}

#[test]
fn of_two_keys_that_disagree_the_one_that_was_written_is_named() {
    refused(
        from_text("watch.quiet = \"2s\""),
        r#"site/config/config.toml:1: watch.quiet = "2s": must be at most watch.max_hold, which is "500ms""#,
    );
    refused(
        from_variable("HOTLOADER_WATCH__MAX_HOLD", "5ms"),
        r#"environment variable HOTLOADER_WATCH__MAX_HOLD: watch.max_hold = "5ms": must be at least watch.quiet, which is "20ms""#,
    );
}

#[test]
fn an_unknown_key_suggests_the_nearest_or_lists_the_known() {
    refused(
        from_text("[server]\nprot = 1"),
        "site/config/config.toml:2: unknown key server.prot; did you mean server.port?",
    );
    refused(from_text("port = 1"), "site/config/config.toml:1: unknown key port; did you mean server.port?");
    refused(
        from_text("\n[sesion]\nmax = 1\ntimeout = \"1s\""),
        "site/config/config.toml:2: unknown key sesion; did you mean session?",
    );
    refused(
        from_text("[lua]\ncolour = 1"),
        "site/config/config.toml:2: unknown key lua.colour; known here: env, files, hotload, main, max_file, native, path",
    );
}

#[test]
fn a_variable_that_sets_nothing_is_an_error_that_suggests_one_that_does() {
    for name in ["HOTLOADER_SERVER_PORT", "HOTLOADER_PORT", "HOTLOADER_server__port"] {
        refused(
            from_variable(name, "1"),
            &format!("environment variable {name}: sets no known key; did you mean HOTLOADER_SERVER__PORT?"),
        );
    }
    refused(
        from_variable("HOTLOADER_SERVER__PORT", "http"),
        r#"environment variable HOTLOADER_SERVER__PORT: server.port = "http": must be a whole number from 0 to 65535"#,
    );
    refused(
        from_variable("HOTLOADER_SERVER__ALLOWED_HOSTS", "example.org"),
        r#"environment variable HOTLOADER_SERVER__ALLOWED_HOSTS: server.allowed_hosts = "example.org": must be a list of texts, such as ["a", "b"]"#,
    );
}

#[test]
fn a_wrong_flag_is_named_as_it_was_typed() {
    let flags = Overrides { watch_backend: Some("poling".into()), ..Overrides::default() };
    refused(
        from("watch.backend = \"notify\"", &[], &flags),
        r#"--watch-backend: watch.backend = "poling": must be one of "auto", "inotify", "notify", "polling", "watchman"; did you mean "polling"?"#,
    );
}

#[test]
fn all_mistakes_of_all_layers_are_told_at_once_and_in_order() {
    let error = from(
        "[server]\nprot = 1\nport = -1\n[session]\nmax = 0",
        &[("HOTLOADER_LUA__HOTLOAD", "maybe")],
        &Overrides { log_format: Some("xml".into()), ..Overrides::default() },
    )
    .unwrap_err();
    let ConfigError::Invalid(problems) = &error else { panic!("{error}") };
    let places: Vec<_> = problems.iter().map(|p| (p.key.as_str(), p.origin.to_string())).collect();
    assert_eq!(
        places,
        [
            ("server.prot", "site/config/config.toml:2".into()),
            ("server.port", "site/config/config.toml:3".into()),
            ("session.max", "site/config/config.toml:5".into()),
            ("lua.hotload", "environment variable HOTLOADER_LUA__HOTLOAD".into()),
            ("logging.format", "--log-format".into()),
        ]
    );
    assert_eq!(
        problems[0].reason,
        Reason::Unknown {
            nearest: Some("server.port".into()),
            siblings: [
                "allowed_hosts",
                "allowed_origins",
                "base",
                "bindings",
                "connections_per_address",
                "console",
                "content_security_policy",
                "debug_pages",
                "drain",
                "host",
                "max_connections",
                "max_frame",
                "port",
                "send_timeout",
                "tag",
                "trusted_proxies"
            ]
            .map(Into::into)
            .to_vec(),
        }
    );
    assert_eq!(problems[4].origin, Origin::Flag("--log-format"));
}

#[test]
fn a_wrong_value_is_an_error_even_where_a_later_layer_sets_the_key() {
    refused(
        from("server.port = \"x\"", &[("HOTLOADER_SERVER__PORT", "1")], &Overrides::default()),
        r#"site/config/config.toml:1: server.port = "x": must be a whole number from 0 to 65535"#,
    );
}

#[test]
fn text_that_is_not_toml_is_shown_with_its_place() {
    refused(
        from_text("[server]\nhost = \"ä\" port = 1\n"),
        "site/config/config.toml:2:12: not valid TOML: unexpected key or value, expected newline, `#`\n\
         2 | host = \"ä\" port = 1\n  |            ^",
    );
    let error = from_text("[lua]\npath = \"a\"\npath = \"b\"").unwrap_err();
    let ConfigError::Syntax { line: 3, column: 1, .. } = error else { panic!("{error:?}") };
}

#[test]
fn a_named_file_must_exist_and_the_sites_own_need_not() {
    let site = tempfile::tempdir().unwrap();
    let missing = site.path().join("missing.toml");
    let named = load(site.path(), Some(&missing), &Overrides::default(), &BACKENDS);
    assert!(matches!(named, Err(ConfigError::Missing { path }) if path == missing));
    assert_eq!(load(site.path(), None, &Overrides::default(), &BACKENDS).unwrap(), Config::default());

    std::fs::create_dir(site.path().join("config")).unwrap();
    std::fs::write(site.path().join(super::FILE), "server.port = 4").unwrap();
    assert_eq!(load(site.path(), None, &Overrides::default(), &BACKENDS).unwrap().server.port, 4);

    let other = site.path().join("other.toml");
    std::fs::write(&other, "lua.main = \"other.lua\"").unwrap();
    let config = load(site.path(), Some(&other), &Overrides::default(), &BACKENDS).unwrap();
    assert_eq!((config.server.port, config.lua.main.as_path()), (8080, Path::new("other.lua")));
}

#[test]
fn a_file_that_is_not_text_is_unreadable_not_absent() {
    let site = tempfile::tempdir().unwrap();
    std::fs::create_dir(site.path().join("config")).unwrap();
    std::fs::write(site.path().join(super::FILE), b"\xff").unwrap();
    let result = load(site.path(), None, &Overrides::default(), &BACKENDS);
    assert!(matches!(result, Err(ConfigError::Unreadable { .. })), "{result:?}");
}

/// Read at run time: these are the files a reader sees.
fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_file_of_defaults_says_what_the_code_does_for_every_key() {
    let text = shipped("config/default.toml");
    assert_eq!(load_str(Path::new("default.toml"), &text, &EVERYWHERE).unwrap(), Config::default());

    let schema = Schema::new(&EVERYWHERE).unwrap();
    let settings = file::settings(&schema, Path::new("default.toml"), &text).unwrap();
    let written: BTreeSet<_> = settings.into_iter().map(|setting| setting.key).collect();
    assert_eq!(written, schema.paths(false).into_iter().collect());
    for table in schema.paths(true) {
        assert!(text.contains(&format!("\n[{table}]")), "[{table}] is missing");
    }
}

#[test]
fn the_other_shipped_files_are_valid() {
    let sample = load_str(Path::new("config.toml"), &shipped("config/config.toml"), &BACKENDS).unwrap();
    assert_eq!(sample.viewdefs.path, Path::new("lua/viewdefs"));
    let production =
        load_str(Path::new("production.toml"), &shipped("config/production.toml"), &BACKENDS).unwrap();
    assert!(!production.lua.hotload && !production.watch.allowed_roots.is_empty());
    assert_eq!(production.logging.format, LogFormat::Json);
}

#[test]
fn the_page_on_configuration_tells_of_every_key() {
    let page = shipped("docs/configuration.md");
    for key in Schema::new(&BACKENDS).unwrap().paths(false) {
        let (section, name) = key.rsplit_once('.').unwrap();
        let row = |name: &str| page.contains(&format!("\n| `{name}` | "));
        assert!(row(&key) || (page.contains(&format!("[{section}]")) && row(name)), "{key}");
    }
}

#[test]
fn the_errors_on_that_page_are_the_real_ones() {
    let page = shipped("docs/configuration.md");
    let flags = Overrides { watch_backend: Some("notfy".into()), ..Overrides::default() };
    let name = Path::new("config/config.toml");
    for (text, variables) in [
        (
            "[server]\nprot = 1\nhost = 127\n\n\n[watch]\nquiet = \"2s\"",
            vec![("HOTLOADER_WATCH__MAXHOLD".into(), "1s".into())],
        ),
        ("[server]\nport 8081", vec![]),
    ] {
        let error = layered(name, text, variables, &flags, &BACKENDS).unwrap_err().to_string();
        assert!(page.contains(&format!("wrong configuration:\n{error}\n```")), "{error}");
    }
}
