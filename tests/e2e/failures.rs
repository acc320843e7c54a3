//! A bad save changes nothing, says why with file and line, and costs nobody else anything.

use std::time::{Duration, Instant};

use hotloader_test_support::{
    client::{Browser, begin},
    http,
    server::Server,
    setup::Setup,
    site::{MAIN, PATIENT, Site, WORDS},
};
use serde_json::{Value, json};

on_each! {
    auto, polling, watchman: [
        a_syntax_error_reaches_nobody_and_the_fix_clears_it,
        a_browser_that_connects_while_an_error_stands_is_told_and_one_after_the_fix_is_not,
        an_error_half_way_is_undone,
        what_is_wrong_with_one_file_keeps_the_others_of_the_batch_back_until_it_is_mended,
        an_endless_loop_ends_and_everybody_is_told,
        while_a_loop_runs_other_sessions_answer_at_once,
        a_memory_bomb_ends_and_everybody_is_told,
        one_disaster_after_another_leaves_all_sessions_clickable,
        a_site_that_is_broken_at_the_start_says_so_on_the_page_and_comes_alive_when_mended,
        a_site_that_does_not_even_compile_at_the_start_comes_alive_too,
        a_file_over_the_limit_is_told_with_limit_size_and_key_when_it_is_saved_and_when_it_is_required,
        a_second_file_for_a_module_is_told_of_and_all_sessions_go_on_with_the_first,
        a_broken_viewdef_keeps_the_old_one_and_is_told,
        a_handler_that_loops_costs_its_own_session_only,
        no_strange_code_takes_a_session_away,
        strange_files_are_told_of_or_passed_over,
    ]
}

/// Loops end soon, so that these tests do.
const QUICK: &str = "[session.budget]\nload = \"1s\"\nmemory = \"16MiB\"\n";

async fn three(server: &Server) -> Vec<Browser> {
    let mut browsers = Vec::new();
    for _ in 0..3 {
        let mut browser = Browser::open_app(server).await;
        browser.counts(1).await;
        browsers.push(browser);
    }
    browsers
}

/// All of them are told of one error there, and go on as before.
async fn all_are_told(browsers: &mut [Browser], place: (&str, u64), message: &str, count: i64) {
    for browser in browsers {
        let mut report = browser.reload("failed").await;
        if report["errors"][0]["sessions"] != 3 {
            // When some take long, the first word comes before the last session has answered.
            report = browser.reload("failed").await;
        }
        let error = &report["errors"][0];
        assert_eq!(
            (error["file"].as_str().unwrap(), error["line"].as_u64()),
            (place.0, Some(place.1)),
            "{report}"
        );
        assert!(error["message"].as_str().unwrap().contains(message), "{report}");
        assert!(error["excerpt"].as_array().unwrap().iter().any(|line| line["line"] == place.1), "{report}");
        assert_eq!(error["sessions"], 3);
        browser.counts(count).await;
        assert_eq!(browser.value("label()"), "first");
    }
}

async fn all_see(browsers: &mut [Browser], label: &str, count: i64) {
    for browser in browsers {
        browser.sees("label()", label).await;
        assert_eq!(browser.value("count"), count);
        browser.reload("ok").await;
    }
}

async fn a_syntax_error_reaches_nobody_and_the_fix_clears_it(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = three(&server).await;

    site.save("lua/main.lua", &format!("print('ran')\n{}function x(\n", MAIN.replace("first", "second")));
    all_are_told(&mut browsers, ("lua/main.lua", 9), "expected", 2).await;
    server.logged("[hot] ERROR lua/main.lua:9: ").await;
    server.logged("3 sessions keep the previous version").await;
    assert!(!server.log().contains("ran"), "nobody runs anything");

    site.save("lua/main.lua", &MAIN.replace("first", "second"));
    all_see(&mut browsers, "second", 2).await;
}

