//! Random calls of several sessions against a model in memory, with reloads in the middle. `PROPTEST_CASES` has it
//! try for longer.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

use super::*;

const SESSIONS: usize = 4;

/// Each page remembers what it has heard: of each publisher the number of the last message, and of each key the
/// last value.
const LISTENER: &str = r#"
wrong, heard, last = wrong or "", heard or {}, last or {}
session:subscribe("t.*", function(message, topic)
  local before = heard[topic] or 0
  if message.n ~= before + 1 then wrong = wrong .. topic .. " " .. message.n .. " after " .. before .. "; " end
  heard[topic] = message.n
end)
store.watch("", function(key, value) last[key] = value end)
ready = ready or {}
session:subscribe("ready.*", function(_, topic) ready[topic] = true end)
sent = sent or 0
function say() sent = sent + 1 session:publish("t." .. me, { n = sent }) end
function add(key, n) return store.update(key, function(sum) return (sum or 0) + n end) end
"#;

/// What one session does at once.
#[derive(Debug, Clone)]
enum Call {
    /// Of a key that no other writes.
    Set(u8, i32),
    Delete(u8),
    Get(u8),
    List,
    /// Of keys that all write.
    Add(u8, i32),
    Say(u8),
    /// The version of the file that is saved meanwhile.
    Save(u8),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        3 => (0..3_u8, any::<i32>()).prop_map(|(key, value)| Call::Set(key, value)),
        1 => (0..3_u8).prop_map(Call::Delete),
        2 => (0..3_u8).prop_map(Call::Get),
        1 => Just(Call::List),
        3 => (0..2_u8, -9..9_i32).prop_map(|(key, n)| Call::Add(key, n)),
        3 => (1..4_u8).prop_map(Call::Say),
        1 => any::<u8>().prop_map(Call::Save),
    ]
}

/// What has to be there at the end.
#[derive(Debug, Default)]
struct Model {
    own: BTreeMap<String, i32>,
    sums: BTreeMap<String, i64>,
    said: u64,
}

impl Model {
    /// The code of a call, and what it has to return.
    fn foresee(&mut self, me: usize, call: &Call) -> (String, Option<Value>) {
        let own = |key: &u8| format!("own.{me}.{key}");
        match call {
            Call::Set(key, value) => {
                self.own.insert(own(key), *value);
                (format!("store.set('{}', {value}) return store.get('{0}')", own(key)), Some(json!(value)))
            }
            Call::Delete(key) => {
                self.own.remove(&own(key));
                (format!("store.delete('{}') return store.get('{0}') == nil", own(key)), Some(json!(true)))
            }
            Call::Get(key) => {
                let wanted = self.own.get(&own(key)).map_or(json!("none"), |value| json!(value));
                (format!("return store.get('{}') or 'none'", own(key)), Some(wanted))
            }
            Call::List => (format!("return #store.list('own.{me}.')"), Some(json!(self.own.len()))),
            Call::Add(key, n) => {
                *self.sums.entry(format!("sum.{key}")).or_default() += i64::from(*n);
                (format!("return add('sum.{key}', {n})"), None)
            }
            Call::Say(times) => {
                self.said += u64::from(*times);
                (format!("for _ = 1, {times} do say() end return sent"), Some(json!(self.said)))
            }
            Call::Save(_) => (String::new(), None),
        }
    }
}

/// Does the calls of one session, one after the other.
async fn session(me: usize, mut page: Page, calls: Vec<Call>, site: Arc<Site>) -> (Page, Model) {
    let mut model = Model::default();
    for call in calls {
        if let Call::Save(version) = call {
            let outcomes = site.save(&format!("{MAIN}{LISTENER}-- {version}"), &[&page]).await;
            assert!(!matches!(&outcomes[..], [Outcome::Kept { .. }]), "{outcomes:?}");
            continue;
        }
        let (code, wanted) = model.foresee(me, &call);
        let said = page.run(&code).await;
        if let Some(wanted) = wanted {
            assert_eq!(said, wanted, "{me}: {call:?}");
        }
    }
    (page, model)
}

/// Has a page say something until it is so.
async fn until(page: &mut Page, code: &str, wanted: &Value) {
    let deadline = Instant::now() + DEADLINE;
    while page.run(code).await != *wanted {
        assert!(Instant::now() < deadline, "{:?} is not {wanted}", page.seen.get(&SAID));
        tokio::task::yield_now().await;
    }
}