async fn a_browser_that_connects_while_an_error_stands_is_told_and_one_after_the_fix_is_not(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut first = Browser::open_app(&server).await;
    site.save("lua/words.lua", &WORDS.replace("\nreturn M\n", "\nreturn M M\n"));
    first.reload("failed").await;

    let mut late = Browser::open_app(&server).await;
    let report = late.reload("failed").await;
    assert_eq!(
        (&report["errors"][0]["file"], &report["errors"][0]["line"]),
        (&json!("lua/words.lua"), &json!(4))
    );
    late.counts(1).await;
    let mut tab = Browser::tab(&server, &first.session).await;
    tab.reload("failed").await;

    site.save("lua/words.lua", WORDS);
    for browser in [&mut first, &mut late, &mut tab] {
        browser.reload("ok").await;
    }
    // Each session tells its browsers by itself. That the error is over, everybody knows when all have done so.
    server.logged("[hot] skipped lua/words.lua").await;
    let mut after = Browser::open_app(&server).await;
    after.counts(1).await;
    assert_eq!(after.messages("reload").count(), 0, "{:?}", after.frames);
}

async fn an_error_half_way_is_undone(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = three(&server).await;
    for browser in &mut browsers {
        browser.frames.clear();
    }
    let bad = r#"
made = "by the failed version"
App.word = nil
local app = session:getApp()
app.count = 77
app.more = {}
session:setInterval(function() app.count = app.count + 1000 end, 10)
local x = nil
return x.name
"#;
    site.save("lua/main.lua", &format!("{}{bad}", MAIN.replace("first", "second")));
    for browser in &mut browsers {
        let report = browser.reload("failed").await;
        assert_eq!(report["errors"][0]["line"], 16, "{report}");
        assert!(report["errors"][0]["message"].as_str().unwrap().contains("index a nil value"), "{report}");
    }
    server.logged("[hot] ERROR lua/main.lua:16: attempt to index a nil value").await;
    for browser in &mut browsers {
        browser.counts(2).await;
        browser.counts(3).await;
        assert_eq!((browser.value("label()"), browser.value("word()")), (&json!("first"), &json!("alpha")));
        let updates: Vec<&Value> = browser.messages("update").collect();
        assert!(updates.iter().all(|data| data["varId"] == browser.id("count")), "{updates:?}");
        assert_eq!(browser.messages("error").count(), 0);
    }
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "tostring(made)"));
    all_see(&mut browsers, "nil", 3).await;
}

async fn what_is_wrong_with_one_file_keeps_the_others_of_the_batch_back_until_it_is_mended(setup: Setup) {
    for bad in ["local x = nil\nx.y = 1\n", "function x(\n"] {
        let site = Site::configured(setup, PATIENT);
        let server = Server::start(setup, &site.dir()).await;
        let mut browser = Browser::open_app(&server).await;
        site.save("lua/words.lua", &WORDS.replace("alpha", "beta"));
        site.save("lua/main.lua", bad);
        browser.reload("failed").await;
        browser.counts(1).await;
        assert_eq!(browser.value("word()"), "alpha", "{bad}");
        site.save("lua/main.lua", &MAIN.replace("first", "second"));
        browser.sees("label()", "second").await;
        browser.sees("word()", "beta").await;
    }
}

async fn an_endless_loop_ends_and_everybody_is_told(setup: Setup) {
    let site = Site::configured(setup, QUICK);
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = three(&server).await;
    site.save("lua/main.lua", &format!("{}while true do end\n", MAIN.replace("first", "second")));
    all_are_told(&mut browsers, ("lua/main.lua", 8), "ran longer than 1s", 2).await;
    server.logged("[hot] ERROR lua/main.lua:8: ").await;
    site.save("lua/main.lua", &MAIN.replace("first", "second"));
    all_see(&mut browsers, "second", 2).await;
}

async fn while_a_loop_runs_other_sessions_answer_at_once(setup: Setup) {
    let site = Site::configured(setup, "[session.budget]\nload = \"2s\"\n");
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        browsers.push(Browser::open_app(&server).await);
    }
    site.save("lua/main.lua", &format!("{MAIN}print('looping')\nwhile true do pcall(function() end) end\n"));
    server.logged("looping").await;
    let mut answers: Vec<Duration> = Vec::new();
    let clicks = browsers.iter_mut().map(async |browser| {
        let start = Instant::now();
        browser.counts(1).await;
        start.elapsed()
    });
    answers.extend(futures_util::future::join_all(clicks).await);
    answers.sort();
    println!("clicks answered after {answers:?}");
    // Two sessions have tried it, for two seconds.
    assert!(answers[2] < Duration::from_secs(1), "{answers:?}");
    for browser in &mut browsers {
        browser.reload("failed").await;
    }
}

async fn a_memory_bomb_ends_and_everybody_is_told(setup: Setup) {
    // With all the time of the default, or a busy machine would find the time used up first.
    let site = Site::configured(setup, "[session.budget]\nmemory = \"16MiB\"\n");
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = three(&server).await;
    let bomb = "hoard = {}\nfor i = 1, 1e9 do hoard[i] = ('x'):rep(100000) .. i end\n";
    site.save("lua/main.lua", &format!("{}{bomb}", MAIN.replace("first", "second")));
    all_are_told(&mut browsers, ("lua/main.lua", 9), "used more than 16MiB", 2).await;
    site.save("lua/main.lua", &MAIN.replace("\"first\"", "tostring(hoard)"));
    all_see(&mut browsers, "nil", 2).await;
}

async fn one_disaster_after_another_leaves_all_sessions_clickable(setup: Setup) {
    let site = Site::configured(setup, QUICK);
    let server = Server::start(setup, &site.dir()).await;
    let mut browsers = three(&server).await;
    let disasters = [
        ("function x(", "near"),
        ("error('half-way')", "half-way"),
        ("while true do end", "ran longer than 1s"),
        ("t = {} while true do t[#t + 1] = ('x'):rep(100000) .. #t end", "used more than 16MiB"),
    ];
    let mut count = 1;
    for (code, message) in disasters {
        count += 1;
        let text = MAIN.replace("first", "bad");
        site.save("lua/main.lua", &format!("{text}{code}\n"));
        for browser in &mut browsers {
            let fits = |report: &Value| report["errors"].to_string().contains(message);
            browser.told("reload", fits).await;
            browser.frames.clear();
            browser.counts(count).await;
            assert_eq!(browser.value("label()"), "first");
        }
        server.logged(message).await;
    }
    site.save("lua/main.lua", &MAIN.replace("first", "second"));
    all_see(&mut browsers, "second", count).await;
    let lines = server.log();
    let errors = lines.lines().filter(|line| line.contains("[hot] ERROR lua/main.lua:8: "));
    assert_eq!(errors.count(), 4, "one line for all sessions, with file and line:\n{lines}");
}

async fn a_site_that_is_broken_at_the_start_says_so_on_the_page_and_comes_alive_when_mended(setup: Setup) {
    let site = Site::new(setup);
    site.save("lua/main.lua", "local app = nil\napp.start()\n");
    let server = Server::start(setup, &site.dir()).await;
    let session = begin(server.addr()).await;
    let page = http::get(server.addr(), &format!("/{session}")).await;
    assert_eq!(page.status, 500);
    assert!(page.body.contains("lua/main.lua") && page.body.contains(":2"), "{}", page.body);
    let mut browser = Browser::tab(&server, &session).await;
    let report = browser.reload("failed").await;
    assert_eq!(report["errors"][0]["line"], 2);

    site.save("lua/main.lua", MAIN);
    browser.told("restart", |_| true).await;
    browser.reload("ok").await;
    browser.show(&["label()", "count"]).await;
    browser.sees("label()", "first").await;
    browser.counts(1).await;
    assert_eq!(http::get(server.addr(), &format!("/{session}")).await.status, 200);
}