/// The sessions belong to these servers in turn.
async fn as_in_the_model(all: Vec<Vec<Call>>, sites: Vec<Arc<Site>>) {
    let mut sessions = Vec::new();
    let mut pages = Vec::new();
    let of = |me: usize| sites[me % sites.len()].clone();
    for me in 0..all.len() {
        let mut page = of(me).page().await;
        page.run(&format!("me = {me}")).await;
        pages.push(page);
    }
    // A subscription takes a moment to reach other servers.
    for from in 0..pages.len() {
        for to in 0..pages.len() {
            let hears = format!("return ready['ready.{from}'] or false");
            let deadline = Instant::now() + DEADLINE;
            while pages[to].run(&hears).await != json!(true) {
                assert!(Instant::now() < deadline, "{to} does not hear {from}");
                pages[from].run("session:publish('ready.' .. me, true)").await;
            }
        }
    }
    for ((me, page), calls) in pages.into_iter().enumerate().zip(all) {
        sessions.push(tokio::spawn(session(me, page, calls, of(me))));
    }
    let (mut stored, mut said, mut pages) = (BTreeMap::new(), Vec::new(), Vec::new());
    for done in sessions {
        let (page, model) = done.await.unwrap();
        stored.extend(model.own.into_iter().map(|(key, value)| (key, i64::from(value))));
        for (key, sum) in model.sums {
            *stored.entry(key).or_default() += sum;
        }
        said.push(model.said);
        pages.push(page);
    }
    for site in &sites {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let entries = site.hub.store().unwrap().list("").into_iter();
            let found: BTreeMap<String, i64> =
                entries.map(|(key, entry)| (key.to_string(), entry.value.parse().unwrap())).collect();
            if found == stored {
                break;
            }
            assert!(Instant::now() < deadline, "{found:?} is not {stored:?}");
            tokio::task::yield_now().await;
        }
    }
    let said: String =
        said.iter().enumerate().filter(|(_, n)| **n > 0).map(|(me, n)| format!("t.{me}={n} ")).collect();
    let stored: String = stored.iter().map(|(key, value)| format!("{key}={value} ")).collect();
    let wanted = json!(format!("{said}{stored}"));
    for page in &mut pages {
        let list = "local text = '' local function add(all) local keys = {} for key in pairs(all) do keys[#keys + 1] = key end table.sort(keys) for _, key in ipairs(keys) do text = text .. key .. '=' .. all[key] .. ' ' end end add(heard) add(last) return text";
        until(page, list, &wanted).await;
        assert_eq!(page.run("return wrong").await, json!(""));
    }
}

#[test]
fn whatever_sessions_do_at_once_nothing_is_lost_or_doubled_and_everybody_hears_it_in_order() {
    random_calls(24, || async {
        vec![Site::with(&format!("{MAIN}{LISTENER}"), Path::new("/nowhere"), |config| {
            (config.store, config.messages) = (HubConfig::MEMORY.into(), 100_000);
        })]
    });
}

/// So many times, each with servers of its own.
fn random_calls<S: Future<Output = Vec<Site>>>(cases: u32, servers: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let calls = vec(vec(call(), 1..25), SESSIONS);
    TestRunner::new(config)
        .run(&calls, |all| {
            runtime.block_on(async {
                let servers = servers().await.into_iter().map(Arc::new).collect();
                as_in_the_model(all, servers).await;
            });
            Ok(())
        })
        .unwrap();
}

#[cfg(feature = "nats")]
mod nats {
    use std::cell::Cell;

    use hotloader_test_support::nats::{NatsServer, Version};

    use super::*;
    use crate::config::{HubEngine, NatsConfig};

    fn nothing_is_lost_or_doubled(version: Version) {
        let Some(nats) = NatsServer::start(version) else { return };
        let case = Cell::new(0);
        let (url, case) = (nats.url(), &case);
        random_calls(6, || {
            case.set(case.get() + 1);
            let prefix = format!("case-{}", case.get());
            let url = url.clone();
            async move {
                let nats = NatsConfig { url, prefix, ..NatsConfig::default() };
                let config = HubConfig { engine: HubEngine::Nats, messages: 100_000, ..HubConfig::default() };
                let mut servers = Vec::new();
                for _ in 0..2 {
                    let hub = Hub::connect(Path::new("/nowhere"), &config, &nats).await.unwrap();
                    let main = format!("{MAIN}{LISTENER}");
                    servers.push(Site::sharing(hub, &[("main.lua", Some(&main))], BindingRule::Any));
                }
                servers
            }
        });
    }

    #[test]
    fn it_holds_on_two_servers_that_share_the_packaged_nats() {
        nothing_is_lost_or_doubled(Version::Packaged);
    }

    #[test]
    fn it_holds_on_two_servers_that_share_the_current_nats() {
        nothing_is_lost_or_doubled(Version::Current);
    }
}

#[tokio::test]
async fn a_reload_hands_on_what_has_come_and_has_not_been_heard_yet() {
    let site = Site::new(&format!("{MAIN}{LISTENER}"));
    let mut page = site.page().await;
    let hub = site.hub.clone();
    let (entered, is_entered) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    // While it does something long, a reload is queued, and then things come.
    page.session
        .execute(move |_| {
            entered.send(()).unwrap();
            may_go.recv().unwrap();
        })
        .unwrap();
    tokio::task::spawn_blocking(move || is_entered.recv().unwrap()).await.unwrap();
    let come = async {
        let mut port = hub.port(Arc::new(()));
        for n in 1..=3 {
            port.publish("t.9", format!("{{\"n\":{n}}}").into()).unwrap();
        }
        let write = crate::hub::Write { key: "k".into(), value: Some("7".into()), ttl: None, expected: None };
        hub.write_all(vec![write]).await[0].clone().unwrap();
        go.send(()).unwrap();
    };
    let (main, pages) = (format!("{MAIN}{LISTENER}-- again"), [&page]);
    let (outcomes, ()) = tokio::join!(site.save(&main, &pages), come);
    assert!(matches!(&outcomes[..], [Outcome::Applied { .. }]), "{outcomes:?}");
    // Each is a unit of work of its own, and a click may come between two of them.
    let deadline = Instant::now() + DEADLINE;
    let list = "return (heard['t.9'] or '') .. ' ' .. (last.k or '') .. wrong";
    while page.run(list).await != json!("3 7") {
        assert!(Instant::now() < deadline, "{:?}", page.seen.get(&SAID));
        tokio::task::yield_now().await;
    }
}