async fn a_site_that_does_not_even_compile_at_the_start_comes_alive_too(setup: Setup) {
    let site = Site::new(setup);
    site.save("lua/main.lua", "function x(\n");
    let server = Server::start(setup, &site.dir()).await;
    server.logged("[hot] ERROR lua/main.lua:").await;
    let session = begin(server.addr()).await;
    let page = http::get(server.addr(), &format!("/{session}")).await;
    assert_eq!(page.status, 500);
    assert!(page.body.contains("lua/main.lua"), "{}", page.body);
    let mut browser = Browser::tab(&server, &session).await;
    let report = browser.reload("failed").await;
    assert_eq!(report["errors"][0]["file"], "lua/main.lua", "{report}");
    site.save("lua/main.lua", MAIN);
    browser.reload("ok").await;
    browser.show(&["label()", "count"]).await;
    browser.counts(1).await;
}

async fn a_file_over_the_limit_is_told_with_limit_size_and_key_when_it_is_saved_and_when_it_is_required(
    setup: Setup,
) {
    let site = Site::configured(setup, "lua.max_file = \"16KiB\"\n");
    let big = format!("{WORDS}--{}", "-".repeat(16 << 10));
    let words = format!("the file has {} bytes, and lua.max_file is \"16KiB\"", big.len());
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.save("lua/words.lua", &big);
    let report = browser.reload("failed").await;
    let error = &report["errors"][0];
    assert_eq!(error["file"], "lua/words.lua", "{report}");
    assert!(error["message"].as_str().unwrap().starts_with(&words), "{report}");
    browser.sees("word()", "alpha").await;
    site.save("lua/words.lua", WORDS);
    browser.reload("ok").await;

    site.save("lua/data.lua", &big);
    server.logged("lua/data.lua: the file has").await;
    site.save("lua/main.lua", &format!("require \"data\"\n{MAIN}"));
    let report = browser.reload("failed").await;
    assert!(report["errors"][0]["message"].as_str().unwrap().contains(&words), "{report}");
}

async fn a_second_file_for_a_module_is_told_of_and_all_sessions_go_on_with_the_first(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.save("lua/words/init.lua", &WORDS.replace("alpha", "beta"));
    let report = browser.reload("failed").await;
    assert_eq!(report["errors"][0]["file"], "lua/words/init.lua", "{report}");
    let message = report["errors"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("not loaded: lua/words.lua is the same module"), "{report}");
    let mut late = Browser::open_app(&server).await;
    late.sees("word()", "alpha").await;
    site.delete("lua/words.lua");
    browser.reload("ok").await;
    let mut last = Browser::open_app(&server).await;
    last.sees("word()", "beta").await;
}

async fn a_broken_viewdef_keeps_the_old_one_and_is_told(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    site.save("viewdefs/App.DEFAULT.html", "<p>no template</p>\n");
    let report = browser.reload("failed").await;
    assert_eq!(report["errors"][0]["file"], "viewdefs/App.DEFAULT.html");
    server.logged("[hot] ERROR viewdefs/App.DEFAULT.html").await;
    browser.counts(1).await;
    site.save("viewdefs/App.DEFAULT.html", "<template><h1 ui-value=\"label()\"></h1></template>\n");
    let fresh = |data: &Value| data["properties"]["viewdefs"].to_string().contains("<h1");
    browser.told("update", fresh).await;
    browser.reload("ok").await;
}

async fn a_handler_that_loops_costs_its_own_session_only(setup: Setup) {
    let site = Site::configured(setup, "[session.budget]\nhandler = \"300ms\"\n");
    site.save(
        "lua/main.lua",
        &MAIN.replace("self.count = self.count + 1", "self.count = self.count + 1; while self.loop do end"),
    );
    site.bind(&["loop"]);
    let server = Server::start(setup, &site.dir()).await;
    let mut bad = Browser::open_app(&server).await;
    let mut good = Browser::open_app(&server).await;
    bad.show(&["loop"]).await;
    let (id, click) = (bad.id("loop"), bad.id("loop") + 1);
    bad.send(json!([{ "type": "update", "data": { "varId": id, "value": true } }])).await;
    bad.click().await;
    good.counts(1).await;
    let error = bad.told("error", |_| true).await;
    assert_eq!((&error["varId"], &error["code"]), (&json!(click), &json!("timeout")), "{error}");
    bad.send(json!([{ "type": "update", "data": { "varId": id, "value": false } }])).await;
    bad.counts(2).await;
}

async fn no_strange_code_takes_a_session_away(setup: Setup) {
    let site = Site::configured(setup, QUICK);
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let strange = [
        ("local function f() return 1 + f() end f()", "failed", ""),
        ("error({ code = 7 })", "failed", ""),
        ("error()", "failed", ""),
        ("error(setmetatable({}, { __tostring = function() while true do end end }))", "failed", ""),
        ("coroutine.wrap(function() while true do end end)()", "failed", "ran longer"),
        (
            "local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end",
            "failed",
            "ran longer",
        ),
        ("while true do pcall(error) end", "failed", "ran longer"),
        (
            "setmetatable(_G, { __index = function(_, name) error('no global ' .. tostring(name)) end }) return nothing",
            "failed",
            "no global nothing",
        ),
        ("setmetatable(_G, { __newindex = function() error('strict') end }) x = 1", "failed", "strict"),
        ("for i = 1, 1000 do print(i) end", "ok", ""),
        ("coroutine.yield()", "failed", "yield"),
        ("require('main')", "ok", ""),
        ("require('missing')", "failed", "missing"),
        ("table.sort({ 3, 2, 1, 5, 4 }, function() return true end)", "failed", "invalid order"),
        ("os.exit()", "failed", "session:restart()"),
        ("session:getApp().self = session:getApp()", "ok", ""),
        ("setmetatable(session:getApp(), nil)", "ok", ""),
        ("session = nil; require = nil; pairs = nil; next = nil", "ok", ""),
    ];
    let mut count = 0;
    for (n, (code, status, message)) in strange.into_iter().enumerate() {
        browser.frames.clear();
        site.save("lua/main.lua", &format!("{MAIN}{code} --{n}\n"));
        let fits =
            |report: &Value| report["status"] == status && report["errors"].to_string().contains(message);
        println!("{code}");
        browser.told("reload", fits).await;
        if code.contains("setmetatable(session") {
            // Its methods are gone, as it asked for.
            site.save("lua/main.lua", &format!("{MAIN}setmetatable(session:getApp(), App)\n"));
            browser.sees("label()", "first").await;
        }
        count += 1;
        browser.counts(count).await;
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

async fn strange_files_are_told_of_or_passed_over(setup: Setup) {
    let site = Site::new(setup);
    let server = Server::start(setup, &site.dir()).await;
    let mut browser = Browser::open_app(&server).await;
    let write = |name: &[u8], content: &[u8]| {
        let name = std::os::unix::ffi::OsStrExt::from_bytes(name);
        std::fs::write(site.path("lua").join::<&std::ffi::OsStr>(name), content).unwrap();
    };
    write(b"bad-\xff.lua", b"return 1\n");
    write(b"new\nline.lua", b"return 1\n");
    write(b"binary.lua", &[0, 159, 146, 150].repeat(1000));
    write(b"compiled.lua", b"\x1bLua");
    write(b"empty.lua", b"");
    write(b"upper.LUA", b"function x(");
    write(b".#main.lua", b"function x(");
    write(b"main.lua~", b"function x(");
    std::fs::create_dir(site.path("lua/directory.lua")).unwrap();
    site.link("lua/loop.lua", &site.path("lua/loop.lua"));
    site.link("lua/round", &site.path("lua"));
    let fifo = std::process::Command::new("mkfifo").arg(site.path("lua/fifo.lua")).status().unwrap();
    assert!(fifo.success());
    site.save("lua/words.lua", &format!("{}-- {}\n", WORDS.replace("alpha", "large"), "x".repeat(3_000_000)));
    browser.sees("word()", "large").await;
    write(b"main.lua", MAIN.replace("first", "caf\u{e9} \\xff").as_bytes());
    browser.sees("label()", "caf\u{e9} \u{fffd}").await;
    browser.counts(1).await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
